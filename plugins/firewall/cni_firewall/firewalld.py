"""firewalld, asked over the system's D-Bus by `busctl`, which is part of systemd and so wherever firewalld runs.

A program rather than a library: two short calls do not weigh up a dependency, and a hung bus cannot hang a worker. Interface:
firewalld.dbus(5), org.fedoraproject.FirewallD1.zone. Sources of a zone that are set this way last until firewalld reloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.cni.errors import InvalidConfig, ToolMissing

if TYPE_CHECKING:
    from linkspan.host.contract import Finished, Host

NAME = "org.fedoraproject.FirewallD1"
#: Seconds until a call that nobody answers is given up.
PATIENCE = 5
FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")

_ZONES = (NAME, "/org/fedoraproject/FirewallD1", f"{NAME}.zone")
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


def runs(host: Host) -> bool:
    """Whether firewalld answers. Starts no program where none is installed."""
    if host.processes.find("firewalld", FOLDERS) is None or host.processes.find("busctl", FOLDERS) is None:
        return False
    return _call(host, (*_BUS, "NameHasOwner", "s", NAME)).stdout.split() == [b"b", b"true"]


def add(host: Host, zone: str, address: str) -> bool:
    """Put an address into a zone; False if it is there. Raises InvalidConfig for an unknown zone, ToolMissing."""
    finished = _call(host, (*_ZONES, "addSource", "ss", zone, address))
    if finished.status == 0:
        return True
    if b"ZONE_ALREADY_SET" in finished.stdout:
        return False
    raise _refused(f"add {address} to the zone {zone}", zone, finished)


def has(host: Host, zone: str, address: str) -> bool:
    """Whether a zone holds an address. Raises InvalidConfig for an unknown zone, ToolMissing."""
    finished = _call(host, (*_ZONES, "querySource", "ss", zone, address))
    if finished.status != 0:
        raise _refused(f"look for {address} in the zone {zone}", zone, finished)
    return finished.stdout.split() == [b"b", b"true"]


def remove(host: Host, zone: str, address: str) -> bool:
    """Take an address out of a zone; False if it was not there, or the zone is not. Raises ToolMissing."""
    finished = _call(host, (*_ZONES, "removeSource", "ss", zone, address))
    if finished.status == 0:
        return True
    if b"UNKNOWN_SOURCE" in finished.stdout or b"INVALID_ZONE" in finished.stdout:
        return False
    raise _refused(f"take {address} out of the zone {zone}", zone, finished)


def _call(host: Host, words: tuple[str, ...]) -> Finished:
    busctl = host.processes.find("busctl", FOLDERS)
    if busctl is None:
        raise ToolMissing("busctl is not installed on this host", "firewalld is asked by it; install systemd")
    options = ("--system", f"--timeout={PATIENCE}", "--auto-start=no", "call", "--")
    return host.processes.run(
        [busctl, *options, *words], stdin=b"", env={"LC_ALL": "C"}, cwd="/", merged=True
    )


def _refused(request: str, zone: str, finished: Finished) -> InvalidConfig | ToolMissing:
    said = " ".join(finished.stdout.decode(errors="replace").split())
    if "INVALID_ZONE" in said:
        return InvalidConfig(f"$.firewalldZone: firewalld has no zone {zone[:40]!r}", said)
    return ToolMissing(f"firewalld did not {request}", f"busctl said: {said}")
