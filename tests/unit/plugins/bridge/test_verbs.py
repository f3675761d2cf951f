"""The verbs of bridge on a host in memory."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.call.records import Records
from tests.harness.bridge import BACKENDS, ONE, PLAIN, VETH, links, masquerading, own_objects, routes
from tests.harness.memory import BOX, VERSIONS, Desk, SpyIpam


def test_add_returns_three_interfaces_and_the_container_s_addresses(desk: Desk) -> None:
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


def test_add_creates_what_it_returns(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    host, box = links(desk), desk.host.namespace(BOX)
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
def test_the_result_has_the_form_of_the_requested_version(version: str) -> None:
    result = Desk(version=version).call("ADD", PLAIN).document
    old = version in ("0.1.0", "0.2.0")
    assert result["cniVersion"] == version
    assert ("ip4" in result, "ips" in result, "interfaces" in result) == (old, not old, not old)
    assert all(("mtu" in each) == (version == "1.1.0") for each in result.get("interfaces", ())[1:])
    assert all(("version" in each) == (version < "1.0.0") for each in result.get("ips", ()))


def test_without_ipam_there_are_links_and_no_addresses(desk: Desk) -> None:
    result = desk.call("ADD", {"type": "bridge", "bridge": "br0"}).document
    assert ([each["name"] for each in result["interfaces"]], "ips" in result) == (
        ["br0", VETH, "eth0"],
        False,
    )


def test_a_second_add_of_an_attachment_is_refused_and_the_first_stays(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    before = desk.host.state()
    answer = desk.call("ADD", PLAIN)
    assert (answer.code, desk.host.state()) == (105, before)


def test_a_second_add_with_a_foreign_ipam_keeps_the_link_of_the_first(desk: Desk) -> None:
    desk.program("spy", SpyIpam())
    config = {**PLAIN, "ipam": {"type": "spy"}}
    desk.call("ADD", config)
    answer = desk.call("ADD", config)
    assert (answer.code, desk.host.namespace(BOX).get("eth0") is not None) == (105, True)


def test_an_interface_name_that_exists_in_the_container_is_refused(desk: Desk) -> None:
    desk.host.namespace(BOX).create_bridge("eth0")
    answer = desk.call("ADD", PLAIN)
    assert (answer.code, own_objects(desk)) == (
        105,
        [each for each in own_objects(desk) if "link eth0" in each],
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", ["netns", "netns gone", "empty netns"])
def test_del_removes_everything(backend: str, how: str) -> None:
    config = masquerading(backend)
    desk = Desk()
    desk.call("ADD", config)
    if how == "netns gone":
        desk.host.del_netns(BOX)
        desk.host.add_netns("/run/netns/other")
    if how == "empty netns":
        desk.host.abandon_netns(BOX)
    netns = "" if how == "empty netns" else BOX
    assert desk.call("DEL", config, netns=netns).status == 0
    assert own_objects(desk) == []


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("damage", [{"addresses": ["x"]}, {"ipam": 7}, {"bridge": None}])
def test_a_damaged_record_keeps_nothing_from_being_removed(
    desk: Desk, damage: dict[str, Any], backend: str, verb: str
) -> None:
    desk.call("ADD", masquerading(backend))
    records = Records(desk.host, "bridge")
    records.write(ONE, {**(records.read(ONE) or {}), **damage})
    assert desk.call(verb, {**masquerading(backend), **(valid() if verb == "GC" else {})}).status == 0
    assert own_objects(desk) == []


def test_del_of_an_unknown_attachment_succeeds_and_changes_nothing(desk: Desk) -> None:
    before = desk.host.state()
    assert desk.call("DEL", PLAIN).status == 0
    assert desk.host.state() == before


def test_del_can_be_repeated(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    assert [desk.call("DEL", PLAIN).status for _ in range(2)] == [0, 0]


def test_del_keeps_a_foreign_link_of_our_name(desk: Desk) -> None:
    host = links(desk)
    host.create_bridge(VETH)
    assert desk.call("DEL", PLAIN).status == 0
    assert host.get(VETH) is not None


def test_del_removes_everything_else_if_ipam_fails(desk: Desk) -> None:
    spy = SpyIpam()
    desk.program("spy", spy)
    config = {**PLAIN, "ipam": {"type": "spy"}}
    desk.call("ADD", config)
    spy.fails = {"DEL"}
    assert desk.call("DEL", config).code == 123
    assert [each for each in own_objects(desk) if "link" in each.split()[1:2]] == []
    spy.fails = set()
    assert desk.call("DEL", config).status == 0
    assert own_objects(desk) == []


def valid(*container_ids: str) -> dict[str, Any]:
    return {"cni.dev/valid-attachments": [{"containerID": each, "ifname": "eth0"} for each in container_ids]}


def test_gc_removes_invalid_attachments_only(desk: Desk) -> None:
    desk.host.add_netns("/run/netns/two")
    desk.call("ADD", PLAIN)
    desk.call("ADD", PLAIN, container_id="c2", netns="/run/netns/two")
    assert desk.call("GC", {**PLAIN, **valid("c2")}).status == 0
    leases = desk.host.files.names("/var/lib/cni/networks/net")
    assert links(desk).get(VETH) is None
    assert desk.host.namespace("/run/netns/two").get("eth0") is not None
    assert ("10.5.0.2" in leases, "10.5.0.3" in leases) == (False, True)


def test_gc_of_another_network_changes_nothing_here(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    before = desk.host.state()
    assert desk.beside("other").call("GC", {**PLAIN, **valid()}).status == 0
    assert desk.host.state() >= before


def test_gc_without_a_list_removes_nothing(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    before = desk.host.state()
    assert desk.call("GC", PLAIN).status == 0
    assert desk.host.state() == before


def test_gc_calls_ipam(desk: Desk) -> None:
    spy = SpyIpam()
    desk.program("spy", spy)
    desk.call("GC", {**PLAIN, "ipam": {"type": "spy"}, **valid()})
    assert spy.verbs == ["GC"]


def test_status_is_ready_on_a_fresh_host(desk: Desk) -> None:
    assert desk.call("STATUS", masquerading("nftables")).status == 0


def test_status_reports_a_link_of_that_name_that_is_not_a_bridge(desk: Desk) -> None:
    assert desk.call("STATUS", {**PLAIN, "bridge": "lo"}).code == 50


def test_status_reports_a_missing_backend(desk: Desk) -> None:
    desk.host.nftables.available = False
    assert desk.call("STATUS", masquerading("nftables")).code == 50


def test_status_reports_a_full_pool(desk: Desk) -> None:
    config = {**PLAIN, "ipam": {"type": "host-local", "subnet": "10.5.0.0/30"}}
    desk.call("ADD", config)
    assert desk.call("STATUS", config).code == 50
