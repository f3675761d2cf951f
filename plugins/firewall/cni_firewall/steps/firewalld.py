"""A client of firewalld, over the system's D-Bus with `busctl`, which is part of systemd.

A program rather than a library: two short calls do not justify a dependency, and a bus that hangs cannot hang
a worker. Interface: firewalld.dbus(5), org.fedoraproject.FirewallD1.zone. Sources of a zone that are added
this way last until firewalld reloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.cni.addresses import family_of
from linkspan.cni.errors import InvalidConfig, ToolMissing

if TYPE_CHECKING:
    from linkspan.host.contract import Finished, Host

NAME = "org.fedoraproject.FirewallD1"
#: Seconds to wait for an answer.
TIMEOUT = 5
FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")

_ZONES = (NAME, "/org/fedoraproject/FirewallD1", f"{NAME}.zone")
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


def runs(host: Host) -> bool:
    """Whether firewalld answers. Starts no program where none is installed."""
    if host.processes.find("firewalld", FOLDERS) is None or host.processes.find("busctl", FOLDERS) is None:
        return False
    return _call(host, (*_BUS, "NameHasOwner", "s", NAME)).stdout.split() == [b"b", b"true"]


def add(host: Host, zone: str, address: str) -> bool:
    """Add an address to a zone; False if it is there. Raises InvalidConfig (unknown zone), ToolMissing."""
    finished = _call(host, (*_ZONES, "addSource", "ss", zone, source(address)))
    if finished.status == 0:
        return True
    if b"ZONE_ALREADY_SET" in finished.stdout:
        return False
    raise _refused(f"add {address} to the zone {zone}", zone, finished)


def has(host: Host, zone: str, address: str) -> bool:
    """Whether a zone holds an address. Raises InvalidConfig for an unknown zone, ToolMissing."""
    finished = _call(host, (*_ZONES, "querySource", "ss", zone, source(address)))
    if finished.status != 0:
        raise _refused(f"find {address} in the zone {zone}", zone, finished)
    return finished.stdout.split() == [b"b", b"true"]


def remove(host: Host, zone: str, address: str) -> bool:
    """Remove an address from a zone; False if either does not exist. Raises ToolMissing."""
    finished = _call(host, (*_ZONES, "removeSource", "ss", zone, source(address)))
    if finished.status == 0:
        return True
    if b"UNKNOWN_SOURCE" in finished.stdout or b"INVALID_ZONE" in finished.stdout:
        return False
    raise _refused(f"remove {address} from the zone {zone}", zone, finished)


def source(address: str) -> str:
    """An address as firewalld and the reference plugin write it: 10.1.0.2/32."""
    return f"{address}/{128 if family_of(address) == 6 else 32}"


def _call(host: Host, words: tuple[str, ...]) -> Finished:
    busctl = host.processes.find("busctl", FOLDERS)
    if busctl is None:
        raise ToolMissing(
            "busctl is not installed on this host",
            "firewalld is reached with it: install the package systemd",
        )
    options = ("--system", f"--timeout={TIMEOUT}", "--auto-start=no", "call", "--")
    return host.processes.run(
        [busctl, *options, *words], stdin=b"", env={"LC_ALL": "C"}, cwd="/", merged=True
    )


def _refused(request: str, zone: str, finished: Finished) -> InvalidConfig | ToolMissing:
    text = " ".join(finished.stdout.decode(errors="replace").split())
    if "INVALID_ZONE" in text:
        return InvalidConfig(f"$.firewalldZone: firewalld has no zone {zone[:40]!r}", text)
    return ToolMissing(f"firewalld did not {request}", f"output of busctl: {text}")
