"""portmap on a host in memory: what is left when the kernel refuses or somebody kills us, and who wins a port."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import pytest

from cni_portmap.rules_iptables import chain_name, shield_name
from linkspan.call.records import Records
from linkspan.call.reload import reload
from linkspan.cni.errors import KernelRefused
from linkspan.cni.model import Attachment
from linkspan.host.memory import Killed, MemoryHost, Request
from linkspan.host.memory.links import MemoryLinks
from linkspan.host.memory.nftables import MemoryTable
from linkspan.netfilter import forwarding
from linkspan.steps import nft_table
from linkspan.steps.forwarding import accept_forwarding
from tests.harness.memory import Desk

BACKENDS = ("iptables", "nftables")
IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]]}
BRIDGE: dict[str, Any] = {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipam": IPAM}
PORTS = [
    {"hostPort": 8080, "containerPort": 80},
    {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
]


def portmap(backend: str, ports: list[dict[str, Any]] | None = None, **keys: Any) -> dict[str, Any]:
    mappings = PORTS if ports is None else ports
    return {"type": "portmap", "backend": backend, "runtimeConfig": {"portMappings": mappings}, **keys}


class Room:
    """A desk whose container c1 is on the bridge; `add` publishes for it."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.desk = Desk()
        self.desk.call("ADD", BRIDGE)
        self.attached = self.desk.result
        self.desk.host.revive()

    @property
    def host(self) -> MemoryHost:
        return self.desk.host

    def call(self, verb: str, ports: list[dict[str, Any]] | None = None, **keys: Any) -> Any:
        config = portmap(self.backend, ports, prevResult=self.attached, dropDirectAccess=True, **keys)
        return self.desk.call(verb, config)

    def own(self) -> frozenset[str]:
        """What of the host's state tells of the container's ports or is a file of ours."""
        words = ("8080", "portmap", "/ports/", "CNI-DN", "CNI-SHIELD-", "published4", "shielded4 Element")
        shared = ("/locks/",)
        return frozenset(
            line
            for line in self.host.state()
            if any(word in line for word in words) and not any(word in line for word in shared)
        )


@pytest.fixture(params=BACKENDS)
def room(request: pytest.FixtureRequest) -> Room:
    return Room(request.param)


def requests_of(backend: str, verb: str) -> list[Request]:
    """Every request that a verb makes of the host."""
    room = Room(backend)
    if verb != "ADD":
        room.call("ADD")
        room.host.revive()
    room.call(verb)
    return list(room.host.requests)


def sweep(verb: str) -> list[Any]:
    return [
        pytest.param(backend, each, id=f"{backend}-{each[0]}-{each[1]}")
        for backend in BACKENDS
        for each in requests_of(backend, verb)
    ]


# --- whatever goes wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "refused"), sweep("ADD"))
def test_add_leaves_nothing_of_its_own_when_any_request_is_refused(backend: str, refused: Request) -> None:
    room = Room(backend)
    before = room.own()
    room.host.refuse = {refused: errno.ENOMEM}
    answer = room.call("ADD")
    assert answer.code != 199, answer.document
    room.host.revive()
    if answer.status == 0:  # a request that ADD can do without
        assert room.call("DEL").status == 0
    assert room.own() == before


@pytest.mark.parametrize(("backend", "moment"), sweep("ADD"))
def test_del_finds_everything_when_add_was_killed_anywhere(backend: str, moment: Request) -> None:
    room = Room(backend)
    before = room.own()
    room.host.dies_at = moment
    with pytest.raises(Killed):
        room.call("ADD")
    room.host.revive()
    assert room.call("DEL", ports=[]).status == 0
    assert room.own() == before


@pytest.mark.parametrize(("backend", "refused"), sweep("DEL"))
def test_del_that_was_refused_anything_can_be_repeated(backend: str, refused: Request) -> None:
    room = Room(backend)
    before = room.own()
    room.call("ADD")
    room.host.revive()
    room.host.refuse = {refused: errno.ENOMEM}
    assert room.call("DEL").code != 199
    room.host.revive()
    assert room.call("DEL").status == 0
    assert room.own() == before


# --- ADD -----------------------------------------------------------------------------------------------------------


def test_add_gives_prev_result_back(room: Room) -> None:
    answer = room.call("ADD").document
    assert {key: answer[key] for key in ("interfaces", "ips")} == {
        key: room.attached[key] for key in ("interfaces", "ips")
    }


