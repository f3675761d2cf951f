"""The firewall plugin on a real kernel: who reaches whom, and what is left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness import ours, tools
from tests.harness.chain import Chain, ChainError
from tests.harness.networks import address, box, network, only, published
from tests.harness.privatehost import HOST_V4, OUTSIDE, PrivateHost
from tests.harness.talk import ask, serve

pytestmark = pytest.mark.root

PORT = 18080
BACKENDS = ("iptables", "nftables")


@pytest.fixture
def host(host: PrivateHost) -> PrivateHost:
    ours.install(host)
    return host


def drop_forwarded(host: PrivateHost) -> None:
    host.run(["iptables", "-P", "FORWARD", "DROP"])
    host.run(["ip6tables", "-P", "FORWARD", "DROP"])


def bridged_to_iptables(host: PrivateHost, value: str) -> None:
    for tool in ("iptables", "ip6tables"):
        host.run(["sysctl", "-qw", f"net.bridge.bridge-nf-call-{tool}={value}"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_published_port_is_reached_although_forward_drops(host: PrivateHost, backend: str) -> None:
    """P#467, plugins#916: Docker's or ufw's policy does not close a published port, whatever the back end."""
    drop_forwarded(host)
    chain = network(host, "n1", 71, backend=backend)
    chain.add(box(host, "web", published(PORT)))
    with serve(host, "web", port=80):
        assert ask(host, HOST_V4, PORT, netns=OUTSIDE) == "web 198.51.100.1"


@pytest.mark.parametrize("backend", BACKENDS)
def test_container_gets_answers_from_outside_although_forward_drops(host: PrivateHost, backend: str) -> None:
    drop_forwarded(host)
    network(host, "n1", 71, backend=backend).add(box(host, "web"))
    with serve(host, OUTSIDE, port=80, name="outside"):
        assert ask(host, "198.51.100.1", 80, netns="web") == f"outside {HOST_V4}"


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_published_stays_closed_where_forward_drops(host: PrivateHost, backend: str) -> None:
    drop_forwarded(host)
    result = network(host, "n1", 71, backend=backend).add(box(host, "web", published(PORT)))
    host.outside(["ip", "route", "add", "10.71.0.0/24", "via", HOST_V4])
    with serve(host, "web", port=80):
        assert ask(host, address(result), 80, netns=OUTSIDE) is None


@pytest.fixture(params=["0", "1"])
def bridge_nf(request: pytest.FixtureRequest, host: PrivateHost) -> str:
    bridged_to_iptables(host, request.param)
    return str(request.param)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("policy", ["same-bridge", "isolated"])
def test_networks_are_fenced_off_but_their_published_ports_are_not(
    host: PrivateHost, bridge_nf: str, backend: str, policy: str
) -> None:
    """Not directly, but through the host's address: as under Docker."""
    web = network(host, "n1", 71, backend=backend, ingressPolicy=policy).add(
        box(host, "web", published(PORT))
    )
    network(host, "n2", 72, backend=backend, ingressPolicy=policy).add(box(host, "other"))
    with serve(host, "web", port=80):
        assert ask(host, address(web), 80, netns="other", wait=0.5) is None
        assert str(ask(host, HOST_V4, PORT, netns="other")).startswith("web ")


@pytest.mark.parametrize("backend", BACKENDS)
def test_same_bridge_lets_containers_of_one_network_talk(
    host: PrivateHost, bridge_nf: str, backend: str
) -> None:
    chain = network(host, "n1", 71, backend=backend, ingressPolicy="same-bridge")
    web = chain.add(box(host, "web"))
    chain.add(box(host, "other"))
    with serve(host, "web", port=80):
        assert str(ask(host, address(web), 80, netns="other")).startswith("web ")


@pytest.mark.parametrize("backend", BACKENDS)
def test_isolated_containers_reach_their_neighbours_published_ports_only(
    host: PrivateHost, bridge_nf: str, backend: str
) -> None:
    chain = network(host, "n1", 71, backend=backend, ingressPolicy="isolated")
    web = chain.add(box(host, "web", published(PORT)))
    chain.add(box(host, "other"))
    with serve(host, "web", port=80):
        assert ask(host, address(web), 80, netns="other", wait=0.5) is None
        assert str(ask(host, HOST_V4, PORT, netns="other")).startswith("web ")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("policy", ["open", "same-bridge"])
def test_add_and_delete_without_prev_result_leaves_nothing(
    host: PrivateHost, backend: str, policy: str
) -> None:
    """Case 142. A first attachment has made what is shared and stays."""
    drop_forwarded(host)
    chain = network(host, "n1", 71, backend=backend, ingressPolicy=policy)
    first, second = box(host, "first", published(PORT + 1)), box(host, "second", published(PORT))
    chain.add(first)
    before = host.snapshot(ignore=ours.STAYS)
    chain.add(second)
    chain.delete(second, forget=True)
    assert host.snapshot(ignore=ours.STAYS).diff(before) == []


