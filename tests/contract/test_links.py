"""Links in memory and on the kernel keep the same promises."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from linkspan.cni.addresses import Family
from linkspan.cni.errors import InvalidNetns, KernelRefused, NetnsGone
from linkspan.host.contract import Host, KernelRoute, Links, PolicyRule, PortVlans
from linkspan.host.linux import LinuxHost
from linkspan.host.memory import MemoryHost
from linkspan.host.memory.links import MemoryLinks
from tests.harness.privatehost import PrivateHost

BOX = "/run/netns/box"
MAC, OTHER_MAC = "02:42:0a:00:00:01", "02:42:0a:00:00:02"


@pytest.fixture(params=["memory", pytest.param("linux", marks=pytest.mark.root)])
def both(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with one container, /run/netns/box, and a file /etc/file that is not a namespace."""
    if request.param == "memory":
        memory = MemoryHost()
        memory.add_netns(BOX)
        memory.files.write("/etc/file", b"")
        yield memory
        return
    sandbox: PrivateHost = request.getfixturevalue("host")
    sandbox.add_netns("box")
    sandbox.write("/etc/file", "")
    with sandbox.entered():
        real = LinuxHost()
        yield real
        real.close()


@pytest.fixture
def links(both: Host) -> Links:
    """The host's own links."""
    return both.links()


@pytest.fixture
def inside(both: Host) -> Links:
    """The container's links."""
    return both.links(BOX)


@pytest.fixture
def pair(links: Links) -> Links:
    """The host's links, with br0 up, veth0 a port of it, and its other end eth0 in the container; both ends
    are up.
    """
    links.create_bridge("br0", mac=MAC)
    links.change("br0", up=True)
    make_pair(links)
    links.change("veth0", master="br0", up=True)
    return links


def make_pair(links: Links, name: str = "veth0", peer: str = "eth0", mtu: int = 0) -> None:
    links.create_veth(name, mac=MAC, peer=peer, peer_mac=OTHER_MAC, peer_netns=BOX, mtu=mtu)


def refused(caught: pytest.ExceptionInfo[KernelRefused]) -> str:
    """The errno's name; of EOPNOTSUPP's two names (they are one number) the one that the kernel's sources
    use.
    """
    return {errno.EOPNOTSUPP: "EOPNOTSUPP"}.get(caught.value.errno, errno.errorcode[caught.value.errno])


# --- namespaces -----------------------------------------------------------------------------------


def test_an_absent_path_is_a_namespace_that_is_gone(both: Host) -> None:
    with pytest.raises(NetnsGone):
        both.links("/run/netns/absent")


def test_a_file_is_not_a_namespace(both: Host) -> None:
    with pytest.raises(InvalidNetns) as caught:
        both.links("/etc/file")
    assert not isinstance(caught.value, NetnsGone)


def test_only_our_own_namespace_is_the_same(both: Host) -> None:
    asked = ("/proc/self/ns/net", BOX, "/run/netns/absent")
    assert [both.same_netns(each) for each in asked] == [True, False, False]


def test_namespaces_that_exist_have_different_identities(both: Host) -> None:
    own, box = both.netns_identity("/proc/self/ns/net"), both.netns_identity(BOX)
    assert own
    assert box not in ("", own)
    assert (both.netns_identity(BOX), both.netns_identity("/run/netns/absent")) == (box, "")


# --- links ----------------------------------------------------------------------------------------


def test_an_absent_link_is_none(links: Links) -> None:
    assert (links.get("br0"), links.by_index(4711), links.by_index(0)) == (None, None, None)


@pytest.mark.parametrize("name", ["", "lo\0", "a-name-of-16-let", "a/b", "\ud800"], ids=ascii)
def test_a_name_that_no_link_can_have_is_absent(links: Links, name: str) -> None:
    assert (links.get(name), links.delete(name)) == (None, False)


def test_a_name_is_not_cut_to_one_that_exists(links: Links) -> None:
    links.create_bridge("fifteen-letters")
    assert (links.get("fifteen-letters-"), links.delete("fifteen-letters-")) == (None, False)


def test_a_fresh_container_has_lo_and_it_is_down(inside: Links) -> None:
    lo = inside.get("lo")
    assert lo is not None
    assert (lo.index, lo.kind, lo.mac, lo.mtu, lo.up) == (1, "", "00:00:00:00:00:00", 65536, False)
    assert inside.addresses("lo") == ()


def test_lo_that_is_up_has_both_its_addresses(inside: Links) -> None:
    inside.change("lo", up=True)
    assert inside.addresses("lo") == ("127.0.0.1/8", "::1/128")


