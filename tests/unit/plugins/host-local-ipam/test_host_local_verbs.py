"""host-local's verbs: what may be requested, what is answered, and what a crash or a refusal leaves."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from cni_host_local_ipam.facts import parse_resolv_conf
from linkspan.cni.model import Dns
from linkspan.host.memory import Killed, MemoryHost, Request
from tests.harness.leases import DUAL, FOLDER, SMALL, WIDE, addresses, config, leases, left, reboot
from tests.harness.memory import VERSIONS, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- what was asked for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "more"),
    [
        ("IP=10.5.0.77", {}),
        ("", {"args": {"cni": {"ips": ["10.5.0.77"]}}}),
        ("", {"runtimeConfig": {"ips": ["10.5.0.77"]}}),
        ("", {"runtimeConfig": {"ips": ["10.5.0.77/24"]}}),
        ("IP=10.5.0.9", {"args": {"cni": {"ips": ["10.5.0.77"]}}}),
        ("IP=10.5.0.77", {"runtimeConfig": {"ips": ["10.5.0.77"]}}),
    ],
    ids=["CNI_ARGS", "args.cni", "runtimeConfig", "with a length", "args.cni wins", "twice the same"],
)
def test_an_asked_for_address_is_given(desk: Desk, args: str, more: dict[str, Any]) -> None:
    assert addresses(desk, WIDE, args, **more) == ["10.5.0.77/24"]


@pytest.mark.parametrize("source", ["IP=10.5.0.7", ""])
def test_runtime_config_s_addresses_join_those_of_the_others(desk: Desk, source: str) -> None:
    more: dict[str, Any] = {"runtimeConfig": {"ips": ["fd00:5::7"]}}
    if not source:
        more["args"] = {"cni": {"ips": ["10.5.0.7"]}}
    assert addresses(desk, DUAL, source, **more) == ["10.5.0.7/24", "fd00:5::7/64"]


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (["10.6.0.1"], 7, "10.6.0.1 is in no range"),
        (["10.5.0.1"], 7, "gateway"),
        (["10.5.0.7", "10.5.0.8"], 7, "in the same range set"),
        (["10.5.0.300"], 7, "$.runtimeConfig.ips[0]"),
        (["10.5.0.7/99"], 7, "$.runtimeConfig.ips[0]"),
        (["10.5.0.5"], 102, "requested IP address 10.5.0.5 is not available"),
    ],
    ids=str,
)
def test_an_address_that_cannot_be_given_is_told_and_nothing_is_taken(
    desk: Desk, asked: list[str], code: int, words: str
) -> None:
    desk.host.files.write(f"{FOLDER}/10.5.0.5", b"other\r\neth0")
    answer = desk.call("ADD", config(WIDE, runtimeConfig={"ips": asked}))
    assert (answer.code, leases(desk)) == (code, ["10.5.0.5"])
    assert words in answer.msg


def test_an_address_in_cni_args_that_is_none_is_the_environment_s_fault(desk: Desk) -> None:
    assert desk.call("ADD", config(WIDE), args="IP=nonsense").code == 4


def test_who_holds_an_asked_for_address_is_told(desk: Desk) -> None:
    addresses(desk, WIDE, "IP=10.5.0.7", cid="owner")
    answer = desk.call("ADD", config(WIDE), args="IP=10.5.0.7", container_id="late")
    assert "container owner holds it on network net" in answer.document["details"]


def test_ranges_of_the_runtime_go_before_the_configured_ones(desk: Desk) -> None:
    more: dict[str, Any] = {"runtimeConfig": {"ipRanges": [[{"subnet": "10.7.0.0/24"}]]}}
    assert addresses(desk, WIDE, **more) == ["10.7.0.2/24", "10.5.0.2/24"]


# --- results ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gets_its_own_shape(version: str) -> None:
    result = Desk(version=version).call("ADD", config(DUAL)).document
    if version in ("0.1.0", "0.2.0"):
        assert result["ip4"] == {"ip": "10.5.0.2/24", "gateway": "10.5.0.1"}
        assert result["ip6"] == {"ip": "fd00:5::2/64", "gateway": "fd00:5::1"}
    else:
        assert [each["address"] for each in result["ips"]] == ["10.5.0.2/24", "fd00:5::2/64"]
        assert [each.get("version") for each in result["ips"]] == (
            ["4", "6"] if version < "1.0.0" else [None] * 2
        )


def test_routes_are_passed_on_with_all_their_numbers(desk: Desk) -> None:
    route = {
        "dst": "10.9.0.0/16",
        "gw": "10.5.0.9",
        "mtu": 1400,
        "advmss": 1360,
        "priority": 5,
        "table": 0,
        "scope": 0,
    }
    answer = desk.call("ADD", config({**WIDE, "routes": [route, {"dst": "0.0.0.0/0"}]}))
    assert answer.document["routes"] == [route, {"dst": "0.0.0.0/0"}]


def test_a_resolv_conf_becomes_the_result_s_dns(desk: Desk) -> None:
    desk.host.files.write("/etc/r.conf", b"nameserver 10.0.0.1\nsearch a.example\n")
    answer = desk.call("ADD", config({**WIDE, "resolvConf": "/etc/r.conf"}))
    assert answer.document["dns"] == {"nameservers": ["10.0.0.1"], "search": ["a.example"]}


def test_a_resolv_conf_that_is_absent_is_told_before_anything_is_taken(desk: Desk) -> None:
    answer = desk.call("ADD", config({**WIDE, "resolvConf": "/etc/none"}))
    assert (answer.code, leases(desk)) == (7, [])


def test_resolv_conf_adds_up_over_its_lines() -> None:
    text = (
        "# c\n; c\nnameserver 10.0.0.1\nnameserver fd00::1 x\nsearch a b\nsearch c\n"
        "domain d\ndomain e\noptions x y\nbad\nnameserver\n"
    )
    assert parse_resolv_conf(text) == Dns(
        nameservers=("10.0.0.1", "fd00::1"), domain="e", search=("a", "b", "c"), options=("x", "y")
    )


# --- CHECK, GC, STATUS --------------------------------------------------------------------------------------


def test_check_of_what_add_gave_is_content(desk: Desk) -> None:
    addresses(desk, DUAL)
    assert desk.call("CHECK", config(DUAL)).status == 0


@pytest.mark.parametrize(
    ("name", "words"), [("10.5.0.2", "10.5.0.2 is not leased"), ("fd00:5::2", "fd00:5::2 is not leased")]
)
def test_check_finds_a_lease_that_is_gone(desk: Desk, name: str, words: str) -> None:
    addresses(desk, DUAL)
    desk.host.files.remove(f"{FOLDER}/{name}")
    answer = desk.call("CHECK", config(DUAL))
    assert answer.code == 103
    assert words in answer.msg


def test_check_finds_that_nothing_is_leased(desk: Desk) -> None:
    addresses(desk, DUAL)
    result = desk.result
    desk.call("DEL", config(DUAL))
    assert desk.call("CHECK", config(DUAL, prevResult=result)).code == 103


def test_gc_frees_what_is_not_valid_and_nothing_else(desk: Desk) -> None:
    for cid in ("c1", "c2"):
        addresses(desk, SMALL, cid=cid)
    desk.host.files.write(f"{FOLDER}/10.5.0.5", b"theirs\r\neth0")
    desk.host.files.write(f"{FOLDER}/10.5.0.6", b"c2")
    valid = {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]}
    assert desk.call("GC", config(SMALL, **valid)).status == 0
    assert leases(desk) == ["10.5.0.3", "10.5.0.6"]


def test_gc_without_a_list_frees_nothing(desk: Desk) -> None:
    addresses(desk, SMALL)
    assert desk.call("GC", config(SMALL)).status == 0
    assert leases(desk) == ["10.5.0.2"]


def test_gc_frees_leases_of_an_earlier_boot(desk: Desk) -> None:
    addresses(desk, SMALL)
    reboot(desk)
    valid = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    desk.call("GC", config(SMALL, **valid))
    assert leases(desk) == []


def test_status_is_ready_until_a_set_is_full(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    before = desk.call("STATUS", config(one))
    addresses(desk, one)
    assert (before.status, desk.call("STATUS", config(one)).code) == (0, 50)


def test_status_tells_of_a_state_folder_that_cannot_be_written() -> None:
    desk = Desk()
    desk.host.files.write("/var/lib/cni", b"a file where a folder should be")
    assert desk.call("STATUS", config(SMALL)).code == 50


def test_status_makes_nothing_for_a_network_that_nobody_joined() -> None:
    desk = Desk()
    assert desk.call("STATUS", config(SMALL)).status == 0
    assert desk.host.files.names("/var/lib/cni/networks") == ()


# --- crashes and refusals -----------------------------------------------------------------------------------


def requests_of(verb: str) -> list[Request]:
    desk = Desk()
    if verb == "DEL":
        desk.call("ADD", config(DUAL))
        desk.host.revive()
    desk.host.requests.clear()
    assert desk.call(verb, config(DUAL)).status == 0
    return list(desk.host.requests)


@pytest.mark.parametrize("request_", requests_of("ADD"), ids=str)
def test_add_takes_nothing_when_any_request_is_refused(request_: Request) -> None:
    desk = Desk(MemoryHost(refuse={request_: errno.ENOSPC}))
    answer = desk.call("ADD", config(DUAL))
    if answer.status == 0:  # what was given back is only a preference
        assert desk.call("DEL", config(DUAL)).status == 0
    assert (answer.code in (0, 5), left(desk)) == (True, [])


@pytest.mark.parametrize("request_", requests_of("ADD"), ids=str)
def test_del_frees_what_an_add_took_that_was_killed_anywhere(request_: Request) -> None:
    desk = Desk(MemoryHost(dies_at=request_))
    with pytest.raises(Killed):
        desk.call("ADD", config(DUAL))
    desk.host.revive()
    assert desk.call("DEL", config(DUAL)).status == 0
    assert left(desk) == []


@pytest.mark.parametrize("request_", requests_of("ADD"), ids=str)
def test_an_add_killed_anywhere_can_be_repeated_by_another_container(request_: Request) -> None:
    desk = Desk(MemoryHost(dies_at=request_))
    with pytest.raises(Killed):
        desk.call("ADD", config(DUAL))
    desk.host.revive()
    first = desk.host.files.read(f"{FOLDER}/10.5.0.2") or b"c2\r\neth0"
    given = addresses(desk, DUAL, cid="c2")
    assert ("10.5.0.2/24" in given) == first.startswith(b"c2")


@pytest.mark.parametrize("request_", requests_of("DEL"), ids=str)
def test_del_killed_anywhere_can_be_repeated(request_: Request) -> None:
    desk = Desk()
    desk.call("ADD", config(DUAL))
    desk.host.revive()
    desk.host.dies_at = request_
    with pytest.raises(Killed):
        desk.call("DEL", config(DUAL))
    desk.host.revive()
    assert desk.call("DEL", config(DUAL)).status == 0
    assert left(desk) == []
