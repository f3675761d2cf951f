"""127.0.0.1 and ::1 lead to a container while it needs that, and no longer."""

from __future__ import annotations

import errno

import pytest

from linkspan.cni.errors import TryAgain
from linkspan.cni.model import Attachment
from linkspan.host.memory.links import MemoryLinks
from linkspan.steps.relay import relayed
from tests.harness.portmap import BACKENDS, BRIDGE, PortmapDesk

SYSCTL = "ipv4/conf/br0/route_localnet"
PORT = {"hostPort": 8080, "containerPort": 80}
C1, OTHER = Attachment("net", "c1", "eth0"), Attachment("other", "c1", "eth1")


@pytest.fixture(params=BACKENDS)
def relaying(request: pytest.FixtureRequest) -> PortmapDesk:
    return PortmapDesk(request.param, localhost="relay")


def own_links(desk: PortmapDesk) -> MemoryLinks:
    return desk.host.namespace("/proc/self/ns/net")


def guarded(desk: PortmapDesk) -> bool:
    """Whether packets from the bridge to 127.0.0.0/8 are dropped."""
    element, rule = "Element(name='localnet', key=('br0',)", "in_interface='br0'"
    return any(
        element in line or ("127.0.0.0/8" in line and (rule in line or "-i br0" in line))
        for line in desk.host.state()
    )


def publish_second(desk: PortmapDesk) -> None:
    """Publish a port of another container on the bridge."""
    desk.runtime.call("ADD", BRIDGE, container_id="c2", ifname="eth9")
    second = {**desk.second(), "prevResult": desk.runtime.result}
    assert desk.runtime.call("ADD", second, container_id="c2", ifname="eth9").status == 0


def test_127_0_0_1_is_routed_until_the_last_container_that_needs_it_goes_and_guarded_ever_after(
    desk: PortmapDesk,
) -> None:
    desk.call("ADD")
    publish_second(desk)
    states = [(own_links(desk).sysctl(SYSCTL), guarded(desk))]
    desk.call("DEL")
    states.append((own_links(desk).sysctl(SYSCTL), guarded(desk)))
    desk.runtime.call("DEL", desk.second(), container_id="c2", ifname="eth9")
    states.append((own_links(desk).sysctl(SYSCTL), guarded(desk)))
    assert states == [("1", True), ("1", True), ("0", True)]


def test_del_changes_iptables_once_per_family(desk: PortmapDesk) -> None:
    desk.call("ADD")
    desk.host.requests.clear()
    desk.call("DEL")
    changes = [name for name, _ in desk.host.requests].count("iptables.apply_all")
    assert changes == (2 if desk.backend == "iptables" else 0)


def test_what_somebody_else_switched_on_stays_on(desk: PortmapDesk) -> None:
    own_links(desk).sysctls[SYSCTL] = "1"
    desk.call("ADD")
    desk.call("DEL")
    assert (own_links(desk).sysctl(SYSCTL), guarded(desk)) == ("1", True)


def test_a_switch_that_cannot_be_turned_off_fails_del_and_is_tried_again(desk: PortmapDesk) -> None:
    desk.call("ADD")
    desk.host.revive()
    desk.host.refuse = {"links.set_sysctl": errno.EROFS}
    answer = desk.call("DEL")
    assert (answer.status, guarded(desk)) == (1, True)
    desk.host.revive()
    assert desk.call("DEL").status == 0
    assert own_links(desk).sysctl(SYSCTL) == "0"


def test_a_bridge_that_is_gone_has_nothing_to_switch_off(desk: PortmapDesk) -> None:
    desk.call("ADD")
    own_links(desk).delete("br0")
    assert desk.call("DEL").status == 0


def test_relaying_never_routes_127_0_0_1(relaying: PortmapDesk) -> None:
    assert relaying.call("ADD").status == 0
    assert (own_links(relaying).sysctl(SYSCTL), guarded(relaying)) == ("0", False)


def test_add_relays_the_ports_and_del_ends_it(relaying: PortmapDesk) -> None:
    relaying.call("ADD", [PORT])
    during = [(each.family, each.host_port, each.address) for each in relayed(relaying.host, C1)]
    relaying.call("DEL")
    assert during == [(4, 8080, "10.5.0.2"), (6, 8080, "fd00:5::2")]
    assert relayed(relaying.host, C1) == ()


def test_changing_to_the_relay_ends_the_routing_and_back(desk: PortmapDesk) -> None:
    seen = []
    for localhost in ("", "relay", ""):
        desk.call("ADD", localhost=localhost)
        seen.append((own_links(desk).sysctl(SYSCTL), bool(relayed(desk.host, C1))))
    assert seen == [("1", False), ("0", True), ("1", False)]


def test_a_process_that_does_not_reply_fails_add_and_does_not_keep_del_from_its_work(
    relaying: PortmapDesk,
) -> None:
    before = relaying.own()
    relaying.host.refuse = {"services.ask": TryAgain("the ports process does not reply")}
    refused = relaying.call("ADD")
    after = relaying.own()
    relaying.host.revive()
    relaying.call("ADD")
    relaying.host.refuse = {"services.ask": TryAgain("the ports process does not reply")}
    answer = relaying.call("DEL")
    assert (refused.code, after == before, answer.status) == (TryAgain.code, True, 0)
    assert [each for each in relaying.host.warnings if "may still be relayed" in each]


def test_an_address_that_the_host_does_not_have_is_a_warning(relaying: PortmapDesk) -> None:
    relaying.host.services.without_families.add(6)
    assert relaying.call("ADD", [{**PORT, "hostIP": "::1"}]).status == 0
    assert relaying.host.warnings == ["portmap: nothing is published on ::1: this host does not have it"]


def test_reload_has_the_ports_relayed_again(relaying: PortmapDesk) -> None:
    from linkspan.call.reload import reload

    relaying.call("ADD", [PORT])
    served = relayed(relaying.host, C1)
    relaying.host.services.relayed.clear()
    reload(relaying.host)
    assert relayed(relaying.host, C1) == served


def test_other_network_of_the_container_is_served_when_the_last_one_goes(relaying: PortmapDesk) -> None:
    relaying.call("ADD", [PORT])
    beside = relaying.runtime.beside("other")
    beside.call("ADD", {**BRIDGE, "bridge": "br1", "ipam": IPAM2}, ifname="eth1")
    config = {**relaying.second(), "prevResult": beside.result, "runtimeConfig": {"portMappings": [PORT]}}
    assert beside.call("ADD", config, ifname="eth1").status == 0
    assert beside.call("DEL", config, ifname="eth1").status == 0
    assert relaying.call("CHECK", [PORT]).status == 0


IPAM2 = {"type": "host-local", "ranges": [[{"subnet": "10.6.0.0/24"}], [{"subnet": "fd00:6::/64"}]]}