def test_a_new_bridge_is_down_and_has_what_was_asked_for(links: Links) -> None:
    links.create_bridge("br0", mac=MAC, mtu=1400)
    link = links.get("br0")
    assert link is not None
    assert (link.kind, link.mac, link.mtu, link.up, link.master, link.peer) == (
        "bridge",
        MAC,
        1400,
        False,
        0,
        0,
    )
    assert links.by_index(link.index) == link


def test_a_bridge_of_a_taken_name_is_refused(links: Links) -> None:
    links.create_bridge("br0")
    with pytest.raises(KernelRefused) as caught:
        links.create_bridge("br0")
    assert refused(caught) == "EEXIST"


@pytest.mark.parametrize("name", ["sixteen-letters-", "é" * 8, "a b", ".", "a/b"], ids=ascii)
def test_a_name_that_the_kernel_does_not_accept_is_refused(links: Links, name: str) -> None:
    with pytest.raises(KernelRefused):
        links.create_bridge(name)


def test_both_ends_of_a_pair_are_made_at_once_and_know_each_other(links: Links, inside: Links) -> None:
    make_pair(links, mtu=1300)
    outer, inner = links.get("veth0"), inside.get("eth0")
    assert outer is not None
    assert inner is not None
    assert (outer.kind, outer.mac, outer.mtu, outer.up) == ("veth", MAC, 1300, False)
    assert (inner.kind, inner.mac, inner.mtu, inner.up) == ("veth", OTHER_MAC, 1300, False)
    assert (outer.peer, inner.peer) == (inner.index, outer.index)


@pytest.mark.parametrize(("name", "peer"), [("veth0", "eth1"), ("veth1", "eth0")], ids=["ours", "theirs"])
def test_a_pair_of_which_one_name_is_taken_is_refused_whole(
    links: Links, inside: Links, name: str, peer: str
) -> None:
    make_pair(links)
    with pytest.raises(KernelRefused) as caught:
        make_pair(links, name, peer)
    assert refused(caught) == "EEXIST"
    assert (links.get("veth1"), inside.get("eth1")) == (None, None)


def test_a_pair_into_a_container_that_is_gone_is_refused(links: Links) -> None:
    with pytest.raises(NetnsGone):
        links.create_veth("veth0", mac=MAC, peer="eth0", peer_mac=MAC, peer_netns="/run/netns/absent")
    assert links.get("veth0") is None


def test_a_pair_goes_with_either_end(links: Links, inside: Links) -> None:
    make_pair(links)
    assert inside.delete("eth0")
    assert (links.get("veth0"), inside.get("eth0")) == (None, None)


def test_deleting_an_absent_link_is_false(links: Links) -> None:
    assert not links.delete("veth0")


def test_lo_cannot_be_deleted(inside: Links) -> None:
    with pytest.raises(KernelRefused) as caught:
        inside.delete("lo")
    assert refused(caught) == "EOPNOTSUPP"


def test_ports_of_a_bridge_are_listed_and_outlive_it(pair: Links) -> None:
    bridge = pair.get("br0")
    assert bridge is not None
    assert [each.name for each in pair.all(master=bridge.index)] == ["veth0"]
    pair.delete("br0")
    port = pair.get("veth0")
    assert port is not None
    assert port.master == 0


def test_links_without_a_master_are_listed(pair: Links) -> None:
    names = [each.name for each in pair.all(master=0)]
    assert ("lo" in names, "br0" in names, "veth0" in names) == (True, True, False)


def test_a_bridge_has_a_lower_link_that_is_up_until_its_last_port_is_deleted(
    pair: Links, inside: Links
) -> None:
    inside.change("eth0", up=True)
    with_port = pair.get("br0")
    pair.delete("veth0")
    without = pair.get("br0")
    assert with_port is not None
    assert without is not None
    assert (with_port.lower_up, without.lower_up) == (True, False)


def test_links_are_listed_by_kind(pair: Links) -> None:
    assert [each.name for each in pair.all(kind="bridge")] == ["br0"]
    assert "lo" in [each.name for each in pair.all()]


def test_a_port_has_its_carrier_when_both_ends_are_up(pair: Links, inside: Links) -> None:
    before = pair.get("veth0")
    inside.change("eth0", up=True)
    after, other = pair.get("veth0"), inside.get("eth0")
    assert before is not None
    assert after is not None
    assert other is not None
    assert (before.up, before.carrier, after.carrier, other.carrier) == (True, False, True, True)


