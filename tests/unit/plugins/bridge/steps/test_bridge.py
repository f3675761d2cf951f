"""The bridge and its links in VLANs."""

from __future__ import annotations

from linkspan.host.contract import PortVlans
from tests.harness.bridge import PLAIN, TAGGED, links
from tests.harness.memory import Desk


def test_the_bridge_filters_vlans(desk: Desk) -> None:
    desk.call("ADD", TAGGED)
    bridge = links(desk).get("br0")
    assert bridge is not None
    assert bridge.vlan_filtering


def test_the_gateway_address_is_on_the_bridge_s_link_in_the_vlan(desk: Desk) -> None:
    desk.call("ADD", TAGGED)
    assert (links(desk).addresses("br0"), links(desk).addresses("br0.100")) == ((), ("10.5.0.1/24",))
    assert PortVlans(100, 100) in links(desk).vlans("br0")


def test_two_vlans_of_one_bridge_have_a_gateway_each(desk: Desk) -> None:
    desk.call("ADD", TAGGED)
    other = {**TAGGED, "vlan": 200, "ipam": {"type": "host-local", "subnet": "10.6.0.0/24"}}
    assert desk.beside("other").call("ADD", other, ifname="eth1").status == 0
    assert [links(desk).addresses(each) for each in ("br0.100", "br0.200")] == [
        ("10.5.0.1/24",),
        ("10.6.0.1/24",),
    ]


def test_a_kernel_without_vlan_filtering_is_reported_and_the_address_is_released(desk: Desk) -> None:
    links(desk).knows_vlans = False
    answer = desk.call("ADD", TAGGED)
    assert answer.code == 2
    assert "10.5.0.2" not in desk.host.files.names("/var/lib/cni/networks/net")


def test_a_bridge_without_vlan_filtering_is_used_with_a_warning(desk: Desk) -> None:
    links(desk).create_bridge("br0")
    assert desk.call("ADD", TAGGED).status == 0
    assert len(desk.host.warnings) == 1
    assert "without VLAN filtering" in desk.host.warnings[0]


def test_a_new_bridge_has_ipv6_also_on_a_host_that_has_it_switched_off(desk: Desk) -> None:
    host = links(desk)
    for key in ("all", "default"):
        host.set_sysctl(f"ipv6/conf/{key}/disable_ipv6", "1")
    assert desk.call("ADD", PLAIN).status == 0
    assert "fd00:5::1/64" in host.addresses("br0")


def test_a_new_bridge_without_ipv6_has_it_switched_off_like_the_host(desk: Desk) -> None:
    host = links(desk)
    host.set_sysctl("ipv6/conf/default/disable_ipv6", "1")
    desk.call("ADD", {**PLAIN, "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"}})
    assert host.sysctl("ipv6/conf/br0/disable_ipv6") == "1"
