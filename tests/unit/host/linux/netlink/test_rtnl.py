"""Requests to rtnetlink are byte for byte those that pyroute2 writes; what it knows about every attribute is
held against ours.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import ip_interface
from typing import Any

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from linkspan.host.contract import KernelRoute, PolicyRule, PortVlans
from linkspan.host.linux.netlink import rtnl_link, rtnl_route, rtnl_rule
from linkspan.host.linux.netlink.client import Request

MAC, OTHER_MAC = "02:42:0a:00:00:01", "02:42:0a:00:00:02"
CREATE = 0x600  # NLM_F_CREATE | NLM_F_EXCL
CREATE_FURTHER = 0x400  # NLM_F_CREATE
NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR, NEWROUTE, DELROUTE, GETROUTE = 20, 21, 22, 24, 25, 26
NEWRULE, DELRULE, GETRULE = 32, 33, 34


def encoded(cls: Any, fields: Mapping[str, int], attributes: Mapping[str, Any]) -> bytes:
    """What pyroute2 writes, without struct nlmsghdr."""
    message = cls()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = _pairs(attributes)
    message.encode()
    return bytes(message.data)[16:]


def _pairs(attributes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, {"attrs": _pairs(value)} if isinstance(value, Mapping) else value)
        for name, value in attributes.items()
    ]


PEER = {"IFLA_IFNAME": "eth0", "IFLA_ADDRESS": OTHER_MAC, "IFLA_MTU": 1400, "IFLA_NET_NS_FD": 9}
LINKS: dict[str, tuple[Request, int, int, Mapping[str, int], Mapping[str, Any]]] = {
    "one link": (rtnl_link.get_link(7), GETLINK, 0, {"index": 7}, {"IFLA_EXT_MASK": 8}),
    "all links": (rtnl_link.get_links(), GETLINK, 0, {}, {"IFLA_EXT_MASK": 8}),
    "ports": (rtnl_link.get_links(4), GETLINK, 0, {}, {"IFLA_EXT_MASK": 8, "IFLA_MASTER": 4}),
    "links without a master": (
        rtnl_link.get_links(0),
        GETLINK,
        0,
        {},
        {"IFLA_EXT_MASK": 8, "IFLA_MASTER": 0xFFFFFFFF},
    ),
    "port VLANs": (
        rtnl_link.get_port_vlans(),
        GETLINK,
        0,
        {"family": socket.AF_BRIDGE},
        {"IFLA_EXT_MASK": 4},
    ),
    "a bridge": (
        rtnl_link.new_bridge("br0"),
        NEWLINK,
        CREATE,
        {},
        {"IFLA_IFNAME": "br0", "IFLA_LINKINFO": {"IFLA_INFO_KIND": "bridge"}},
    ),
    "a bridge that filters": (
        rtnl_link.new_bridge("br0", mac=MAC, mtu=1400, vlan_filtering=True),
        NEWLINK,
        CREATE,
        {},
        {
            "IFLA_IFNAME": "br0",
            "IFLA_ADDRESS": MAC,
            "IFLA_MTU": 1400,
            "IFLA_LINKINFO": {"IFLA_INFO_KIND": "bridge", "IFLA_INFO_DATA": {"IFLA_BR_VLAN_FILTERING": 1}},
        },
    ),
    "a VLAN link": (
        rtnl_link.new_vlan("br0.5", link=3, vlan=5),
        NEWLINK,
        CREATE,
        {},
        {
            "IFLA_IFNAME": "br0.5",
            "IFLA_LINK": 3,
            "IFLA_LINKINFO": {"IFLA_INFO_KIND": "vlan", "IFLA_INFO_DATA": {"IFLA_VLAN_ID": 5}},
        },
    ),
    "a pair": (
        rtnl_link.new_veth("veth0", mac=MAC, peer="eth0", peer_mac=OTHER_MAC, peer_netns=9, mtu=1400),
        NEWLINK,
        CREATE,
        {},
        {
            "IFLA_IFNAME": "veth0",
            "IFLA_ADDRESS": MAC,
            "IFLA_MTU": 1400,
            "IFLA_LINKINFO": {"IFLA_INFO_KIND": "veth", "IFLA_INFO_DATA": {"VETH_INFO_PEER": PEER}},
        },
    ),
    "a deletion": (rtnl_link.del_link(7), DELLINK, 0, {"index": 7}, {}),
    "flags": (
        rtnl_link.set_link(7, up=True, promisc=False),
        SETLINK,
        0,
        {"index": 7, "flags": 0x1, "change": 0x101},
        {},
    ),
    "all that a link can change": (
        rtnl_link.set_link(7, allmulti=True, mtu=1280, mac=MAC, master=0, txqlen=500),
        SETLINK,
        0,
        {"index": 7, "flags": 0x200, "change": 0x200},
        {"IFLA_MTU": 1280, "IFLA_ADDRESS": MAC, "IFLA_MASTER": 0, "IFLA_TXQLEN": 500},
    ),
    "port flags": (
        rtnl_link.set_port(7, hairpin=True, isolated=False),
        NEWLINK,
        0,
        {"index": 7},
        {
            "IFLA_LINKINFO": {
                "IFLA_INFO_SLAVE_KIND": "bridge",
                "IFLA_INFO_SLAVE_DATA": {"IFLA_BRPORT_MODE": 1, "IFLA_BRPORT_ISOLATED": 0},
            }
        },
    ),
}
ADDRESSES: dict[str, tuple[Request, int, int, Mapping[str, int], Mapping[str, Any]]] = {
    "all addresses": (rtnl_route.get_addresses(7), GETADDR, 0, {"index": 7}, {}),
    "IPv4": (
        rtnl_route.new_address(7, ip_interface("10.5.0.2/24"), nodad=True),
        NEWADDR,
        CREATE,
        {"family": socket.AF_INET, "prefixlen": 24, "index": 7},
        {"IFA_LOCAL": "10.5.0.2", "IFA_ADDRESS": "10.5.0.2", "IFA_BROADCAST": "10.5.0.255"},
    ),
    "IPv4 of a point-to-point prefix": (
        rtnl_route.new_address(7, ip_interface("10.5.0.2/31"), nodad=True),
        NEWADDR,
        CREATE,
        {"family": socket.AF_INET, "prefixlen": 31, "index": 7},
        {"IFA_LOCAL": "10.5.0.2", "IFA_ADDRESS": "10.5.0.2"},
    ),
    "IPv6": (
        rtnl_route.new_address(7, ip_interface("fd00:5::2/64"), nodad=True),
        NEWADDR,
        CREATE,
        {"family": socket.AF_INET6, "prefixlen": 64, "index": 7},
        {"IFA_LOCAL": "fd00:5::2", "IFA_ADDRESS": "fd00:5::2", "IFA_FLAGS": 0x82},
    ),
    "IPv6 with duplicate address detection": (
        rtnl_route.new_address(7, ip_interface("fd00:5::2/64"), nodad=False),
        NEWADDR,
        CREATE,
        {"family": socket.AF_INET6, "prefixlen": 64, "index": 7},
        {"IFA_LOCAL": "fd00:5::2", "IFA_ADDRESS": "fd00:5::2"},
    ),
    "a deletion": (
        rtnl_route.del_address(7, ip_interface("10.5.0.2/24")),
        DELADDR,
        0,
        {"family": socket.AF_INET, "prefixlen": 24, "index": 7},
        {"IFA_LOCAL": "10.5.0.2", "IFA_ADDRESS": "10.5.0.2"},
    ),
}
ROUTE = {"family": socket.AF_INET, "proto": 3, "type": 1}
ROUTES: dict[str, tuple[Request, int, int, Mapping[str, int], Mapping[str, Any]]] = {
    "all routes of a table": (
        rtnl_route.get_routes(6, 254),
        GETROUTE,
        0,
        {"family": socket.AF_INET6, "table": 254, "type": 1},
        {},
    ),
    "the routes out of a link": (
        rtnl_route.get_routes(4, 0, 7),
        GETROUTE,
        0,
        {"family": socket.AF_INET, "type": 1},
        {"RTA_OIF": 7},
    ),
    "a table beyond a byte": (
        rtnl_route.get_routes(4, 1000),
        GETROUTE,
        0,
        {"family": socket.AF_INET, "table": 0, "type": 1},
        {},
    ),
    "a default route": (
        rtnl_route.new_route("0.0.0.0/0", index=7, gw="10.5.0.1"),
        NEWROUTE,
        CREATE_FURTHER,
        {**ROUTE, "dst_len": 0, "table": 254, "scope": 0},
        {"RTA_GATEWAY": "10.5.0.1", "RTA_OIF": 7},
    ),
    "an on-link route": (
        rtnl_route.new_route("10.9.0.0/16", index=7),
        NEWROUTE,
        CREATE_FURTHER,
        {**ROUTE, "dst_len": 16, "table": 254, "scope": 253},
        {"RTA_DST": "10.9.0.0", "RTA_OIF": 7},
    ),
    "all that a route can have": (
        rtnl_route.new_route(
            "fd00:9::/48",
            index=7,
            gw="fd00:5::1",
            mtu=1400,
            advmss=1360,
            priority=7,
            table=1000,
            scope=0,
        ),
        NEWROUTE,
        CREATE,
        {**ROUTE, "family": socket.AF_INET6, "dst_len": 48, "table": 0, "scope": 0},
        {
            "RTA_GATEWAY": "fd00:5::1",
            "RTA_METRICS": {"RTAX_MTU": 1400, "RTAX_ADVMSS": 1360},
            "RTA_PRIORITY": 7,
            "RTA_TABLE": 1000,
            "RTA_DST": "fd00:9::",
            "RTA_OIF": 7,
        },
    ),
}
ROUTES |= {
    "a deletion": (
        rtnl_route.del_route(
            KernelRoute(dst="10.9.0.0/16", gw="10.5.0.1", ifname="eth0", table=10002, priority=7, scope=0), 7
        ),
        DELROUTE,
        0,
        {"family": socket.AF_INET, "dst_len": 16, "table": 0, "scope": 0},
        {
            "RTA_GATEWAY": "10.5.0.1",
            "RTA_PRIORITY": 7,
            "RTA_TABLE": 10002,
            "RTA_DST": "10.9.0.0",
            "RTA_OIF": 7,
        },
    ),
    "a deletion of an on-link default route": (
        rtnl_route.del_route(
            KernelRoute(dst="0.0.0.0/0", gw="", ifname="eth0", table=254, priority=0, scope=253), 7
        ),
        DELROUTE,
        0,
        {"family": socket.AF_INET, "dst_len": 0, "table": 254, "scope": 253},
        {"RTA_TABLE": 254, "RTA_OIF": 7},
    ),
}
TO_TABLE = {"action": 1}  # FR_ACT_TO_TBL
RULES: dict[str, tuple[Request, int, int, Mapping[str, int], Mapping[str, Any]]] = {
    "all rules": (rtnl_rule.get_rules(6), GETRULE, 0, {"family": socket.AF_INET6}, {}),
    "a rule": (
        rtnl_rule.new_rule(PolicyRule(source="10.5.0.2", table=10002, priority=20000)),
        NEWRULE,
        CREATE,
        {**TO_TABLE, "family": socket.AF_INET, "src_len": 32},
        {"FRA_SRC": "10.5.0.2", "FRA_PRIORITY": 20000, "FRA_TABLE": 10002},
    ),
    "a rule of IPv6": (
        rtnl_rule.new_rule(PolicyRule(source="fd00:5::2", table=10002, priority=20000)),
        NEWRULE,
        CREATE,
        {**TO_TABLE, "family": socket.AF_INET6, "src_len": 128},
        {"FRA_SRC": "fd00:5::2", "FRA_PRIORITY": 20000, "FRA_TABLE": 10002},
    ),
    "a deletion": (
        rtnl_rule.del_rule(PolicyRule(source="10.5.0.2", table=10002, priority=20000)),
        DELRULE,
        0,
        {**TO_TABLE, "family": socket.AF_INET, "src_len": 32},
        {"FRA_SRC": "10.5.0.2", "FRA_PRIORITY": 20000, "FRA_TABLE": 10002},
    ),
}
CASES = [
    pytest.param(cls, *case, id=name)
    for cls, cases in ((ifinfmsg, LINKS), (ifaddrmsg, ADDRESSES), (rtmsg, ROUTES), (fibmsg, RULES))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("cls", "request_", "kind", "flags", "fields", "attributes"), CASES)
def test_a_request_is_what_pyroute2_writes(
    cls: Any,
    request_: Request,
    kind: int,
    flags: int,
    fields: Mapping[str, int],
    attributes: Mapping[str, Any],
) -> None:
    assert request_ == Request(kind, encoded(cls, fields, attributes), flags)


@pytest.mark.parametrize(
    ("vlans", "on_bridge"),
    [
        (PortVlans(5, 5), False),
        (PortVlans(5, 5, untagged=True), False),
        (PortVlans(5, 9), False),
        (PortVlans(5, 9), True),
    ],
    ids=["one", "untagged", "a range", "on the bridge"],
)
def test_vlans_of_a_port_read_as_they_were_written(vlans: PortVlans, on_bridge: bool) -> None:
    written = rtnl_link.add_port_vlans(7, vlans, on_bridge=on_bridge)
    assert rtnl_link.read_port_vlans(written.payload) == (7, (vlans,))


def test_a_rule_reads_as_it_was_written() -> None:
    rule = PolicyRule(source="fd00:5::2", table=10002, priority=20000)
    assert rtnl_rule.read_rule(rtnl_rule.new_rule(rule).payload) == rule


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ({"src_len": 24, "action": 1}, {"FRA_SRC": "10.5.0.0", "FRA_TABLE": 100}),
        ({"src_len": 0, "action": 1}, {"FRA_TABLE": 254}),
        ({"src_len": 32, "action": 6}, {"FRA_SRC": "10.5.0.2"}),
    ],
    ids=["from a subnet", "from anywhere", "that blackholes"],
)
def test_a_rule_of_another_kind_is_none(fields: Mapping[str, int], attributes: Mapping[str, Any]) -> None:
    assert rtnl_rule.read_rule(encoded(fibmsg, {"family": socket.AF_INET, **fields}, attributes)) is None


def test_a_route_with_host_bits_is_one_to_its_network() -> None:
    assert rtnl_route.new_route("10.9.0.1/16", index=7) == rtnl_route.new_route("10.9.0.0/16", index=7)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=["NUL", "surrogate"])
def test_a_name_that_no_link_can_have_is_invalid(name: str) -> None:
    """And is never cut to another name."""
    with pytest.raises(OSError, match="Invalid argument"):
        rtnl_link.new_bridge(name)


@pytest.mark.parametrize(
    ("vlan_default", "filtering"),
    [({}, None), ({"IFLA_BR_VLAN_DEFAULT_PVID": 1}, False)],
    ids=["none", "off"],
)
def test_a_bridge_tells_whether_its_kernel_can_filter_vlans(
    vlan_default: Mapping[str, int], filtering: bool | None
) -> None:
    data = {"IFLA_BR_VLAN_FILTERING": 0, **vlan_default}
    info = {"IFLA_INFO_KIND": "bridge", "IFLA_INFO_DATA": data}
    payload = encoded(ifinfmsg, {"index": 7}, {"IFLA_IFNAME": "br0", "IFLA_LINKINFO": info})
    assert rtnl_link.read_link(payload).vlan_filtering is filtering


def test_a_link_is_read_with_all_that_the_contract_has() -> None:
    port = {"IFLA_BRPORT_MODE": 1, "IFLA_BRPORT_ISOLATED": 1}
    attributes = {
        "IFLA_IFNAME": "veth0",
        "IFLA_ADDRESS": MAC,
        "IFLA_MTU": 1400,
        "IFLA_LINK": 3,
        "IFLA_MASTER": 4,
        "IFLA_TXQLEN": 500,
        "IFLA_OPERSTATE": "UP",
        "IFLA_PROMISCUITY": 2,
        "IFLA_LINKINFO": {
            "IFLA_INFO_KIND": "veth",
            "IFLA_INFO_SLAVE_KIND": "bridge",
            "IFLA_INFO_SLAVE_DATA": port,
        },
    }
    link = rtnl_link.read_link(encoded(ifinfmsg, {"index": 7, "flags": 0x10301}, attributes))
    assert (link.index, link.name, link.kind, link.mac, link.mtu) == (7, "veth0", "veth", MAC, 1400)
    assert (link.peer, link.master, link.promiscuity, link.txqlen) == (3, 4, 2, 500)
    assert (link.up, link.promisc, link.allmulti, link.carrier, link.hairpin, link.isolated) == (True,) * 6
    assert link.lower_up
    assert link.vlan_filtering is None