def test_what_is_changed_is_seen(pair: Links) -> None:
    pair.change("veth0", mtu=1280, mac=OTHER_MAC, master="")
    link = pair.get("veth0")
    assert link is not None
    assert (link.mtu, link.mac, link.master, link.up) == (1280, OTHER_MAC, 0, True)


def test_promiscuity_is_counted(links: Links) -> None:
    links.create_bridge("br0")
    links.change("br0", promisc=True)
    on = links.get("br0")
    links.change("br0", promisc=False)
    off = links.get("br0")
    assert on is not None
    assert off is not None
    assert (on.promiscuity, off.promiscuity) == (1, 0)


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({"mtu": 67}, "EINVAL"),
        ({"mac": "01:00:00:00:00:01"}, "EADDRNOTAVAIL"),
        ({"master": "nobr"}, "ENODEV"),
    ],
    ids=["mtu", "mac", "master"],
)
def test_a_change_that_the_kernel_does_not_accept_is_refused(
    pair: Links, wanted: dict[str, str], number: str
) -> None:
    with pytest.raises(KernelRefused) as caught:
        pair.change("veth0", **wanted)  # type: ignore[arg-type]
    assert refused(caught) == number


def test_only_a_bridge_has_ports(pair: Links) -> None:
    with pytest.raises(KernelRefused) as caught:
        pair.change("veth0", master="lo")
    assert refused(caught) == "EOPNOTSUPP"


def test_an_absent_link_cannot_be_changed(links: Links) -> None:
    with pytest.raises(KernelRefused) as caught:
        links.change("veth0", up=True)
    assert refused(caught) == "ENODEV"


def test_hairpin_is_a_flag_of_a_port_until_it_leaves(pair: Links) -> None:
    pair.change_port("veth0", hairpin=True, isolated=True)
    as_port = pair.get("veth0")
    pair.change("veth0", master="")
    alone = pair.get("veth0")
    assert as_port is not None
    assert alone is not None
    assert (as_port.hairpin, alone.hairpin) == (True, False)


def test_only_a_port_has_port_flags(links: Links) -> None:
    make_pair(links)
    with pytest.raises(KernelRefused) as caught:
        links.change_port("veth0", hairpin=True)
    assert refused(caught) == "EOPNOTSUPP"


# --- addresses ------------------------------------------------------------------------------------


def test_addresses_come_in_the_order_they_were_given(inside: Links, pair: Links) -> None:
    for address in ("10.5.0.2/24", "10.6.0.2/16", "fd00:5::2/64"):
        assert inside.add_address("eth0", address)
    assert inside.addresses("eth0") == ("10.5.0.2/24", "10.6.0.2/16", "fd00:5::2/64")


def test_an_address_is_added_once_and_deleted_once(inside: Links, pair: Links) -> None:
    assert inside.add_address("eth0", "10.5.0.2/24")
    assert not inside.add_address("eth0", "10.5.0.2/24")
    assert inside.delete_address("eth0", "10.5.0.2/24")
    assert not inside.delete_address("eth0", "10.5.0.2/24")
    assert inside.addresses("eth0") == ()


def test_no_ipv6_address_where_ipv6_is_off(inside: Links, pair: Links) -> None:
    inside.set_sysctl("ipv6/conf/eth0/disable_ipv6", "1")
    with pytest.raises(KernelRefused) as caught:
        inside.add_address("eth0", "fd00:5::2/64")
    assert refused(caught) == "EACCES"


def test_addresses_of_an_absent_link_are_refused(links: Links) -> None:
    for ask in (lambda: links.addresses("veth0"), lambda: links.add_address("veth0", "10.5.0.2/24")):
        with pytest.raises(KernelRefused) as caught:
            ask()
        assert refused(caught) == "ENODEV"


def test_a_link_that_goes_down_keeps_ipv4_and_loses_ipv6_and_routes(inside: Links, pair: Links) -> None:
    furnished(inside)
    inside.change("eth0", up=False)
    assert inside.addresses("eth0") == ("10.5.0.2/24",)
    assert (routes(inside, 4), routes(inside, 6)) == ([], [])


# --- routes ---------------------------------------------------------------------------------------


def furnished(inside: Links) -> None:
    inside.set_sysctl("ipv6/conf/eth0/accept_dad", "0")
    inside.change("eth0", up=True)
    inside.add_address("eth0", "10.5.0.2/24")
    inside.add_address("eth0", "fd00:5::2/64")


