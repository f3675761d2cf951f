"""host-local on a host in memory: ranges, leases, what was asked for, what is on the disk, and what a crash leaves."""

from __future__ import annotations

import errno
import json
import re
from typing import Any

import pytest

from cni_host_local_ipam.ranges import Ip, RangeSet, address_or_none, parse_ip, read_sets
from cni_host_local_ipam.released import REMEMBERED, Released
from cni_host_local_ipam.resolv import parse_resolv_conf
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Attachment, Dns
from linkspan.host.memory import Killed, MemoryHost, Request
from tests.harness.memory import VERSIONS, Desk

FOLDER = "/var/lib/cni/networks/net"
SMALL: dict[str, Any] = {"ranges": [[{"subnet": "10.5.0.0/29"}]]}
DUAL: dict[str, Any] = {"ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]]}


def config(ipam: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "host-local", "ipam": {"type": "host-local", **ipam}, **more}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def addresses(
    desk: Desk, ipam: dict[str, Any], cni_args: str = "", cid: str = "c1", **more: Any
) -> list[str]:
    """The addresses that an ADD answers with."""
    answer = desk.call("ADD", config(ipam, **more), container_id=cid, args=cni_args)
    assert answer.status == 0, answer.document
    return [each["address"] for each in answer.document["ips"]]


def leases(desk: Desk) -> list[str]:
    """The addresses with a lease file."""
    return [each for each in desk.host.files.names(FOLDER) if address_or_none(each) is not None]


# --- ranges ------------------------------------------------------------------------------------------------------


def one_set(*ranges: dict[str, str]) -> RangeSet:
    return read_sets([("$.ipam.ranges[0]", list(ranges))])[0]


def texts(ips: Any) -> list[str]:
    return [str(ip) for ip in ips]


@pytest.mark.parametrize(
    ("value", "handed_out"),
    [
        ({"subnet": "10.5.0.0/29"}, ["10.5.0.2", "10.5.0.3", "10.5.0.4", "10.5.0.5", "10.5.0.6"]),
        ({"subnet": "10.5.0.0/29", "gateway": "10.5.0.3"}, ["10.5.0.1", "10.5.0.2", "10.5.0.4", "10.5.0.5", "10.5.0.6"]),
        ({"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.9", "rangeEnd": "10.5.0.10"}, ["10.5.0.9", "10.5.0.10"]),
        ({"subnet": "10.5.0.0/30", "rangeStart": "10.5.0.0", "rangeEnd": "10.5.0.3"}, ["10.5.0.2"]),
        ({"subnet": "10.5.0.0/31"}, ["10.5.0.0"]),
        ({"subnet": "10.5.0.7/32"}, ["10.5.0.7"]),
        ({"subnet": "fd00::/126"}, ["fd00::2", "fd00::3"]),
        ({"subnet": "fd00::5/128"}, ["fd00::5"]),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_a_range_hands_out_its_addresses_but_the_gateway(
    value: dict[str, str], handed_out: list[str]
) -> None:
    found = one_set(value)
    assert texts(found.candidates(None)) == handed_out
    assert found.size == len(handed_out)


def test_round_robin_begins_behind_the_last_and_goes_through_all_ranges_once() -> None:
    two = one_set({"subnet": "10.5.0.0/30"}, {"subnet": "10.6.0.0/29"})
    after = parse_ip("", "10.6.0.4")
    assert texts(two.candidates(after)) == [
        "10.6.0.5",
        "10.6.0.6",
        "10.5.0.2",
        "10.6.0.2",
        "10.6.0.3",
        "10.6.0.4",
    ]


def test_a_last_address_that_is_of_no_range_any_more_begins_anew() -> None:
    found = one_set({"subnet": "10.5.0.0/30"})
    assert texts(found.candidates(parse_ip("", "10.9.0.1"))) == ["10.5.0.2"]


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([], "empty range set"),
        ([{"subnet": "10.5.0.0/24"}, {"subnet": "fd00::/64"}], "mixed address families"),
        ([{"subnet": "10.5.0.0/24"}, {"subnet": "10.5.0.0/25"}], "overlap"),
        ([{"subnet": "10.5.0.1/24"}], "host bits set"),
        ([{"subnet": "10.5.0.0"}], "CIDR"),
        ([{"subnet": "10.5.0.0/33"}], "longer than 32"),
        ([{"subnet": "10.5.0.0/24", "rangeStart": "10.6.0.1"}], "RangeStart 10.6.0.1 not in network"),
        ([{"subnet": "10.5.0.0/24", "rangeEnd": "10.6.0.1"}], "RangeEnd 10.6.0.1 not in network"),
        ([{"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.9", "rangeEnd": "10.5.0.8"}], "no address between"),
        ([{"subnet": "10.5.0.0/24", "gateway": "10.6.0.1"}], "gateway 10.6.0.1 not in network"),
        ([{"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.1", "rangeEnd": "10.5.0.1"}], "no address to hand out"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_a_range_set_that_cannot_be_is_told(ranges: list[dict[str, str]], words: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        one_set(*ranges)
    assert words in caught.value.msg
    assert caught.value.msg.startswith("$.ipam.ranges[0]")


def test_two_range_sets_that_overlap_are_told() -> None:
    with pytest.raises(InvalidConfig, match="range set 0 overlaps with 1"):
        read_sets([("$.a", [{"subnet": "10.5.0.0/24"}]), ("$.b", [{"subnet": "10.5.0.128/25"}])])


@pytest.mark.parametrize(
    ("text", "ip"), [("10.5.0.7", "10.5.0.7"), ("::ffff:10.5.0.7", "10.5.0.7"), ("FD00::7", "fd00::7")]
)
def test_an_address_is_read_in_any_spelling(text: str, ip: str) -> None:
    assert str(parse_ip("", text)) == ip


@pytest.mark.parametrize("text", ["", "10.5.0", "fe80::1%eth0", "10.5.0.7/24", None, 7])
def test_what_is_no_address_is_told(text: object) -> None:
    with pytest.raises(InvalidConfig, match="is not an IP address"):
        parse_ip("$.here", text)


# --- leases ------------------------------------------------------------------------------------------------------


def test_addresses_are_handed_out_in_turn_and_a_freed_one_comes_last(desk: Desk) -> None:
    first = addresses(desk, SMALL, cid="c1")
    second = addresses(desk, SMALL, cid="c2")
    desk.call("DEL", config(SMALL), container_id="c1")
    rest = [addresses(desk, SMALL, cid=f"d{number}")[0] for number in range(4)]
    assert (first, second) == (["10.5.0.2/29"], ["10.5.0.3/29"])
    assert rest == ["10.5.0.4/29", "10.5.0.5/29", "10.5.0.6/29", "10.5.0.2/29"]


def freed(desk: Desk, *names: str) -> None:
    for name in names:
        desk.call("DEL", config(SMALL), container_id=name)


def test_of_addresses_that_were_given_back_the_first_is_given_out_first(desk: Desk) -> None:
    """Round robin alone would begin with 10.5.0.2, which is the one that was freed last."""
    for name in "abcde":
        addresses(desk, SMALL, cid=name)
    freed(desk, "c", "d", "a")
    given = [addresses(desk, SMALL, cid=f"{name}2")[0] for name in "cda"]
    assert given == ["10.5.0.4/29", "10.5.0.5/29", "10.5.0.2/29"]


def test_an_address_that_was_given_back_waits_for_those_that_were_not(desk: Desk) -> None:
    addresses(desk, SMALL, "IP=10.5.0.2", cid="asked")
    freed(desk, "asked")
    assert addresses(desk, SMALL) == ["10.5.0.3/29"]


def test_an_address_is_never_refused_for_being_given_back_just_now(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    for name in "abc":
        assert addresses(desk, one, cid=name) == ["10.5.0.2/30"]
        freed(desk, name)


def test_an_address_that_was_asked_for_does_not_move_the_cursor(desk: Desk) -> None:
    addresses(desk, SMALL, cid="c1")
    addresses(desk, SMALL, "IP=10.5.0.5", cid="asked")
    assert desk.host.files.read(f"{FOLDER}/last_reserved_ip.0") == b"10.5.0.2"
    assert addresses(desk, SMALL, cid="c2") == ["10.5.0.3/29"]


@pytest.mark.parametrize("spoilt", [None, b"", b"{", b'{"10.5.0.2": 1}', b"[[]]", b"7"], ids=str)
def test_a_memory_of_what_was_given_back_that_is_lost_or_torn_means_round_robin(
    desk: Desk, spoilt: bytes | None
) -> None:
    addresses(desk, SMALL, "IP=10.5.0.2", cid="asked")
    freed(desk, "asked")
    (memory,) = [each for each in desk.host.files.contents if "/released/" in each]
    if spoilt is None:
        desk.host.files.remove(memory)
    else:
        desk.host.files.write(memory, spoilt)
    assert addresses(desk, SMALL) == ["10.5.0.2/29"]


def test_no_more_than_the_last_addresses_given_back_are_remembered() -> None:
    released = Released(MemoryHost(), "pool")
    for number in range(REMEMBERED + 2):
        released.add(str(number))
    assert list(released.oldest_first()) == [str(number) for number in range(2, REMEMBERED + 2)]


def test_a_container_gets_one_address_of_each_set(desk: Desk) -> None:
    assert addresses(desk, DUAL) == ["10.5.0.2/24", "fd00:5::2/64"]


def test_two_interfaces_of_one_container_get_two_addresses(desk: Desk) -> None:
    desk.call("ADD", config(SMALL), ifname="eth0")
    answer = desk.call("ADD", config(SMALL), ifname="eth1")
    assert answer.document["ips"][0]["address"] == "10.5.0.3/29"


def test_leases_are_the_reference_s_to_the_byte(desk: Desk) -> None:
    addresses(desk, DUAL, cid="container-1")
    here = {path: data for path, data in desk.host.files.contents.items() if path.startswith(FOLDER)}
    assert here == {
        f"{FOLDER}/lock": b"",
        f"{FOLDER}/10.5.0.2": b"container-1\r\neth0",
        f"{FOLDER}/fd00:5::2": b"container-1\r\neth0",
        f"{FOLDER}/last_reserved_ip.0": b"10.5.0.2",
        f"{FOLDER}/last_reserved_ip.1": b"fd00:5::2",
    }
    assert desk.host.files.mode(FOLDER) == 0o755


def test_the_data_dir_is_where_the_configuration_says(desk: Desk) -> None:
    addresses(desk, {**SMALL, "dataDir": "/srv/pool"})
    assert "10.5.0.2" in desk.host.files.names("/srv/pool/net")


def test_a_second_add_is_refused_and_the_lease_stays(desk: Desk) -> None:
    addresses(desk, SMALL)
    answer = desk.call("ADD", config(SMALL))
    assert (answer.code, leases(desk)) == (105, ["10.5.0.2"])
    assert "duplicate allocation is not allowed" in answer.msg


def test_a_long_id_does_not_make_a_message_too_long(desk: Desk) -> None:
    addresses(desk, {"subnet": "fd00:1111:2222:3333::/64"}, cid="k8s-" + "ab" * 32)
    answer = desk.call("ADD", config({"subnet": "fd00:1111:2222:3333::/64"}), container_id="k8s-" + "ab" * 32)
    assert (answer.code, len(answer.msg) <= 120) == (105, True)


def test_a_full_pool_says_which_network_which_range_and_how_many(desk: Desk) -> None:
    for number in range(5):
        addresses(desk, SMALL, cid=f"c{number}")
    answer = desk.call("ADD", config(SMALL), container_id="late")
    assert answer.code == 102
    assert answer.msg == (
        "network net: no IP addresses available in range set: 10.5.0.1-10.5.0.6 (all 5 are taken)"
    )


def test_a_second_set_that_is_full_gives_the_first_one_s_address_back(desk: Desk) -> None:
    tight = {"ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "10.6.0.0/30"}]]}
    addresses(desk, tight)
    assert desk.call("ADD", config(tight), container_id="late").code == 102
    assert leases(desk) == ["10.5.0.2", "10.6.0.2"]


def test_del_frees_and_leaves_nothing_but_lock_cursor_and_the_memory_of_it(desk: Desk) -> None:
    addresses(desk, SMALL)
    assert desk.call("DEL", config(SMALL)).status == 0
    (memory,) = [each for each in desk.host.files.contents if "/released/" in each]
    assert sorted(desk.host.files.contents) == sorted(
        [f"{FOLDER}/last_reserved_ip.0", f"{FOLDER}/lock", memory]
    )
    assert memory.startswith(desk.host.state_dir)


def test_del_of_what_was_never_added_makes_nothing(desk: Desk) -> None:
    before = desk.host.state()
    assert desk.call("DEL", config(SMALL)).status == 0
    assert desk.host.state() == before


def test_del_needs_no_ranges(desk: Desk) -> None:
    addresses(desk, SMALL)
    assert desk.call("DEL", {"type": "host-local", "ipam": {}}).status == 0
    assert leases(desk) == []


def test_one_container_s_del_leaves_another_s_lease(desk: Desk) -> None:
    addresses(desk, SMALL, cid="c1")
    addresses(desk, SMALL, cid="c10")
    desk.call("DEL", config(SMALL), container_id="c1")
    assert leases(desk) == ["10.5.0.3"]


# --- leases of others --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"c1\r\neth0", b"c1\r\neth0\n", b"c1"], ids=["now", "newline", "long ago"]
)
def test_a_lease_that_the_reference_made_is_found_by_del(desk: Desk, content: bytes) -> None:
    desk.host.files.write(f"{FOLDER}/10.5.0.4", content)
    desk.call("DEL", config(SMALL))
    assert leases(desk) == []


def test_a_lease_that_the_reference_made_is_not_given_to_another(desk: Desk) -> None:
    desk.host.files.write(f"{FOLDER}/10.5.0.2", b"other\r\neth0")
    assert addresses(desk, SMALL) == ["10.5.0.3/29"]


def test_the_reference_s_cursor_is_ours(desk: Desk) -> None:
    desk.host.files.write(f"{FOLDER}/last_reserved_ip.0", b"10.5.0.4")
    assert addresses(desk, SMALL) == ["10.5.0.5/29"]


def test_an_empty_lease_file_is_a_crash_s_and_free(desk: Desk) -> None:
    desk.host.files.write(f"{FOLDER}/10.5.0.2", b"")
    assert addresses(desk, SMALL) == ["10.5.0.2/29"]


@pytest.mark.parametrize("name", ["README", "10.5.0.002", "10.5.0.2~"])
def test_a_file_that_is_no_lease_is_left_alone(desk: Desk, name: str) -> None:
    desk.host.files.write(f"{FOLDER}/{name}", b"c1\r\neth0")
    addresses(desk, SMALL)
    desk.call("DEL", config(SMALL))
    assert desk.host.files.read(f"{FOLDER}/{name}") == b"c1\r\neth0"


def restarted_by_the_reference(desk: Desk) -> None:
    """Our lease is gone and there is another, as after a DEL and an ADD of the reference."""
    addresses(desk, SMALL)
    desk.host.files.remove(f"{FOLDER}/10.5.0.2")
    desk.host.files.write(f"{FOLDER}/10.5.0.3", b"c1\r\neth0")


def test_del_finds_the_lease_of_a_container_that_the_reference_restarted(desk: Desk) -> None:
    restarted_by_the_reference(desk)
    desk.call("DEL", config(SMALL))
    assert leases(desk) == []
    assert not [line for line in desk.host.state() if "/linkspan/leases/" in line]


def test_add_is_refused_for_a_container_that_the_reference_restarted(desk: Desk) -> None:
    restarted_by_the_reference(desk)
    assert desk.call("ADD", config(SMALL)).code == 105


# --- boots -------------------------------------------------------------------------------------------------------


def reboot(desk: Desk, boot: str = "second-boot 1") -> None:
    desk.host.boot = boot


def test_our_lease_of_an_earlier_boot_is_free(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    reboot(desk)
    assert addresses(desk, one, cid="after") == ["10.5.0.2/30"]
    assert desk.host.files.read(f"{FOLDER}/10.5.0.2") == b"after\r\neth0"


def test_another_network_namespace_is_not_another_boot(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    reboot(desk, "first-boot 2")
    assert desk.call("ADD", config(one), container_id="after").code == 102


def test_a_lease_that_the_reference_wrote_over_ours_lives(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    reboot(desk)
    desk.host.files.write(f"{FOLDER}/10.5.0.2", b"theirs\r\neth0")
    assert desk.call("ADD", config(one), container_id="after").code == 102


def test_the_same_container_is_added_again_after_a_boot(desk: Desk) -> None:
    addresses(desk, SMALL)
    reboot(desk)
    assert addresses(desk, SMALL) == ["10.5.0.3/29"]


# --- what was asked for ------------------------------------------------------------------------------------------

WIDE = {"ranges": [[{"subnet": "10.5.0.0/24"}]]}


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
        (["10.5.0.7", "10.5.0.8"], 7, "one range set"),
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


# --- results -----------------------------------------------------------------------------------------------------


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
    text = "# c\n; c\nnameserver 10.0.0.1\nnameserver fd00::1 x\nsearch a b\nsearch c\ndomain d\ndomain e\noptions x y\nbad\nnameserver\n"
    assert parse_resolv_conf(text) == Dns(
        nameservers=("10.0.0.1", "fd00::1"), domain="e", search=("a", "b", "c"), options=("x", "y")
    )


# --- CHECK, GC, STATUS -------------------------------------------------------------------------------------------


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


# --- crashes and refusals ----------------------------------------------------------------------------------------


def requests_of(verb: str) -> list[Request]:
    desk = Desk()
    if verb == "DEL":
        desk.call("ADD", config(DUAL))
        desk.host.revive()
    desk.host.requests.clear()
    assert desk.call(verb, config(DUAL)).status == 0
    return list(desk.host.requests)


def left(desk: Desk) -> list[str]:
    """Files besides the lock, the cursors and the memory of what was given back."""
    stays = re.compile(r".*(/lock|_ip\.[01]|/released/.*)")
    return [each for each in desk.host.files.contents if not stays.fullmatch(each)]


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


@pytest.mark.parametrize("spoilt", [None, b"", b"{", b'["nonsense"]', b"7"], ids=str)
def test_an_index_that_is_lost_or_torn_means_a_scan(desk: Desk, spoilt: bytes | None) -> None:
    addresses(desk, DUAL)
    (index,) = [
        each for each in desk.host.files.contents if each.endswith(Attachment("net", "c1", "eth0").key)
    ]
    if spoilt is None:
        desk.host.files.remove(index)
    else:
        desk.host.files.write(index, spoilt)
    assert desk.call("DEL", config(DUAL)).status == 0
    assert left(desk) == []


def test_the_index_names_the_leases(desk: Desk) -> None:
    addresses(desk, DUAL)
    key = Attachment("net", "c1", "eth0").key
    (data,) = [each for path, each in desk.host.files.contents.items() if path.endswith(key)]
    assert json.loads(data) == ["10.5.0.2", "fd00:5::2"]


def test_canonical_text_is_the_only_name_of_a_lease() -> None:
    known: list[Ip | None] = [
        address_or_none(each) for each in ("10.5.0.2", "fd00::2", "FD00::2", "010.5.0.2", "x")
    ]
    assert [each is not None for each in known] == [True, True, False, False, False]
