"""The verbs of firewall on the host in memory: which back end, whose rules, and what is left after a failure."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from cni_firewall.verbs import PLUGIN, reload
from linkspan.call.dispatch import answer
from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.host.contract import Finished
from linkspan.host.memory import Killed, MemoryHost
from linkspan.host.memory.processes import Run

NETNS = "/run/netns/a"
PREV = {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "veth1"}, {"name": "br1"}, {"name": "eth0", "sandbox": NETNS}],
    "ips": [{"address": "10.1.0.2/24", "interface": 2}, {"address": "fd00:1::2/64", "interface": 2}],
}


def box(refuse: Any = None) -> MemoryHost:
    """A host whose bridge br1 has the port veth1; the port comes first in prevResult."""
    host = MemoryHost(refuse)
    host.add_netns(NETNS)
    links = host.links()
    links.create_bridge("br1")
    mac = "02:00:00:00:00:0{}".format
    links.create_veth("veth1", mac=mac(1), peer="eth0", peer_mac=mac(2), peer_netns=NETNS)
    links.change("veth1", master="br1", up=True)
    return host


def call(
    host: MemoryHost, verb: str, *, cid: str = "c1", prev: Any = PREV, valid: Any = None, **keys: Any
) -> dict[str, Any]:
    """What the plugin answers, {} for nothing. `valid` is GC's list, `prev` prevResult."""
    document = {"cniVersion": "1.1.0", "name": "n1", "type": "firewall", **keys}
    document |= {"prevResult": prev} if prev else {}
    document |= {} if valid is None else {"cni.dev/valid-attachments": valid}
    env = {"CNI_COMMAND": verb, "CNI_CONTAINERID": cid, "CNI_NETNS": NETNS, "CNI_IFNAME": "eth0"}
    _, stdout = answer(PLUGIN, json.dumps(document).encode(), env, host)
    return dict(json.loads(stdout)) if stdout else {}


def own(host: MemoryHost) -> frozenset[str]:
    """What is there but shared things, which stay by design."""
    return frozenset(
        line for line in host.state() if "10.1.0.2" in line or "fd00:1::2" in line or "records" in line
    )


def rules(host: MemoryHost) -> Any:
    return {
        where: {chain: tuple(all_) for chain, all_ in table.items()}
        for where, table in host.iptables.tables.items()
    }


def with_firewalld(host: MemoryHost, *, error: str = "") -> list[tuple[str, ...]]:
    """firewalld on this host, holding nothing and refusing with `error`; returns the calls to come."""
    calls: list[tuple[str, ...]] = []
    held: set[str] = set()

    def busctl(run: Run) -> Finished:
        method, *words = run.argv[run.argv.index("--") + 4 :]
        calls.append((method, *words[1:]))
        if method == "NameHasOwner":
            return Finished(0, b"b true\n")
        if error:
            return Finished(1, f"Call failed: {error}\n".encode())
        if method == "querySource":
            return Finished(0, b"b true\n" if words[-1] in held else b"b false\n")
        (held.add if method == "addSource" else held.discard)(words[-1])
        return Finished(0, b's "trusted"\n')

    host.processes.programs["/usr/bin/busctl"] = busctl
    host.processes.programs["/usr/sbin/firewalld"] = busctl
    return calls


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_add_check_delete_without_prev_result(backend: str, policy: str) -> None:
    """Case 142."""
    host = box()
    keys = {"backend": backend, "ingressPolicy": policy}
    assert call(host, "ADD", **keys)["ips"] == PREV["ips"]
    assert call(host, "CHECK", **keys) == {}
    assert call(host, "DEL", prev=None) == {}
    assert own(host) == frozenset()


