"""The distribution's firewalld inside a private host, on a system bus of its own.

    with Firewalld(host, require(tools.firewalld)) as firewalld:
        firewalld.command("--zone=trusted", "--add-source=10.1.0.0/24")
        firewalld.reload()

Everything that no zone lets through is rejected, the default of a new installation. `close` leaves its rules as they are.
"""

from __future__ import annotations

import subprocess
import time
from types import TracebackType

from tests.harness.privatehost import HostError, PrivateHost

_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""


class Firewalld:
    """A running firewalld; its files are laid over the host's /usr."""

    def __init__(self, host: PrivateHost, root: str) -> None:
        self.host = host
        host.run(["mount", "-t", "overlay", "-o", f"lowerdir={root}/usr:/usr", "firewalld-usr", "/usr"])
        host.run(["cp", "-a", f"{root}/etc/firewalld", "/etc"])
        host.write("/run/dbus/system.conf", _BUS)
        self._bus = host.popen(
            ["/usr/bin/dbus-daemon", "--config-file=/run/dbus/system.conf", "--nofork", "--print-address"],
            stderr=subprocess.DEVNULL,
        )
        assert self._bus.stdout is not None
        if not self._bus.stdout.readline():
            raise HostError("dbus-daemon does not start")
        self._daemon = host.popen(
            ["/usr/sbin/firewalld", "--nofork", "--nopid", "--log-target=console"],
            env=_ENV,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def __enter__(self) -> Firewalld:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def command(self, *arguments: str) -> str:
        """Run firewall-cmd and return what it printed; HostError if it refuses."""
        return str(self.host.run(["/usr/bin/firewall-cmd", *arguments], env=_ENV).stdout.strip())

    def reload(self) -> None:
        """Forget what was not made permanent, and build every rule again."""
        self.command("--reload")

    def close(self) -> None:
        """End firewalld and its bus at once."""
        for process in (self._daemon, self._bus):
            process.kill()
            process.wait()

    def _wait(self) -> None:
        """Return when it answers; HostError if it ends instead, or after 20 seconds."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._daemon.poll() is None:
            if self.host.run(["/usr/bin/firewall-cmd", "--state"], env=_ENV, check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise HostError("firewalld does not answer")