def routes(inside: Links, family: int, table: int = 254) -> list[tuple[object, ...]]:
    """(dst, gw, priority, scope) of the routes that do not follow from a link-local address."""
    found = inside.routes(6 if family == 6 else 4, table=table)
    return [
        (each.dst, each.gw, each.priority, each.scope)
        for each in found
        if not each.dst.startswith(("fe80:", "ff00:"))
    ]


def test_an_address_brings_the_route_to_its_subnet(inside: Links, pair: Links) -> None:
    furnished(inside)
    assert routes(inside, 4) == [("10.5.0.0/24", "", 0, 253)]
    assert routes(inside, 6) == [("fd00:5::/64", "", 256, 0)]


def test_an_address_given_before_the_link_is_up_brings_it_too(inside: Links, pair: Links) -> None:
    inside.add_address("eth0", "10.5.0.2/24")
    before = routes(inside, 4)
    inside.change("eth0", up=True)
    assert (before, routes(inside, 4)) == ([], [("10.5.0.0/24", "", 0, 253)])


@pytest.mark.parametrize(
    ("dst", "gw", "seen"),
    [
        ("0.0.0.0/0", "10.5.0.1", ("0.0.0.0/0", "10.5.0.1", 0, 0)),
        ("10.9.0.0/16", "", ("10.9.0.0/16", "", 0, 253)),
        ("::/0", "fd00:5::1", ("::/0", "fd00:5::1", 1024, 0)),
        ("fd00:9::/48", "", ("fd00:9::/48", "", 1024, 0)),
    ],
    ids=["default", "on-link", "default6", "on-link6"],
)
def test_a_route_is_found_as_it_was_added(
    inside: Links, pair: Links, dst: str, gw: str, seen: tuple[object, ...]
) -> None:
    furnished(inside)
    inside.add_route(dst, ifname="eth0", gw=gw)
    assert seen in routes(inside, 6 if ":" in dst else 4)


def test_a_route_with_host_bits_is_one_to_its_network(inside: Links, pair: Links) -> None:
    furnished(inside)
    inside.add_route("10.9.3.4/16", ifname="eth0")
    assert ("10.9.0.0/16", "", 0, 253) in routes(inside, 4)


def test_a_route_keeps_all_its_numbers(inside: Links, pair: Links) -> None:
    furnished(inside)
    inside.add_route(
        "10.9.0.0/16", ifname="eth0", gw="10.5.0.1", mtu=1400, advmss=1360, priority=7, table=99, scope=0
    )
    (route,) = inside.routes(4, table=99)
    assert (route.ifname, route.mtu, route.advmss, route.priority, route.table) == ("eth0", 1400, 1360, 7, 99)
    assert route in inside.routes(4, table=0)
    assert route not in inside.routes(4)


@pytest.mark.parametrize(
    ("dst", "gw", "second"),
    [
        ("0.0.0.0/0", "10.5.0.1", "10.5.0.1"),
        ("::/0", "fd00:5::1", "fd00:5::1"),
        ("::/0", "fd00:5::1", "fd00:5::9"),
    ],
    ids=["IPv4", "IPv6", "IPv6, another gateway"],
)
def test_the_same_route_twice_is_refused_and_another_priority_is_not(
    inside: Links, pair: Links, dst: str, gw: str, second: str
) -> None:
    furnished(inside)
    inside.add_route(dst, ifname="eth0", gw=gw)
    with pytest.raises(KernelRefused) as caught:
        inside.add_route(dst, ifname="eth0", gw=second)
    assert refused(caught) == "EEXIST"
    inside.add_route(dst, ifname="eth0", gw=second, priority=100)
    assert len([each for each in routes(inside, 6 if ":" in dst else 4) if each[0] == dst]) == 2


def test_of_two_ipv4_routes_to_one_destination_the_later_comes_first(inside: Links, pair: Links) -> None:
    furnished(inside)
    inside.add_route("10.5.0.0/24", ifname="eth0", gw="10.5.0.1")
    found = [each[:2] for each in routes(inside, 4)]
    assert found == [("10.5.0.0/24", "10.5.0.1"), ("10.5.0.0/24", "")]


def test_numbers_that_the_kernel_has_no_room_for_are_refused(inside: Links, pair: Links) -> None:
    furnished(inside)
    with pytest.raises(KernelRefused) as caught:
        inside.add_route("10.9.0.0/16", ifname="eth0", priority=2**32)
    assert refused(caught) == "ERANGE"