@pytest.mark.parametrize(
    ("key", "value"), [("backend", "pf"), ("ingressPolicy", "closed"), ("iptablesAdminChainName", "-x")]
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_unknown_value_is_refused_and_named(verb: str, key: str, value: str) -> None:
    answered = call(box(), verb, **{key: value})
    assert answered["code"] == 7
    assert key in answered["msg"]
    assert value in answered["msg"]


@pytest.mark.parametrize(
    "keys",
    [
        {"backend": "pf"},
        {"ingressPolicy": "closed"},
        {"backend": 7},
        {"firewalldZone": []},
        {"iptablesAdminChainName": "!"},
    ],
)
@pytest.mark.parametrize("prev", [None, PREV])
def test_delete_refuses_no_configuration(keys: dict[str, Any], prev: Any) -> None:
    """Case 146."""
    host = box()
    call(host, "ADD")
    assert call(host, "DEL", prev=prev, **keys) == {}
    assert own(host) == frozenset()


def test_policy_is_about_the_real_bridge_wherever_it_stands_in_prev_result() -> None:
    """Case 147."""
    host = box()
    call(host, "ADD", ingressPolicy="same-bridge")
    assert "-i br1 ! -o br1" in host.iptables.tables[4, "filter"]["CNI-ISOLATION-STAGE-1"][1]


def test_policy_finds_the_bridge_by_its_port() -> None:
    host = box()
    prev = {**PREV, "interfaces": [{"name": "veth1"}, {"name": "gone"}, {"name": "eth0", "sandbox": NETNS}]}
    call(host, "ADD", prev=prev, ingressPolicy="isolated")
    assert "-i br1 -o br1" in host.iptables.tables[4, "filter"]["CNI-ISOLATION-STAGE-1"][1]


def test_policy_without_any_bridge_is_refused_and_leaves_nothing() -> None:
    host = MemoryHost()
    host.add_netns(NETNS)
    before = host.state()
    answered = call(host, "ADD", ingressPolicy="same-bridge")
    assert answered["code"] == 7
    assert host.state() == before


@pytest.mark.parametrize(("sysctl", "isolated"), [(None, True), ("0", True), ("1", False)])
def test_isolated_port_where_no_rule_sees_what_is_bridged(sysctl: str | None, isolated: bool) -> None:
    host = box()
    if sysctl is None:
        host.links().sysctls.pop("bridge/bridge-nf-call-iptables", None)
    else:
        host.links().sysctls["bridge/bridge-nf-call-iptables"] = sysctl
    call(host, "ADD", ingressPolicy="isolated")
    found = host.links().get("veth1")
    assert found is not None
    assert found.isolated == isolated


def test_delete_of_the_former_owner_leaves_the_rules_of_the_present_one() -> None:
    """Case 143."""
    host = box()
    call(host, "ADD", cid="old")
    call(host, "ADD", cid="new")
    before = rules(host)
    call(host, "DEL", cid="old")
    call(host, "DEL", cid="old")
    assert rules(host) == before
    call(host, "DEL", cid="new")
    assert own(host) == frozenset()


def test_delete_without_a_record_removes_what_prev_result_names() -> None:
    """The reference made it, or our state is lost."""
    host = box()
    call(host, "ADD")
    for name in host.files.names(f"{host.state_dir}/records/firewall"):
        host.files.remove(f"{host.state_dir}/records/firewall/{name}")
    call(host, "DEL")
    assert own(host) == frozenset()


def test_add_again_with_another_address_takes_the_first_back() -> None:
    host = box()
    call(host, "ADD")
    other = {**PREV, "ips": [{"address": "10.1.0.3/24", "interface": 2}]}
    call(host, "ADD", prev=other)
    assert "10.1.0.2/32" not in str(rules(host))


def test_only_the_families_in_use_need_their_tool() -> None:
    """Case 148."""
    host = box()
    host.iptables.families = (4,)
    only4 = {**PREV, "ips": PREV["ips"][:1]}
    assert "code" not in call(host, "ADD", prev=only4)
    assert call(host, "CHECK", prev=only4) == {}
    assert call(host, "DEL", prev=None) == {}


def requests_of_add(**keys: Any) -> list[tuple[str, int]]:
    """Everything that changes anything and that ADD asks of the host."""
    host = box()
    before = len(host.requests)
    call(host, "ADD", **keys)
    return [
        each
        for each in host.requests[before:]
        if each[0] in ("files.write", "iptables.apply", "links.change_port")
    ]


@pytest.mark.parametrize(
    "refused", requests_of_add(ingressPolicy="isolated"), ids=lambda each: f"{each[0]}-{each[1]}"
)
def test_add_that_is_refused_anything_leaves_nothing_of_its_own(refused: tuple[str, int]) -> None:
    host = box()
    host.refuse[refused] = errno.ENOSPC if refused[0].startswith("files.") else errno.EPERM
    assert "code" in call(host, "ADD", ingressPolicy="isolated")
    assert own(host) == frozenset()


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_check_names_what_was_flushed_and_reload_brings_it_back_once(backend: str) -> None:
    host = box()
    keys = {"backend": backend, "ingressPolicy": "same-bridge"}
    call(host, "ADD", **keys)
    whole = host.state()
    host.iptables.tables.clear()
    host.nftables.table = None
    flushed = host.state()
    assert call(host, "CHECK", **keys)["code"] == 103
    assert host.state() == flushed
    reload(host)
    reload(host)
    assert call(host, "CHECK", **keys) == {}
    assert {line for line in host.state() ^ whole if "record" not in line} == set()


def test_reload_leaves_out_whose_link_is_gone() -> None:
    host = box()
    call(host, "ADD")
    host.iptables.tables.clear()
    host.links().delete("veth1")
    reload(host)
    assert rules(host) == {}


@pytest.mark.parametrize(
    ("valid", "stays"),
    [(None, True), ([], False), ([{"containerID": "c1", "ifname": "eth0"}], True)],
    ids=["no list", "empty list", "in the list"],
)
def test_gc_withdraws_unknown_attachments(valid: Any, stays: bool) -> None:
    host = box()
    call(host, "ADD")
    call(host, "GC", valid=valid)
    assert bool(own(host)) == stays


def test_status_is_50_without_any_back_end() -> None:
    host = box()
    host.iptables.families = ()
    host.nftables.available = False
    assert call(host, "STATUS")["code"] == 50


def test_status_is_50_where_firewalld_is_asked_for_and_does_not_run() -> None:
    assert call(box(), "STATUS", backend="firewalld")["code"] == 50


def test_unset_backend_is_firewalld_where_it_runs() -> None:
    host = box()
    calls = with_firewalld(host)
    call(host, "ADD")
    assert [each for each in calls if each[0] == "addSource"] == [
        ("addSource", "trusted", "10.1.0.2/32"),
        ("addSource", "trusted", "fd00:1::2/128"),
    ]
    assert rules(host) == {}


def test_unset_backend_is_nftables_without_firewalld_and_iptables() -> None:
    host = box()
    host.iptables.families = ()
    call(host, "ADD", ingressPolicy="same-bridge")
    assert [each.key for each in host.nftables.elements("fenced")] == [("br1",)]


def test_check_believes_firewalld_s_answer() -> None:
    """The reference throws it away."""
    host = box()
    with_firewalld(host)
    call(host, "ADD")
    assert call(host, "CHECK") == {}
    with_firewalld(host)
    assert call(host, "CHECK")["msg"] == "10.1.0.2/32 is not in the zone trusted of firewalld"


def test_check_and_reload_notice_a_firewalld_that_was_started_later() -> None:
    host = box()
    call(host, "ADD")
    calls = with_firewalld(host)
    assert call(host, "CHECK")["msg"] == "10.1.0.2/32 is not in the zone trusted of firewalld"
    reload(host)
    assert call(host, "CHECK") == {}
    assert call(host, "DEL", prev=None) == {}
    assert [each[0] for each in calls][-2:] == ["removeSource", "removeSource"]
    assert own(host) == frozenset()


def test_a_backend_that_was_asked_for_stays_when_firewalld_is_started() -> None:
    host = box()
    call(host, "ADD", backend="iptables")
    calls = with_firewalld(host)
    reload(host)
    assert call(host, "CHECK", backend="iptables") == {}
    assert calls == []


@pytest.mark.parametrize(
    ("error", "code"),
    [("ZONE_ALREADY_SET: '10.1.0.2/32'", None), ("INVALID_ZONE: x", 7), ("Connection timed out", 106)],
)
def test_what_firewalld_refuses_is_told_by_its_kind(error: str, code: int | None) -> None:
    host = box()
    with_firewalld(host, error=error)
    assert call(host, "ADD").get("code") == code


def test_policy_of_drop_is_answered_in_iptables_whatever_the_back_end() -> None:
    host = box()
    host.iptables.policies[4, "filter", "FORWARD"] = "DROP"
    call(host, "ADD", backend="nftables")
    assert "-i br1 -j ACCEPT" in host.iptables.tables[4, "filter"]["LINKSPAN-FORWARD"]


def all_requests_of_add() -> list[tuple[str, int]]:
    host = box()
    before = len(host.requests)
    call(host, "ADD", ingressPolicy="isolated")
    return host.requests[before:]


@pytest.mark.parametrize("moment", all_requests_of_add(), ids=lambda each: f"{each[0]}-{each[1]}")
def test_add_killed_at_any_moment_and_deleted_without_prev_result_leaves_nothing(
    moment: tuple[str, int],
) -> None:
    host = box()

    host.dies_at = moment
    with pytest.raises(Killed):
        call(host, "ADD", ingressPolicy="isolated")
    host.revive()
    assert call(host, "DEL", prev=None) == {}
    assert own(host) == frozenset()


def test_check_says_that_the_bridge_is_missing() -> None:
    host = box()
    call(host, "ADD", ingressPolicy="same-bridge")
    host.links().delete("br1")
    answered = call(host, "CHECK", ingressPolicy="same-bridge")
    assert (answered["code"], answered["msg"]) == (103, "the bridge br1 is missing")


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize(
    "damage", [{"backend": "pf"}, {"addresses": "10.1.0.2"}, {"addresses": ["x"]}, {"policy": 1}]
)
def test_a_damaged_record_keeps_nothing_from_being_removed(damage: dict[str, Any], verb: str) -> None:
    host = box()
    before = own(host)
    call(host, "ADD", backend="iptables")
    attachment, records = Attachment("n1", "c1", "eth0"), Records(host, "firewall")
    records.write(attachment, {**(records.read(attachment) or {}), **damage})
    assert call(host, verb, prev=None, valid=[] if verb == "GC" else None) == {}
    assert own(host) == before


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"{}", b"[1, 2, 3]", b'["n1", "c1"]'])
def test_a_damaged_owner_is_nobody(content: bytes) -> None:
    host = box()
    before = own(host)
    host.files.write(f"{host.state_dir}/firewall/10.1.0.2", content)
    assert [call(host, verb).get("code", 0) for verb in ("ADD", "CHECK", "DEL")] == [0, 0, 0]
    assert own(host) == before