def test_add_without_ports_asks_nothing_of_iptables_and_nftables() -> None:
    for backend in BACKENDS:
        room = Room(backend)
        room.desk.call("ADD", portmap(backend, [], prevResult=room.attached))
        assert not [name for name, _ in room.host.requests if name.startswith(("iptables.", "nftables."))]


def test_add_again_without_ports_takes_the_earlier_ones_back(room: Room) -> None:
    before = room.own()
    room.call("ADD")
    room.desk.call("ADD", portmap(room.backend, [], prevResult=room.attached))
    assert room.own() == before


def test_add_with_nftables_makes_one_transaction() -> None:
    room = Room("nftables")
    room.call("ADD")
    room.call("DEL")
    room.host.revive()
    room.call("ADD")
    assert [name for name, _ in room.host.requests].count("nftables.apply") == 1


def test_add_with_iptables_makes_one_request_for_each_family() -> None:
    room = Room("iptables")
    room.call("ADD")
    assert [name for name, _ in room.host.requests].count("iptables.apply_all") == 2


def test_the_guard_of_loopback_stands_before_127_0_0_1_is_routed_out(room: Room) -> None:
    room.call("ADD")
    names = [name for name, _ in room.host.requests]
    published = names.index("nftables.apply" if room.backend == "nftables" else "iptables.apply_all")
    assert published < names.index("links.set_sysctl")
    assert room.host.namespace("/proc/self/ns/net").sysctl("ipv4/conf/br0/route_localnet") == "1"


def test_a_listener_on_a_published_port_is_a_warning(room: Room) -> None:
    room.host.listeners = {("tcp", 8080), ("tcp", 53), ("udp", 54)}
    room.call("ADD")
    assert [each for each in room.host.warnings if "8080/tcp" in each]
    assert not [each for each in room.host.warnings if "53/" in each]