def test_link_local_addresses_are_listed_if_asked_for(inside: Links, pair: Links) -> None:
    furnished(inside)
    inside.add_address("eth0", "fe80::7/64")
    assert "fe80::7/64" not in inside.addresses("eth0")
    assert "fe80::7/64" in inside.addresses("eth0", link_local=True)


@pytest.mark.parametrize("family", [4, 6])
def test_the_routes_of_a_link_are_those_that_lead_out_of_it(inside: Links, family: Family) -> None:
    for number, name in ((1, "br1"), (2, "br2")):
        inside.create_bridge(name)
        inside.change(name, up=True)
        inside.add_address(name, f"10.{number}.0.1/24" if family == 4 else f"fd00:{number}::1/64")
    inside.add_route("0.0.0.0/0" if family == 4 else "::/0", ifname="br2")
    found = {name: [each.dst for each in inside.routes(family, ifname=name)] for name in ("br1", "br2", "no")}
    of_link_local_addresses = ("fe80::/64", "ff00::/8")
    assert {name: {*dsts} - {*of_link_local_addresses} for name, dsts in found.items()} == {
        "br1": {"10.1.0.0/24" if family == 4 else "fd00:1::/64"},
        "br2": {"10.2.0.0/24", "0.0.0.0/0"} if family == 4 else {"fd00:2::/64", "::/0"},
        "no": set(),
    }


@pytest.mark.parametrize(
    ("dst", "gw", "number"),
    [("0.0.0.0/0", "10.77.0.1", "ENETUNREACH"), ("::/0", "fd00:77::1", "EHOSTUNREACH")],
)
def test_a_gateway_that_is_not_on_the_link_is_refused(
    inside: Links, pair: Links, dst: str, gw: str, number: str
) -> None:
    furnished(inside)
    with pytest.raises(KernelRefused) as caught:
        inside.add_route(dst, ifname="eth0", gw=gw)
    assert refused(caught) == number


def test_a_route_through_a_link_that_is_down_is_refused(inside: Links, pair: Links) -> None:
    with pytest.raises(KernelRefused) as caught:
        inside.add_route("10.9.0.0/16", ifname="eth0")
    assert refused(caught) == "ENETDOWN"


@pytest.mark.parametrize("table", [254, 10002])
@pytest.mark.parametrize(
    ("dst", "gw"), [("0.0.0.0/0", "10.5.0.1"), ("::/0", "fd00:5::1"), ("10.9.0.0/16", "")]
)
def test_a_route_that_is_found_can_be_deleted_once(
    inside: Links, pair: Links, dst: str, gw: str, table: int
) -> None:
    furnished(inside)
    inside.add_route(dst, ifname="eth0", gw=gw, table=table, priority=7)
    family: Family = 6 if ":" in dst else 4
    (route,) = [each for each in inside.routes(family, table=table) if each.priority == 7]
    assert (inside.delete_route(route), inside.delete_route(route)) == (True, False)
    assert route not in inside.routes(family, table=table)


def test_of_two_routes_that_differ_in_their_metric_the_other_one_stays(inside: Links, pair: Links) -> None:
    furnished(inside)
    for priority in (7, 8):
        inside.add_route("10.9.0.0/16", ifname="eth0", priority=priority, table=99)
    inside.delete_route(inside.routes(4, table=99)[1])
    assert [each.priority for each in inside.routes(4, table=99)] == [7]


def test_a_route_through_an_absent_link_is_not_there(links: Links) -> None:
    assert not links.delete_route(
        KernelRoute(dst="10.9.0.0/16", gw="", ifname="eth7", table=254, priority=0, scope=253)
    )


# --- policy rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "source"), [(4, "10.5.0.2"), (6, "fd00:5::2")])
def test_a_rule_is_found_as_it_was_added_until_it_is_deleted(
    inside: Links, family: Family, source: str
) -> None:
    rule = PolicyRule(source=source, table=10002, priority=20000)
    before = inside.rules(family)
    inside.add_rule(rule)
    assert (before, inside.rules(family), inside.rules(10 - family)) == ((), (rule,), ())  # type: ignore[arg-type]
    assert (inside.delete_rule(rule), inside.delete_rule(rule), inside.rules(family)) == (True, False, ())


def test_the_same_rule_twice_is_refused(inside: Links) -> None:
    rule = PolicyRule(source="10.5.0.2", table=10002, priority=20000)
    inside.add_rule(rule)
    with pytest.raises(KernelRefused) as caught:
        inside.add_rule(rule)
    assert refused(caught) == "EEXIST"


