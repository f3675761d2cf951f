"""A firewalld that takes every address into a zone and forgets it at once, on a system bus of its own."""

from __future__ import annotations

from tests.harness.privatehost import HostError, PrivateHost

#: What a host needs for it; Debian's python3 is the one that has the D-Bus bindings.
PROBE = "/usr/bin/python3 -c 'import dbus, gi' && test -x /usr/bin/dbus-daemon"

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""

_SERVICE = """
import dbus, dbus.service, dbus.mainloop.glib
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
ZONE = "org.fedoraproject.FirewallD1.zone"
class Firewalld(dbus.service.Object):
    @dbus.service.method(ZONE, "ss", "s")
    def addSource(self, zone, source):
        return zone
    @dbus.service.method(ZONE, "ss", "s")
    def removeSource(self, zone, source):
        return zone
    @dbus.service.method(ZONE, "ss", "b")
    def querySource(self, zone, source):
        return False
bus = dbus.SystemBus()
name = dbus.service.BusName("org.fedoraproject.FirewallD1", bus)
Firewalld(bus, "/org/fedoraproject/FirewallD1")
print("ready", flush=True)
GLib.MainLoop().run()
"""


def start(host: PrivateHost) -> None:
    """Start bus and service in a host; they live as long as it. Raises HostError."""
    host.write("/run/dbus/system.conf", _BUS)
    # A program of that name, for who looks before asking.
    host.run(["mount", "-t", "tmpfs", "firewalld", "/usr/local/sbin"])
    host.write("/usr/local/sbin/firewalld", "#!/bin/sh\n", mode=0o755)
    programs = (
        ["/usr/bin/dbus-daemon", "--config-file=/run/dbus/system.conf", "--nofork", "--print-address"],
        ["/usr/bin/python3", "-c", _SERVICE],
    )
    for argv in programs:
        process = host.popen(argv, stderr=None)
        if process.stdout is None or not process.stdout.readline():
            raise HostError(f"{argv[0]} does not start")