@pytest.mark.parametrize("gone", [True, False], ids=["the link went meanwhile", "the link is there"])
def test_del_minds_a_port_it_cannot_reset_only_while_it_is_there(
    room: Room, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    links = room.host.namespace("/proc/self/ns/net")
    links.sysctls["bridge/bridge-nf-call-iptables"] = "1"
    room.call("ADD")

    def refuse(_: MemoryLinks, name: str, **__: Any) -> None:
        if gone:
            links.delete(name)
        raise KernelRefused(f"change the bridge port {name}", errno.ENODEV)

    monkeypatch.setattr(MemoryLinks, "change_port", refuse)
    answer = room.call("DEL")
    assert (answer.status, Records(room.host, "portmap").read(Attachment("net", "c1", "eth0")) is None) == (
        (0, True) if gone else (1, False)
    )


def test_check_tells_of_a_listener_that_came_later_and_is_content(room: Room) -> None:
    room.call("ADD")
    room.host.listeners = {("tcp", 8080)}
    room.call("CHECK")
    assert [each for each in room.host.warnings if "8080/tcp" in each]


def test_a_second_container_is_told_who_has_the_port(room: Room) -> None:
    room.call("ADD")
    room.host.add_netns("/run/netns/other")
    other = room.desk.beside("other-net")
    other.call("ADD", {**BRIDGE, "bridge": "br1"}, container_id="c2", netns="/run/netns/other")
    config = portmap(room.backend, [{"hostPort": 8080, "containerPort": 1}], prevResult=other.result)
    answer = other.call("ADD", config, container_id="c2", netns="/run/netns/other")
    assert answer.code == 104
    assert "c1" in answer.msg
    assert "net" in answer.msg


@pytest.mark.parametrize(
    ("theirs", "clash"),
    [
        ({"hostIP": "192.0.2.9"}, True),
        ({"hostIP": "0.0.0.0"}, True),
        ({"hostIP": "::"}, True),
        ({"protocol": "udp"}, False),
        ({"hostPort": 8081}, False),
    ],
)
def test_ports_clash_where_one_packet_could_be_for_both(
    room: Room, theirs: dict[str, Any], clash: bool
) -> None:
    room.call("ADD")
    room.host.add_netns("/run/netns/other")
    other = room.desk.beside("other-net")
    other.call("ADD", {**BRIDGE, "bridge": "br1"}, container_id="c2", netns="/run/netns/other")
    ports = [{"hostPort": 8080, "containerPort": 1, **theirs}]
    config = portmap(room.backend, ports, prevResult=other.result)
    answer = other.call("ADD", config, container_id="c2", netns="/run/netns/other")
    assert answer.code == (104 if clash else 0)


def test_what_two_addresses_of_the_host_publish_does_not_clash(room: Room) -> None:
    room.call("ADD", [{"hostPort": 8080, "containerPort": 80, "hostIP": "192.0.2.1"}])
    ports = [{"hostPort": 8080, "containerPort": 81, "hostIP": "192.0.2.2"}]
    config = portmap(room.backend, ports, prevResult=room.attached)
    assert room.desk.call("ADD", config, container_id="c2").status == 0


def test_a_port_of_a_container_that_is_gone_is_taken_over_with_all_it_left(room: Room) -> None:
    room.call("ADD")
    gone = Attachment("net", "c1", "eth0")
    room.host.namespace("/proc/self/ns/net").delete(gone.host_veth)
    config = portmap(room.backend, [{"hostPort": 8080, "containerPort": 81}], prevResult=room.attached)
    assert room.desk.call("ADD", config, container_id="c2").status == 0
    marks = ('"c1"', " c1 ", chain_name(gone), shield_name(gone))
    assert not [line for line in room.own() if any(mark in line for mark in marks)]


def _table(room: Room) -> MemoryTable:
    table = room.host.nftables.table
    assert table is not None
    return table


# --- CHECK, GC, STATUS, reload --------------------------------------------------------------------------------------


def test_check_is_content_after_add(room: Room) -> None:
    room.call("ADD")
    assert room.call("CHECK").status == 0


def test_check_names_a_chain_that_has_lost_its_rules(room: Room) -> None:
    room.call("ADD")
    if room.backend == "nftables":
        _table(room).chains["published"].clear()
    else:
        room.host.iptables.tables[4, "nat"]["CNI-HOSTPORT-MASQ"].clear()
    answer = room.call("CHECK")
    assert answer.code == 103
    assert ("published" if room.backend == "nftables" else "CNI-HOSTPORT-MASQ") in answer.msg


def test_check_finds_an_element_that_leads_elsewhere() -> None:
    room = Room("nftables")
    room.call("ADD")
    ports = _table(room).sets["ports4"]
    stolen = ports["tcp", "8080"]
    ports["tcp", "8080"] = replace(stolen, value="10.5.0.99 . 80")
    answer = room.call("CHECK")
    assert answer.code == 103
    assert "10.5.0.99" in answer.msg


def test_gc_without_a_list_removes_nothing(room: Room) -> None:
    room.call("ADD")
    before = room.own()
    room.desk.call("GC", portmap(room.backend, []))
    assert room.own() == before


def test_gc_leaves_other_networks_alone(room: Room) -> None:
    room.call("ADD")
    before = room.own()
    room.desk.beside("other-net").call("GC", {**portmap(room.backend, []), "cni.dev/valid-attachments": []})
    assert room.own() == before


def test_status_is_50_when_no_back_end_works() -> None:
    desk = Desk()
    desk.host.iptables.families = ()
    desk.host.nftables.available = False
    assert desk.call("STATUS", {"type": "portmap"}).code == 50


def test_unset_means_iptables_where_it_works_else_nftables() -> None:
    for works, expected in ((True, "iptables"), (False, "nftables")):
        room = Room("nftables")
        room.host.iptables.families = (4, 6) if works else ()
        config = portmap("", prevResult=room.attached)
        room.desk.call("ADD", {key: value for key, value in config.items() if key != "backend"})
        used = {name.partition(".")[0] for name, _ in room.host.requests if ".apply" in name}
        assert used == {expected}


def test_reload_builds_what_was_flushed_again(room: Room) -> None:
    room.call("ADD")
    before = room.host.state()
    room.host.nftables.table = None
    room.host.iptables.tables.clear()
    reload(room.host)
    assert room.host.state() == before


def test_reload_goes_on_when_one_attachment_cannot_be_rebuilt(room: Room) -> None:
    room.call("ADD", [{"hostPort": 1, "containerPort": 1}])
    config = portmap(room.backend, [{"hostPort": 2, "containerPort": 2}], prevResult=room.attached)
    room.desk.call("ADD", config, container_id="c2")
    room.host.nftables.table = None
    room.host.iptables.tables.clear()
    room.host.revive()
    first = "nftables.apply" if room.backend == "nftables" else "iptables.apply_all"
    room.host.refuse = {(first, 1): errno.ENOMEM}
    with pytest.raises(Exception, match="refused"):
        reload(room.host)
    state = room.host.state()
    assert any("10.5.0.2:1" in line or "10.5.0.2 . 1'" in line for line in state) != any(
        "10.5.0.2:2" in line or "10.5.0.2 . 2'" in line for line in state
    )


# --- forwarding ----------------------------------------------------------------------------------------------------


def test_forwarding_is_permitted_only_where_the_policy_drops(room: Room) -> None:
    room.call("ADD")
    assert not [line for line in room.host.state() if forwarding.CHAIN in line]
    room.host.iptables.policies = {(4, "filter", "FORWARD"): "DROP"}
    room.call("ADD")
    assert {line.split()[1] for line in room.host.state() if forwarding.CHAIN in line} == {"4"}


def test_a_host_whose_iptables_takes_no_rule_is_warned_of_and_served() -> None:
    room = Room("nftables")
    room.host.iptables.policies = {(4, "filter", "FORWARD"): "DROP"}
    room.host.iptables.foreign = {(4, "filter")}
    assert [room.call(verb).status for verb in ("ADD", "CHECK")] == [0, 0]
    assert [each for each in room.host.warnings if "br0" in each]


def test_a_missing_permission_is_found() -> None:
    room = Room("nftables")
    room.host.iptables.policies = {(4, "filter", "FORWARD"): "DROP"}
    assert accept_forwarding("br0", (4, 6)).missing(room.host) != []
    accept_forwarding("br0", (4, 6)).do(room.host)
    assert accept_forwarding("br0", (4, 6)).missing(room.host) == []


# --- names ---------------------------------------------------------------------------------------------------------


def test_a_name_server_is_exempted_once() -> None:
    host = MemoryHost()
    for _ in range(2):
        nft_table.exempt_dns(host, ("10.5.0.1", "fd00:5::1"))
    assert [name for name, _ in host.requests].count("nftables.apply") == 1
    assert host.nftables.element("dns_servers6", ("fd00:5::1",)) is not None


def test_without_nftables_a_name_server_is_not_exempted_and_nobody_fails() -> None:
    host = MemoryHost()
    host.nftables.available = False
    nft_table.exempt_dns(host, ("10.5.0.1",))
    assert host.nftables.table is None


# --- damaged state -------------------------------------------------------------------------------------------------

DAMAGED: list[dict[str, Any]] = [
    {},
    {"backend": "ebtables"},
    {"config": [], "address4": 3},
    {"config": {"mappings": [{"host_port": "x"}]}},
    {"address4": "nonsense"},
]


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_record_keeps_nothing_from_being_removed(
    room: Room, damage: dict[str, Any], verb: str
) -> None:
    before = room.own()
    room.call("ADD")
    attachment, records = Attachment("net", "c1", "eth0"), Records(room.host, "portmap")
    whole = records.read(attachment)
    assert whole is not None
    records.write(attachment, {**whole, **damage} if damage else {})
    answer = room.call("DEL") if verb == "DEL" else room.call("GC", **{"cni.dev/valid-attachments": []})
    assert (answer.status, room.own()) == (0, before)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"[]", b'{"network": 1}'])
def test_a_damaged_claim_is_nobody_s(room: Room, content: bytes) -> None:
    path = f"{room.host.state_dir}/ports/tcp/8080/any4.{'0' * 32}"
    room.host.files.write(path, content)
    assert [room.call(verb).status for verb in ("ADD", "CHECK", "DEL")] == [0, 0, 0]


def test_a_dead_owner_without_a_record_leaves_no_claim(room: Room) -> None:
    room.call("ADD")
    gone = Attachment("net", "c1", "eth0")
    Records(room.host, "portmap").remove(gone)
    room.host.namespace("/proc/self/ns/net").delete(gone.host_veth)
    config = portmap(room.backend, [{"hostPort": 8080, "containerPort": 81}], prevResult=room.attached)
    assert room.desk.call("ADD", config, container_id="c2").status == 0
    assert not [line for line in room.own() if gone.key in line]