def test_late_delete_leaves_the_rules_of_who_has_the_address_now(host: PrivateHost) -> None:
    """Case 143."""
    chain = network(host, "n1", 71, backend="iptables")
    old, new = box(host, "old"), box(host, "new")
    result = chain.add(old)
    chain.call("firewall", "ADD", chain.config(only(chain, "firewall"), new, result), new)
    before = host.snapshot()["iptables"]
    chain.call("firewall", "DEL", chain.config(only(chain, "firewall"), old, result), old)
    chain.call("firewall", "DEL", chain.config(only(chain, "firewall"), old, result), old)
    assert host.snapshot()["iptables"] == before


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_whole_chain_has_no_complaint_after_add(
    host: PrivateHost, bridge_nf: str, backend: str, policy: str
) -> None:
    """What firewall and portmap change of bridge's port is no fault to bridge."""
    chain = network(host, "n1", 71, backend=backend, ingressPolicy=policy)
    web = box(host, "web", published(PORT))
    chain.add(web)
    chain.check(web)


FLUSHED = (
    ("iptables", ["iptables", "-F", "FORWARD"]),
    ("iptables", ["iptables", "-F", "CNI-FORWARD"]),
    ("iptables", ["iptables", "-F", "CNI-ISOLATION-STAGE-1"]),
    ("iptables", ["iptables", "-F", "CNI-ISOLATION-STAGE-2"]),
    ("iptables", ["ip6tables", "-F", "CNI-FORWARD"]),
    ("nftables", ["nft", "flush", "ruleset"]),
    ("nftables", ["nft", "flush", "chain", "inet", "linkspan", "forward"]),
    ("nftables", ["nft", "flush", "set", "inet", "linkspan", "fenced"]),
)


@pytest.mark.parametrize(("backend", "flush"), FLUSHED)
def test_check_finds_what_was_flushed_and_reload_builds_it_again(
    host: PrivateHost, backend: str, flush: list[str]
) -> None:
    """Cases 144 and 145: CHECK says so and changes nothing; afterwards everything stands as before, once."""
    chain = network(host, "n1", 71, backend=backend, ingressPolicy="same-bridge")
    web = box(host, "web")
    result = chain.add(web)
    whole = host.snapshot()
    config = chain.config(only(chain, "firewall"), web, result)
    chain.call("firewall", "CHECK", config, web)
    host.run(flush)
    damaged = host.snapshot()
    with pytest.raises(ChainError) as failure:
        chain.call("firewall", "CHECK", config, web)
    assert failure.value.error["code"] == 103
    assert host.snapshot().diff(damaged) == []
    reload(host)
    reload(host)
    chain.call("firewall", "CHECK", config, web)
    assert [line for line in host.snapshot().diff(whole) if "CNI-" in line or "fenced" in line] == []


def reload(host: PrivateHost) -> None:
    ours.linkspan(host, "reload")


def test_lost_forward_jump_comes_back_below_the_fence(host: PrivateHost) -> None:
    """The reference puts it above, and the fence is open."""
    chain = network(host, "n1", 71, backend="iptables", ingressPolicy="same-bridge")
    chain.add(box(host, "web"))
    jump = ["-m", "comment", "--comment", "CNI firewall plugin rules", "-j", "CNI-FORWARD"]
    host.run(["iptables", "-D", "FORWARD", *jump])
    chain.add(box(host, "next"))
    targets = [line.split()[-1] for line in host.run(["iptables", "-S", "FORWARD"]).stdout.splitlines()[1:]]
    assert targets == ["CNI-ISOLATION-STAGE-1", "CNI-FORWARD"]


def test_gc_withdraws_what_the_runtime_no_longer_knows(host: PrivateHost) -> None:
    chain = network(host, "n1", 71, backend="iptables")
    kept, gone = box(host, "kept"), box(host, "gone")
    chain.add(kept)
    before = host.snapshot()["iptables"]
    chain.add(gone)
    chain.gc([kept])
    assert host.snapshot()["iptables"] == before


def test_rules_beside_the_reference_s_own_stand_once(host: PrivateHost) -> None:
    """The reference finds ours and adds nothing; its DEL takes back its own and leaves what only we know."""
    reference = tools.require(tools.reference_plugins)
    chain = network(host, "n1", 71, backend="iptables", ingressPolicy="same-bridge")
    web = box(host, "web")
    result = chain.add(web)
    before = host.snapshot()["iptables"]
    theirs = Chain(chain.conflist, reference, host=host, env=ours.STANDALONE)
    theirs.call("firewall", "ADD", theirs.config(only(theirs, "firewall"), web, result), web)
    assert host.snapshot()["iptables"] == before
    theirs.call("firewall", "CHECK", theirs.config(only(theirs, "firewall"), web, result), web)


def test_executable_run_by_hand_says_what_nerdctl_reads(host: PrivateHost) -> None:
    said = host.run([f"{ours.BIN}/firewall"], env={"PATH": ours.PATH})
    assert said.stdout == ""
    assert said.stderr.splitlines()[0] == "CNI firewall plugin v1.9.1"
    assert said.stderr.splitlines()[1].startswith("CNI protocol versions supported: 0.1.0, ")