def test_rules_come_in_the_order_in_which_they_are_applied(inside: Links) -> None:
    rules = [PolicyRule(source="10.5.0.2", table=100 + each, priority=each) for each in (30, 10, 20)]
    for each in rules:
        inside.add_rule(each)
    assert [each.priority for each in inside.rules(4) or ()] == [10, 20, 30]


def test_a_kernel_without_policy_routing_has_no_rules_and_takes_none() -> None:
    memory = MemoryHost()
    memory.add_netns(BOX)
    links = memory.namespace(BOX)
    links.policy.known = False
    with pytest.raises(KernelRefused) as caught:
        links.add_rule(PolicyRule(source="10.5.0.2", table=10002, priority=20000))
    assert (refused(caught), links.rules(4)) == ("EAFNOSUPPORT", None)


# --- sysctls and neighbours -----------------------------------------------------------------------


def test_a_sysctl_is_read_as_it_was_written(pair: Links) -> None:
    assert pair.set_sysctl("ipv4/conf/veth0/route_localnet", "1")
    assert pair.sysctl("ipv4/conf/veth0/route_localnet") == "1"


def test_an_absent_sysctl_is_none_and_cannot_be_set(links: Links) -> None:
    assert links.sysctl("ipv4/no_such_thing") is None
    assert not links.set_sysctl("ipv4/no_such_thing", "1")


@pytest.mark.parametrize(
    ("key", "links_key"),
    [
        ("ipv4/ip_forward", "ipv4/conf/br0/forwarding"),
        ("ipv6/conf/all/forwarding", "ipv6/conf/br0/forwarding"),
    ],
)
def test_forwarding_for_all_is_forwarding_for_each_link(pair: Links, key: str, links_key: str) -> None:
    pair.set_sysctl(key, "1")
    assert (pair.sysctl(key), pair.sysctl(links_key)) == ("1", "1")


def test_a_new_link_takes_the_default(links: Links) -> None:
    links.set_sysctl("ipv6/conf/default/accept_ra", "2")
    links.create_bridge("br0")
    assert links.sysctl("ipv6/conf/br0/accept_ra") == "2"


def test_a_link_s_sysctls_go_with_it(links: Links) -> None:
    links.create_bridge("br0")
    links.delete("br0")
    assert links.sysctl("ipv6/conf/br0/accept_ra") is None


def test_sysctls_of_a_container_are_its_own(links: Links, inside: Links) -> None:
    inside.set_sysctl("ipv4/ip_forward", "1")
    assert links.sysctl("ipv4/ip_forward") == "0"


def test_announcing_addresses_is_best_effort(both: Host, pair: Links) -> None:
    pair.announce("veth0")
    pair.announce("no-such-link")


# --- VLANs: tests/conformance has them on kernels whose bridges know them -------------------------


@pytest.fixture
def vlan_port() -> MemoryLinks:
    """veth0 on a bridge in memory that filters VLANs."""
    memory = MemoryHost()
    memory.add_netns(BOX)
    links = memory.namespace("/proc/self/ns/net")
    links.create_bridge("br0", vlan_filtering=True)
    make_pair(links)
    links.change("veth0", master="br0")
    return links


def test_a_port_begins_with_the_first_vlan(vlan_port: MemoryLinks) -> None:
    assert vlan_port.vlans("veth0") == (PortVlans(1, 1, untagged=True),)


def test_neighbouring_vlans_are_seen_as_one(vlan_port: MemoryLinks) -> None:
    vlan_port.delete_vlans("veth0", PortVlans(1, 1))
    for first, last in ((10, 11), (12, 12), (20, 20)):
        vlan_port.add_vlans("veth0", PortVlans(first, last))
    vlan_port.add_vlans("veth0", PortVlans(13, 13, untagged=True))
    assert vlan_port.vlans("veth0") == (
        PortVlans(10, 12),
        PortVlans(13, 13, untagged=True),
        PortVlans(20, 20),
    )


def test_a_vlan_link_goes_with_what_it_is_on(vlan_port: MemoryLinks) -> None:
    vlan_port.create_vlan("br0.5", link="br0", vlan=5)
    vlan_port.delete("br0")
    assert vlan_port.get("br0.5") is None


def test_a_kernel_without_vlans_refuses_them(vlan_port: MemoryLinks) -> None:
    vlan_port.knows_vlans = False
    with pytest.raises(KernelRefused) as caught:
        vlan_port.add_vlans("veth0", PortVlans(5, 5))
    assert refused(caught) == "EOPNOTSUPP"
