"""bridge on a host in memory: what ADD makes, what is left when the kernel refuses, what DEL, CHECK and GC do."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import Any

import pytest

from linkspan.cni.model import Attachment
from linkspan.host.memory import Killed, MemoryHost, ReplyLost, Request
from linkspan.steps.masquerade import Masquerade
from tests.harness.memory import BOX, VERSIONS, Desk, SpyIpam

IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]],
}
PLAIN: dict[str, Any] = {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipam": IPAM}
BACKENDS = ("iptables", "nftables")
VETH = Attachment("net", "c1", "eth0").host_veth


def masquerading(backend: str) -> dict[str, Any]:
    return {**PLAIN, "ipMasq": True, "ipMasqBackend": backend}


#: Configurations that between them take every step there is.
WHOLE: dict[str, dict[str, Any]] = {
    "iptables": {**masquerading("iptables"), "portIsolation": True},
    "nftables": {**masquerading("nftables"), "hairpinMode": True, "mtu": 1400},
    "guarded": {**masquerading("nftables"), "vlan": 100, "vlanTrunk": [{"id": 7}], "macspoofchk": True},
    "internal": {"type": "bridge", "bridge": "br0", "isGateway": True, "internal": True, "ipam": IPAM},
}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def routes(desk: Desk, family: int = 4) -> list[tuple[str, str, int]]:
    found = desk.host.namespace(BOX).routes(6 if family == 6 else 4)
    return [(each.dst, each.gw, each.priority) for each in found]


# --- ADD ---------------------------------------------------------------------------------------------------------


def test_add_answers_with_the_three_interfaces_and_the_container_s_addresses(desk: Desk) -> None:
    result = desk.call("ADD", PLAIN).document
    assert [(each["name"], each.get("sandbox", "")) for each in result["interfaces"]] == [
        ("br0", ""),
        (VETH, ""),
        ("eth0", BOX),
    ]
    assert result["ips"] == [
        {"address": "10.5.0.2/24", "gateway": "10.5.0.1", "interface": 2},
        {"address": "fd00:5::2/64", "gateway": "fd00:5::1", "interface": 2},
    ]
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.5.0.1"}, {"dst": "::/0", "gw": "fd00:5::1"}]


def test_add_makes_what_it_answers(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    host, box = desk.host.namespace("/proc/self/ns/net"), desk.host.namespace(BOX)
    outside, inside, bridge = host.get(VETH), box.get("eth0"), host.get("br0")
    assert outside is not None
    assert inside is not None
    assert bridge is not None
    assert (outside.master, outside.up, inside.up, inside.carrier) == (bridge.index, True, True, True)
    assert box.addresses("eth0") == ("10.5.0.2/24", "fd00:5::2/64")
    assert host.addresses("br0") == ("10.5.0.1/24", "fd00:5::1/64")
    assert ("0.0.0.0/0", "10.5.0.1", 0) in routes(desk)
    assert (host.sysctl("ipv4/ip_forward"), host.sysctl("ipv6/conf/all/forwarding")) == ("1", "1")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gets_its_own_shape(version: str) -> None:
    result = Desk(version=version).call("ADD", PLAIN).document
    old = version in ("0.1.0", "0.2.0")
    assert result["cniVersion"] == version
    assert ("ip4" in result, "ips" in result, "interfaces" in result) == (old, not old, not old)
    assert all(("mtu" in each) == (version == "1.1.0") for each in result.get("interfaces", ())[1:])
    assert all(("version" in each) == (version < "1.0.0") for each in result.get("ips", ()))


def test_the_container_s_mac_comes_from_its_address(desk: Desk) -> None:
    assert desk.call("ADD", PLAIN).document["interfaces"][2]["mac"] == "02:42:0a:05:00:02"


@pytest.mark.parametrize(
    ("config", "args"),
    [
        ({"runtimeConfig": {"mac": "02:11:22:33:44:55"}}, "MAC=02:00:00:00:00:01"),
        ({"args": {"cni": {"mac": "02:11:22:33:44:55"}}}, "MAC=02:00:00:00:00:01"),
        ({"mac": "02:00:00:00:00:02"}, "MAC=02:11:22:33:44:55"),
        ({"mac": "02-11-22-33-44-55"}, ""),
        ({"mac": "0211.2233.4455"}, ""),
    ],
    ids=["runtimeConfig", "args.cni", "CNI_ARGS", "config", "dots"],
)
def test_an_asked_for_mac_wins_in_the_order_of_its_places(
    desk: Desk, config: dict[str, Any], args: str
) -> None:
    answer = desk.call("ADD", {**PLAIN, **config}, args=args)
    assert answer.document["interfaces"][2]["mac"] == "02:11:22:33:44:55"


def test_without_ipam_there_are_links_and_no_addresses(desk: Desk) -> None:
    result = desk.call("ADD", {"type": "bridge", "bridge": "br0"}).document
    assert ([each["name"] for each in result["interfaces"]], "ips" in result) == (
        ["br0", VETH, "eth0"],
        False,
    )


def test_a_second_way_out_gets_a_worse_metric(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    second = {**PLAIN, "bridge": "br1", "ipam": {"type": "host-local", "subnet": "10.6.0.0/24"}}
    desk.beside("other").call("ADD", second, ifname="eth1")
    assert [each for each in routes(desk) if each[0] == "0.0.0.0/0"] == [
        ("0.0.0.0/0", "10.5.0.1", 0),
        ("0.0.0.0/0", "10.6.0.1", 100),
    ]


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_check_of_masquerading_without_addresses_is_content(desk: Desk, backend: str) -> None:
    config = {"type": "bridge", "bridge": "br0", "ipMasq": True, "ipMasqBackend": backend}
    assert desk.call("ADD", config).status == 0
    assert desk.call("CHECK", {**config, "prevResult": desk.result}).status == 0


def test_an_internal_network_has_no_way_out_and_no_forwarding(desk: Desk) -> None:
    internal = {"type": "bridge", "bridge": "br0", "isGateway": True, "internal": True}
    desk.call("ADD", {**internal, "ipam": {**IPAM, "routes": [{"dst": "0.0.0.0/0"}]}})
    host = desk.host.namespace("/proc/self/ns/net")
    assert [each[0] for each in routes(desk)] == ["10.5.0.0/24"]
    assert host.sysctl("ipv4/ip_forward") == "0"
    assert desk.host.nftables.table is not None
    assert ("br0",) in desk.host.nftables.table.sets["internal"]


def test_a_host_that_lives_on_router_advertisements_keeps_them(desk: Desk) -> None:
    host = desk.host.namespace("/proc/self/ns/net")
    host.create_bridge("uplink")
    desk.call("ADD", PLAIN)
    assert host.sysctl("ipv6/conf/uplink/accept_ra") == "2"
    assert host.sysctl("ipv6/conf/br0/accept_ra") == "0"


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ({"hairpinMode": True, "promiscMode": True}, 7, "$.hairpinMode"),
        ({"disableContainerInterface": True}, 7, "$.disableContainerInterface"),
        ({"internal": True}, 7, "$.internal"),
        ({"mtu": 67}, 7, "$.mtu"),
        ({"mac": "01:00:00:00:00:00"}, 7, "mac"),
        ({"bridge": "lo"}, 7, "$.bridge"),
        ({"bridge": "br%d"}, 7, "$.bridge"),
        ({"bridge": "a\0b"}, 7, "$.bridge"),
        ({"bridge": "\ud800"}, 7, "$.bridge"),
        ({"bridge": ".."}, 7, "$.bridge"),
        ({"ipMasq": True, "ipMasqBackend": "ebtables"}, 7, "$.ipMasqBackend"),
        ({"ipam": {"type": "nobody"}}, 106, "nobody"),
        ({"ipam": {"type": "../bin/sh"}}, 7, "$.ipam.type"),
        (
            {"ipam": {**IPAM, "routes": [{"dst": "fd00::/8"}], "ranges": IPAM["ranges"][:1]}},
            7,
            "$.ipam.routes",
        ),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    desk: Desk, config: dict[str, Any], code: int, words: str
) -> None:
    answer = desk.call("ADD", {**PLAIN, **config})
    assert answer.code == code
    assert words in answer.msg
    assert len(answer.msg) <= 120
    assert own_things(desk) == []


def own_things(desk: Desk) -> list[str]:
    """What is there that belongs to one attachment: links, elements, chains, records, leases."""
    words = (VETH, "link eth0", "c1", "/10.5.0.2 ", "masquerade4 ", "CNI-")
    return sorted(line for line in desk.host.state() if any(word in line for word in words))


def test_a_second_add_of_one_attachment_is_told_and_the_first_lives(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    before = desk.host.state()
    answer = desk.call("ADD", PLAIN)
    assert (answer.code, desk.host.state()) == (105, before)


def test_a_second_add_with_a_foreign_ipam_keeps_the_first_s_link(desk: Desk) -> None:
    desk.program("spy", SpyIpam())
    config = {**PLAIN, "ipam": {"type": "spy"}}
    desk.call("ADD", config)
    answer = desk.call("ADD", config)
    assert (answer.code, desk.host.namespace(BOX).get("eth0") is not None) == (105, True)


def test_an_interface_name_that_is_taken_is_told(desk: Desk) -> None:
    desk.host.namespace(BOX).create_bridge("eth0")
    answer = desk.call("ADD", PLAIN)
    assert (answer.code, own_things(desk)) == (
        105,
        [each for each in own_things(desk) if "link eth0" in each],
    )


@pytest.mark.parametrize("force", [False, True])
def test_another_gateway_address_is_replaced_only_by_force(desk: Desk, force: bool) -> None:
    host = desk.host.namespace("/proc/self/ns/net")
    host.create_bridge("br0")
    host.add_address("br0", "192.168.1.1/24")
    answer = desk.call("ADD", {**PLAIN, "forceAddress": force})
    assert answer.code == (0 if force else 7)
    assert ("192.168.1.1/24" in host.addresses("br0")) == (not force)


@pytest.mark.parametrize("used", [False, True])
def test_a_failed_add_takes_its_gateway_off_the_bridge_unless_somebody_uses_it(
    desk: Desk, used: bool
) -> None:
    host = desk.host.namespace("/proc/self/ns/net")
    host.create_bridge("br0")
    if used:
        desk.host.add_netns("/run/netns/other")
        other = {"type": "bridge", "bridge": "br0"}
        desk.beside("plain").call("ADD", other, container_id="other", netns="/run/netns/other")
    desk.host.refuse = {"nftables.apply": errno.EBUSY}
    assert desk.call("ADD", masquerading("nftables")).code == 101
    assert set(host.addresses("br0")) == ({"10.5.0.1/24", "fd00:5::1/64"} if used else set())


def test_a_failed_add_puts_a_replaced_gateway_address_back(desk: Desk) -> None:
    host = desk.host.namespace("/proc/self/ns/net")
    host.create_bridge("br0")
    host.add_address("br0", "192.168.1.1/24")
    desk.host.refuse = {"nftables.apply": errno.EBUSY}
    assert desk.call("ADD", {**masquerading("nftables"), "forceAddress": True}).code == 101
    assert host.addresses("br0") == ("192.168.1.1/24",)


@pytest.mark.parametrize(
    ("failure", "code", "stays"), [(errno.ENOBUFS, 101, False), (errno.EEXIST, 105, True)]
)
def test_a_pair_that_is_there_after_a_failed_request_is_removed_unless_another_created_it(
    desk: Desk, failure: int, code: int, stays: bool
) -> None:
    desk.host.refuse = {"links.create_veth": ReplyLost(failure)}
    assert desk.call("ADD", PLAIN).code == code
    assert (desk.host.namespace("/proc/self/ns/net").get(VETH) is not None) == stays


def test_a_container_with_an_ipv6_address_listens_to_no_router_before_it_is_up() -> None:
    desk = Desk(MemoryHost(dies_at=("links.change", 3)))  # the bridge and the host's end are up before
    with pytest.raises(Killed):
        desk.call("ADD", PLAIN)
    box = desk.host.namespace(BOX)
    link = box.get("eth0")
    assert (link is not None and link.up) is False
    assert [box.sysctl(f"ipv6/conf/eth0/{key}") for key in ("accept_ra", "autoconf")] == ["0", "0"]


def test_a_container_without_an_ipv6_address_finds_its_own(desk: Desk) -> None:
    desk.call("ADD", {**PLAIN, "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"}})
    box = desk.host.namespace(BOX)
    assert [box.sysctl(f"ipv6/conf/eth0/{key}") for key in ("accept_ra", "autoconf")] == ["1", "1"]


def test_neighbours_are_told_of_a_container_s_addresses(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    assert desk.host.namespace(BOX).announced == [("eth0", "10.5.0.2/24"), ("eth0", "fd00:5::2/64")]


# --- the kernel refuses ------------------------------------------------------------------------------------------


def requests_of(verb: str, config: dict[str, Any]) -> list[Request]:
    """All requests that a verb makes of a host where it succeeds."""
    desk = Desk()
    if verb == "DEL":
        desk.call("ADD", config)
        desk.host.revive()
    desk.host.requests.clear()
    assert desk.call(verb, config).status == 0
    return list(desk.host.requests)


def left(desk: Desk, config: dict[str, Any]) -> list[str]:
    """What is there besides what stays by design: the bridge however far it got, forwarding, the skeleton, cursors and the like."""
    clean = Desk()
    clean.call("ADD", config)
    clean.call("DEL", config)
    fresh = desk.host.state() - clean.host.state() - Desk().host.state()
    return sorted(line for line in fresh if not SHARED.match(line) and "/released/" not in line)


SHARED = re.compile(
    r"/proc/self/ns/net ((link|address) br0(\.100)? |sysctl \S+/br0(\.100)?/|route .* ifname='br0(\.100)?')"
)


def sweep(verb: str) -> list[Any]:
    return [
        pytest.param(config, request, id=f"{name}-{request[0]}-{request[1]}")
        for name, config in WHOLE.items()
        for request in requests_of(verb, config)
    ]


@pytest.mark.parametrize(("config", "request_"), sweep("ADD"))
def test_add_leaves_nothing_of_its_own_when_any_request_is_refused(
    config: dict[str, Any], request_: Request
) -> None:
    desk = Desk(MemoryHost(refuse={request_: errno.ENOMEM}))
    answer = desk.call("ADD", config)
    assert answer.code != 199, answer.document
    if answer.status == 0:  # a request that ADD can do without
        assert desk.call("DEL", config).status == 0
    assert left(desk, config) == []


@pytest.mark.parametrize(("config", "request_"), sweep("ADD"))
def test_del_finds_everything_when_add_was_killed_anywhere(config: dict[str, Any], request_: Request) -> None:
    desk = Desk(MemoryHost(dies_at=request_))
    with pytest.raises(Killed):
        desk.call("ADD", config)
    desk.host.revive()
    assert desk.call("DEL", config).status == 0
    assert left(desk, config) == []


@pytest.mark.parametrize(("config", "request_"), sweep("DEL"))
def test_del_that_was_refused_anything_can_be_repeated(config: dict[str, Any], request_: Request) -> None:
    desk = Desk()
    desk.call("ADD", config)
    desk.host.revive()
    desk.host.refuse = {request_: errno.ENOMEM}
    answer = desk.call("DEL", config)
    assert answer.code != 199, answer.document
    desk.host.revive()
    assert desk.call("DEL", config).status == 0
    assert left(desk, config) == []


@pytest.mark.parametrize("request_", requests_of("ADD", masquerading("nftables")), ids=str)
def test_ipam_takes_its_address_back_when_any_request_is_refused(request_: Request) -> None:
    spy = SpyIpam()
    desk = Desk(MemoryHost(refuse={request_: errno.ENOMEM}))
    desk.program("spy", spy)
    answer = desk.call("ADD", {**masquerading("nftables"), "ipam": {"type": "spy"}})
    assert bool(spy.leases) == (answer.status == 0)


def test_a_failing_ipam_is_quoted_to_the_letter(desk: Desk) -> None:
    spy = SpyIpam()
    spy.fails = {"ADD"}
    desk.program("spy", spy)
    answer = desk.call("ADD", {**PLAIN, "ipam": {"type": "spy"}})
    assert {key: answer.document[key] for key in ("code", "msg", "details")} == {
        "code": 123,
        "msg": "spy fails ADD",
        "details": "on purpose",
    }


def test_the_first_error_is_told_and_ipam_s_is_in_its_details() -> None:
    spy = SpyIpam()
    spy.fails = {"DEL"}
    desk = Desk(MemoryHost(refuse={"links.create_veth": errno.ENOMEM}))
    desk.program("spy", spy)
    answer = desk.call("ADD", {**PLAIN, "ipam": {"type": "spy"}})
    assert answer.code == 101
    assert "spy fails DEL" in answer.document["details"]


def test_an_ipam_that_gives_no_address_is_asked_to_forget(desk: Desk) -> None:
    spy = SpyIpam()
    desk.program("spy", spy)
    spy.addresses = ()
    answer = desk.call("ADD", {**PLAIN, "ipam": {"type": "spy"}})
    assert (answer.code, spy.verbs, own_things(desk)) == (7, ["ADD", "DEL"], [])


# --- DEL ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", ["whole", "no netns", "netns gone", "no record", "empty netns"])
def test_del_takes_everything_back(backend: str, how: str) -> None:
    config = masquerading(backend)
    desk = Desk()
    desk.call("ADD", config)
    if how == "netns gone":
        desk.host.del_netns(BOX)
        desk.host.add_netns("/run/netns/other")
    netns = "" if how in ("no netns", "empty netns") else BOX
    assert desk.call("DEL", config, netns=netns).status == 0
    assert own_things(desk) == []


def test_del_of_what_was_never_added_is_fine_and_changes_nothing(desk: Desk) -> None:
    before = desk.host.state()
    assert desk.call("DEL", PLAIN).status == 0
    assert desk.host.state() == before


def test_del_twice_is_fine(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    assert [desk.call("DEL", PLAIN).status for _ in range(2)] == [0, 0]


def test_del_leaves_a_link_of_our_name_that_is_not_ours(desk: Desk) -> None:
    host = desk.host.namespace("/proc/self/ns/net")
    host.create_bridge(VETH)
    assert desk.call("DEL", PLAIN).status == 0
    assert host.get(VETH) is not None


def test_del_does_the_rest_when_ipam_fails(desk: Desk) -> None:
    spy = SpyIpam()
    desk.program("spy", spy)
    config = {**PLAIN, "ipam": {"type": "spy"}}
    desk.call("ADD", config)
    spy.fails = {"DEL"}
    assert desk.call("DEL", config).code == 123
    assert [each for each in own_things(desk) if "link" in each.split()[1:2]] == []
    spy.fails = set()
    assert desk.call("DEL", config).status == 0
    assert own_things(desk) == []


def attached_by_the_reference(desk: Desk) -> dict[str, Any]:
    """A pair and masquerading as the reference makes them, without a record of ours; the list that a runtime sends for it."""
    links = desk.host.namespace("/proc/self/ns/net")
    links.create_bridge("br0")
    links.create_veth(
        "veth5f71f192", mac="46:54:17:14:f7:8c", peer="eth0", peer_mac="d2:5c:ca:ca:df:8b", peer_netns=BOX
    )
    links.change("veth5f71f192", master="br0")
    Masquerade(Attachment("net", "c1", "eth0"), ("10.5.0.2/24",), "iptables").do(desk.host)
    interfaces = [
        {"name": "br0", "mac": "8a:59:94:b4:0c:da"},
        {"name": "veth5f71f192", "mac": "46:54:17:14:f7:8c"},
        {"name": "eth0", "mac": "d2:5c:ca:ca:df:8b", "sandbox": BOX},
    ]
    result = {"interfaces": interfaces, "ips": [{"address": "10.5.0.2/24", "interface": 2}]}
    return {**masquerading("iptables"), "prevResult": {"cniVersion": desk.version, **result}}


def test_del_takes_back_what_the_reference_attached(desk: Desk) -> None:
    config = attached_by_the_reference(desk)
    assert desk.call("DEL", config, netns="").status == 0
    assert desk.host.namespace(BOX).get("eth0") is None
    assert "CNI-" not in "\n".join(desk.host.state())


def test_del_leaves_a_link_that_only_has_the_name_in_prev_result(desk: Desk) -> None:
    config = attached_by_the_reference(desk)
    config["prevResult"]["interfaces"][1]["mac"] = "46:54:17:14:f7:8d"
    assert desk.call("DEL", config).status == 0
    assert desk.host.namespace(BOX).get("eth0") is not None


def test_del_of_a_second_interface_leaves_the_first_ones_masquerading(desk: Desk) -> None:
    """The reference gives both one chain; a late DEL must not take it from an attachment of ours."""
    config = masquerading("iptables")
    desk.call("ADD", config)
    before = desk.host.state()
    assert desk.call("DEL", config, ifname="eth1").status == 0
    assert desk.host.state() == before


# --- CHECK -------------------------------------------------------------------------------------------------------

Damage = Callable[[Desk], object]


def host_links(desk: Desk) -> Any:
    return desk.host.namespace("/proc/self/ns/net")


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no bridge": (lambda desk: host_links(desk).delete("br0"), "bridge br0 is missing"),
    "bridge down": (lambda desk: host_links(desk).change("br0", up=False), "bridge br0 is down"),
    "no host end": (lambda desk: host_links(desk).delete(VETH), f"{VETH} is missing"),
    "not a port": (lambda desk: host_links(desk).change(VETH, master=""), "not a port of br0"),
    "host end down": (lambda desk: host_links(desk).change(VETH, up=False), f"{VETH} is down"),
    "no gateway": (lambda desk: host_links(desk).delete_address("br0", "10.5.0.1/24"), "10.5.0.1"),
    "another MAC": (
        lambda desk: desk.host.namespace(BOX).change("eth0", mac="02:00:00:00:00:09"),
        "02:00:00:00:00:09",
    ),
    "no address": (
        lambda desk: desk.host.namespace(BOX).delete_address("eth0", "10.5.0.2/24"),
        "10.5.0.2/24",
    ),
    "no routes": (lambda desk: desk.host.namespace(BOX).change("eth0", up=False), "missing"),
    "no lease": (
        lambda desk: desk.host.files.remove("/var/lib/cni/networks/net/10.5.0.2"),
        "10.5.0.2 is not leased",
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_check_of_what_add_made_is_content(backend: str) -> None:
    desk = Desk()
    desk.call("ADD", masquerading(backend))
    assert desk.call("CHECK", masquerading(backend)).document == {}


@pytest.mark.parametrize("damage", DAMAGES)
def test_check_finds_damage(desk: Desk, damage: str) -> None:
    desk.call("ADD", PLAIN)
    spoil, words = DAMAGES[damage]
    spoil(desk)
    answer = desk.call("CHECK", PLAIN)
    assert answer.code == 103
    assert words in answer.msg + answer.document.get("details", "")


def test_check_finds_an_interface_that_is_gone(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    result = desk.result
    desk.host.namespace(BOX).delete("eth0")
    desk.host.namespace("/proc/self/ns/net").create_bridge("other")
    assert desk.call("CHECK", {**PLAIN, "prevResult": result}).code == 103


@pytest.mark.parametrize("backend", BACKENDS)
def test_check_finds_rules_that_were_flushed(backend: str) -> None:
    desk = Desk()
    desk.call("ADD", masquerading(backend))
    desk.host.nftables.table = None
    desk.host.iptables.tables.clear()
    assert desk.call("CHECK", masquerading(backend)).code == 103


# --- GC and STATUS -----------------------------------------------------------------------------------------------


def valid(*container_ids: str) -> dict[str, Any]:
    return {"cni.dev/valid-attachments": [{"containerID": each, "ifname": "eth0"} for each in container_ids]}


def test_gc_takes_back_what_is_not_valid_and_nothing_else(desk: Desk) -> None:
    desk.host.add_netns("/run/netns/two")
    desk.call("ADD", PLAIN)
    desk.call("ADD", PLAIN, container_id="c2", netns="/run/netns/two")
    assert desk.call("GC", {**PLAIN, **valid("c2")}).status == 0
    leases = desk.host.files.names("/var/lib/cni/networks/net")
    assert desk.host.namespace("/proc/self/ns/net").get(VETH) is None
    assert desk.host.namespace("/run/netns/two").get("eth0") is not None
    assert ("10.5.0.2" in leases, "10.5.0.3" in leases) == (False, True)


def test_gc_of_another_network_touches_nothing_here(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    before = desk.host.state()
    assert desk.beside("other").call("GC", {**PLAIN, **valid()}).status == 0
    assert desk.host.state() >= before


def test_gc_without_a_list_removes_nothing(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    before = desk.host.state()
    assert desk.call("GC", PLAIN).status == 0
    assert desk.host.state() == before


def test_gc_is_passed_on_to_ipam(desk: Desk) -> None:
    spy = SpyIpam()
    desk.program("spy", spy)
    desk.call("GC", {**PLAIN, "ipam": {"type": "spy"}, **valid()})
    assert spy.verbs == ["GC"]


def test_status_is_ready_on_a_fresh_host(desk: Desk) -> None:
    assert desk.call("STATUS", masquerading("nftables")).status == 0


def test_status_tells_that_the_name_is_no_bridge_s(desk: Desk) -> None:
    assert desk.call("STATUS", {**PLAIN, "bridge": "lo"}).code == 50


def test_status_tells_that_the_back_end_is_missing(desk: Desk) -> None:
    desk.host.nftables.available = False
    assert desk.call("STATUS", masquerading("nftables")).code == 50


def test_status_tells_of_a_full_pool(desk: Desk) -> None:
    config = {**PLAIN, "ipam": {"type": "host-local", "subnet": "10.5.0.0/30"}}
    desk.call("ADD", config)
    assert desk.call("STATUS", config).code == 50