# --- firewalld ---------------------------------------------------------------------------------------------------------

#: What firewalld's zone interface does, over the real bus daemon: firewalld itself wants a whole system around it.
_FIREWALLD = r"""
import dbus, dbus.service, dbus.mainloop.glib
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
ZONE = "org.fedoraproject.FirewallD1.zone"
class Refused(dbus.DBusException):
    _dbus_error_name = "org.fedoraproject.FirewallD1.Exception"
class Firewalld(dbus.service.Object):
    sources = {"trusted": set()}
    def _of(self, zone):
        if zone not in self.sources:
            raise Refused("INVALID_ZONE: " + zone)
        return self.sources[zone]
    @dbus.service.method(ZONE, "ss", "s")
    def addSource(self, zone, source):
        if source in self._of(zone):
            raise Refused("ZONE_ALREADY_SET: " + source)
        self._of(zone).add(str(source))
        return zone
    @dbus.service.method(ZONE, "ss", "s")
    def removeSource(self, zone, source):
        if source not in self._of(zone):
            raise Refused("UNKNOWN_SOURCE: " + source)
        self._of(zone).remove(source)
        return zone
    @dbus.service.method(ZONE, "ss", "b")
    def querySource(self, zone, source):
        return source in self._of(zone)
    @dbus.service.method(ZONE, "s", "as")
    def getSources(self, zone):
        return dbus.Array(sorted(self._of(zone)), "s")
    @dbus.service.method("org.fedoraproject.FirewallD1", "", "")
    def reload(self):
        self.sources["trusted"].clear()
bus = dbus.SystemBus()
name = dbus.service.BusName("org.fedoraproject.FirewallD1", bus)
Firewalld(bus, "/org/fedoraproject/FirewallD1")
print("ready", flush=True)
GLib.MainLoop().run()
"""
_BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""
_PYTHON_WITH_DBUS = "/usr/bin/python3"


@contextmanager
def firewalld(host: PrivateHost) -> Iterator[None]:
    """A system bus with firewalld's zone interface on it, and a program of its name."""
    have = subprocess.run([_PYTHON_WITH_DBUS, "-c", "import dbus, gi"], capture_output=True, check=False)
    if have.returncode != 0 or not os.path.exists("/usr/bin/dbus-daemon"):
        tools.skip("python3-dbus, python3-gi or dbus-daemon is missing")
    host.write("/run/dbus/system.conf", _BUS_CONFIG)
    bus = host.popen(
        ["/usr/bin/dbus-daemon", "--config-file=/run/dbus/system.conf", "--nofork", "--print-address"]
    )
    assert bus.stdout is not None
    assert bus.stdout.readline()
    host.run(["mount", "-t", "tmpfs", "tmpfs", "/usr/local/sbin"])
    host.write("/usr/local/sbin/firewalld", "#!/bin/sh\n", mode=0o755)
    service = host.popen([_PYTHON_WITH_DBUS, "-c", _FIREWALLD], stderr=None)
    assert service.stdout is not None
    assert service.stdout.readline() == "ready\n"
    yield


def zone_call(host: PrivateHost, interface: str, *words: str) -> str:
    destination = ("org.fedoraproject.FirewallD1", "/org/fedoraproject/FirewallD1")
    return host.run(["busctl", "--system", "call", *destination, interface, *words]).stdout.strip()


def sources(host: PrivateHost) -> str:
    return zone_call(host, "org.fedoraproject.FirewallD1.zone", "getSources", "s", "trusted")


def test_addresses_join_firewalld_s_zone_and_leave_it(host: PrivateHost) -> None:
    with firewalld(host):
        chain = network(host, "n1", 71)
        web = box(host, "web")
        chain.add(web)
        assert sources(host) == 'as 2 "10.71.0.2/32" "fd00:71::2/128"'
        chain.check(web)
        chain.delete(web, forget=True)
        assert sources(host) == "as 0"


def test_check_sees_that_firewalld_reloaded_and_reload_tells_it_again(host: PrivateHost) -> None:
    with firewalld(host):
        chain = network(host, "n1", 71)
        web = box(host, "web")
        chain.add(web)
        zone_call(host, "org.fedoraproject.FirewallD1", "reload")
        with pytest.raises(ChainError, match="is not in the zone trusted of firewalld"):
            chain.check(web)
        reload(host)
        chain.check(web)


def test_unknown_zone_is_an_error_that_names_it(host: PrivateHost) -> None:
    with firewalld(host), pytest.raises(ChainError) as failure:
        network(host, "n1", 71, backend="firewalld", firewalldZone="nowhere").add(box(host, "web"))
    assert failure.value.error["code"] == 7


def test_hung_firewalld_is_an_error_after_seconds(host: PrivateHost) -> None:
    with firewalld(host):
        chain = network(host, "n1", 71)
        pid = next(pid for pid, command in host.processes().items() if "FirewallD1" in command)
        os.kill(pid, 19)
        started = time.monotonic()
        with pytest.raises(ChainError, match="firewalld did not"):
            chain.add(box(host, "web"))
        assert time.monotonic() - started < 30
