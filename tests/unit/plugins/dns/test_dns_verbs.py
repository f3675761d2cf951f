"""The dns plugin's verbs on a host in memory; the name server is the registry itself, without sockets."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import Any

import pytest

from linkspan.call.records import CHECKSUM
from linkspan.cni.errors import PortTaken, TryAgain
from linkspan.cni.model import Attachment
from linkspan.host.memory import Killed, Request
from tests.harness.memory import BOX, Desk
from tests.harness.nameserver import NameServer, serve_names_of

GATEWAY = "10.5.0.1"
ONE = Attachment("net", "web", "eth0")
DNS: dict[str, Any] = {
    "type": "dns",
    "prevResult": {
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "br0", "mac": "02:00:00:00:00:01"},
            {"name": "veth0", "mac": "02:00:00:00:00:02"},
            {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": BOX},
        ],
        "ips": [{"address": "10.5.0.2/24", "gateway": GATEWAY, "interface": 2}],
        "routes": [{"dst": "0.0.0.0/0"}],
    },
}


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    with serve_names_of(made.host):
        yield made


def add(desk: Desk, container_id: str = "web", **config: Any) -> Any:
    return desk.call("ADD", {**DNS, **config}, container_id=container_id)


def answers(desk: Desk, name: str) -> frozenset[str]:
    """What a server that starts now, from the records alone, answers at the gateway."""
    return NameServer(desk.host).answers(GATEWAY, name)


def own(desk: Desk) -> list[str]:
    """The records of attachments."""
    return [each for each in desk.host.files.contents if "/records/dns/" in each]


# --- ADD ----------------------------------------------------------------------------------------------------


def test_add_answers_with_the_earlier_result_and_our_server_and_domain(desk: Desk) -> None:
    answer = add(desk)
    assert answer.document == {**DNS["prevResult"], "dns": {"nameservers": [GATEWAY], "search": ["net"]}}


def test_what_the_earlier_result_had_of_dns_is_kept_behind_ours(desk: Desk) -> None:
    earlier = {"nameservers": ["192.0.2.9"], "search": ["old"], "domain": "d", "options": ["ndots:1"]}
    answer = add(desk, prevResult={**DNS["prevResult"], "dns": earlier})
    assert answer.document["dns"] == {
        "nameservers": [GATEWAY, "192.0.2.9"],
        "search": ["old", "net"],
        "domain": "d",
        "options": ["ndots:1"],
    }


@pytest.mark.parametrize("name", ["web", "web.net", "db", "db.net"])
def test_every_name_is_answered_when_add_returns(desk: Desk, name: str) -> None:
    add(desk, runtimeConfig={"aliases": ["db"]})
    assert answers(desk, name) == {"10.5.0.2"}


def test_an_alias_that_is_no_name_keeps_no_container_from_starting(desk: Desk) -> None:
    assert add(desk, runtimeConfig={"aliases": ["a b", "db"]}).status == 0
    assert answers(desk, "db") == {"10.5.0.2"}
    assert any("$.runtimeConfig.aliases[0]: 'a b' is not a DNS name" in each for each in desk.host.warnings)


def test_a_domain_name_is_the_search_domain(desk: Desk) -> None:
    answer = add(desk, domainName="example.org")
    assert answer.document["dns"]["search"] == ["example.org"]
    assert answers(desk, "web.example.org") == {"10.5.0.2"}


def test_nerdctl_s_name_is_read_from_the_bundle(desk: Desk) -> None:
    digits = "ab" * 32
    path = f"/run/containerd/io.containerd.runtime.v2.task/default/{digits}/config.json"
    desk.host.files.write(path, b'{"annotations": {"nerdctl/name": "tomcat"}}')
    assert add(desk, f"default-{digits}").status == 0
    assert answers(desk, "tomcat") == {"10.5.0.2"}


def test_a_container_without_addresses_is_added_too(desk: Desk) -> None:
    answer = add(desk, prevResult={**DNS["prevResult"], "ips": []})
    assert (answer.status, "nameservers" in answer.document.get("dns", {})) == (0, False)


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ({"prevResult": None}, 7, "prevResult"),
        ({"prevResult": {"cniVersion": "1.1.0"}}, 7, "$.prevResult.interfaces"),
        ({"domainName": "a b"}, 7, "$.domainName"),
        ({"upstreams": ["nobody"]}, 7, "$.upstreams[0]"),
        ({"ttl": -1}, 7, "$.ttl"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told_and_nothing_is_recorded(
    desk: Desk, config: dict[str, Any], code: int, words: str
) -> None:
    answer = add(desk, **config)
    assert answer.code == code
    assert words in answer.msg
    assert own(desk) == []


@pytest.mark.parametrize("error", [PortTaken("port 53 is dnsmasq's"), TryAgain("it does not reply")], ids=str)
def test_a_server_that_refuses_is_quoted_and_the_record_goes(
    desk: Desk, error: PortTaken, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(NameServer, "register", refuse)
    answer = add(desk)
    assert (answer.code, answer.msg, own(desk)) == (error.code, error.msg, [])


def requests_of_add() -> list[Request]:
    desk = Desk()
    with serve_names_of(desk.host):
        assert add(desk).status == 0
    return list(desk.host.requests)


@pytest.mark.parametrize("request_", requests_of_add(), ids=str)
def test_add_records_nothing_when_any_request_is_refused(desk: Desk, request_: Request) -> None:
    desk.host.refuse = {request_: errno.ENOSPC}
    answer = add(desk)
    assert answer.code != 199, answer.document
    assert (answer.status == 0) == (own(desk) != [])


@pytest.mark.parametrize("request_", requests_of_add(), ids=str)
def test_del_forgets_what_an_add_recorded_that_was_killed_anywhere(desk: Desk, request_: Request) -> None:
    desk.host.dies_at = request_
    with pytest.raises(Killed):
        add(desk)
    desk.host.revive()
    assert desk.call("DEL", DNS, container_id="web").status == 0
    assert (own(desk), answers(desk, "web")) == ([], frozenset())


# --- DEL, CHECK, GC, STATUS ---------------------------------------------------------------------------------


def test_names_are_gone_when_del_returns(desk: Desk) -> None:
    add(desk)
    assert desk.call("DEL", {"type": "dns"}, container_id="web", netns="").status == 0
    assert (own(desk), answers(desk, "web")) == ([], frozenset())


def test_del_of_one_leaves_the_other(desk: Desk) -> None:
    add(desk)
    other = {**DNS["prevResult"], "ips": [{"address": "10.5.0.3/24", "gateway": GATEWAY, "interface": 2}]}
    add(desk, "db", prevResult=other)
    desk.call("DEL", DNS, container_id="web")
    assert answers(desk, "db") == {"10.5.0.3"}


def test_del_of_what_was_never_added_is_fine(desk: Desk) -> None:
    assert desk.call("DEL", DNS, container_id="web").status == 0


def test_check_of_what_add_made_is_content(desk: Desk) -> None:
    add(desk)
    assert desk.call("CHECK", DNS, container_id="web").document == {}


def record_path(desk: Desk) -> str:
    return f"{desk.host.state_dir}/records/dns/{ONE.key}.json"


def spoil(desk: Desk, changes: dict[str, Any]) -> None:
    """Change the record as somebody does who leaves its checksum out."""
    record = json.loads(desk.host.files.read(record_path(desk)) or b"")
    del record[CHECKSUM]
    desk.host.files.write(record_path(desk), json.dumps({**record, **changes}).encode())


def test_check_finds_that_nothing_is_recorded(desk: Desk) -> None:
    add(desk)
    desk.host.files.remove(record_path(desk))
    assert desk.call("CHECK", DNS, container_id="web").code == 103


@pytest.mark.parametrize(
    "spoilt",
    [{"addresses": ["10.5.0.9/24"]}, {"names": [], "addresses": ["10.5.0.9/24"]}, {"listen": ["10.9.9.9"]}],
    ids=str,
)
def test_check_finds_a_record_that_says_something_else(desk: Desk, spoilt: dict[str, Any]) -> None:
    add(desk)
    spoil(desk, spoilt)
    assert desk.call("CHECK", DNS, container_id="web").code == 103


@pytest.mark.parametrize("spoilt", [{"addresses": ["x"]}, {"ttl": "x"}, {"names": None}], ids=str)
def test_check_takes_a_record_that_makes_no_sense_for_none(desk: Desk, spoilt: dict[str, Any]) -> None:
    add(desk)
    spoil(desk, spoilt)
    assert desk.call("CHECK", DNS, container_id="web").code == 103


def never_replies(*_: object) -> None:
    raise TryAgain("the name server (pid 7) does not reply")


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_a_server_that_does_not_reply_stops_no_removal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The record is what counts, and it is gone: nothing would be left to do for another DEL."""
    add(desk)
    monkeypatch.setattr(NameServer, "unregister", never_replies)
    config = {"type": "dns", "cni.dev/valid-attachments": []}
    assert desk.call(verb, config, container_id="web").status == 0
    assert own(desk) == []
    assert desk.host.warnings == [
        "names may be answered until the name server is restarted: the name server (pid 7) does not reply"
    ]


def test_gc_removes_every_record_though_one_cannot_be_removed(desk: Desk) -> None:
    for cid, address in (("a", "10.5.0.3/24"), ("b", "10.5.0.4/24"), ("c", "10.5.0.5/24")):
        result = {**DNS["prevResult"], "ips": [{"address": address, "gateway": GATEWAY, "interface": 2}]}
        assert add(desk, cid, prevResult=result).status == 0
    desk.host.revive()
    desk.host.refuse = {("files.remove", 1): errno.EIO}
    assert desk.call("GC", {"type": "dns", "cni.dev/valid-attachments": []}).code == 5
    assert len(own(desk)) == 1


GARBAGE = [
    b"",
    b"{",
    b"[" * 100_000,
    b'{"network": "net", "containerID": "web", "ifname": "eth0"}',
    b'{"network": "net", "containerID": "web", "ifname": "eth0", "bridge": "br0", "link": "", "names": 7,'
    b' "addresses": 7, "listen": 7, "domains": 7, "forward": 7, "upstreams": 7, "ttl": Infinity}',
]


@pytest.mark.parametrize("garbage", [*GARBAGE, None], ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("verb", ["ADD", "DEL", "GC", "STATUS", "CHECK"])
def test_garbage_in_a_record_s_place_never_ends_in_a_fault(
    desk: Desk, verb: str, garbage: bytes | None
) -> None:
    """None is a folder in its place, over which ADD cannot write."""
    add(desk)
    if garbage is None:
        desk.host.files.remove(record_path(desk))
        desk.host.files.make_folder(record_path(desk))
    else:
        desk.host.files.write(record_path(desk), garbage)
    config = {**DNS, "cni.dev/valid-attachments": []} if verb == "GC" else DNS
    allowed = {"CHECK": 103, "ADD": 0 if garbage is not None else 5}
    assert desk.call(verb, config, container_id="web").code == allowed.get(verb, 0)


def test_gc_forgets_this_network_s_names_that_are_not_valid(desk: Desk) -> None:
    add(desk)
    other = {**DNS["prevResult"], "ips": [{"address": "10.5.0.3/24", "gateway": GATEWAY, "interface": 2}]}
    add(desk, "db", prevResult=other)
    valid = {"cni.dev/valid-attachments": [{"containerID": "db", "ifname": "eth0"}]}
    assert desk.call("GC", {"type": "dns", **valid}).status == 0
    assert answers(desk, "web") == frozenset()
    assert answers(desk, "db") == {"10.5.0.3"}


def test_gc_without_a_list_or_of_another_network_forgets_nothing(desk: Desk) -> None:
    add(desk)
    desk.call("GC", {"type": "dns"})
    desk.beside("other").call("GC", {"type": "dns", "cni.dev/valid-attachments": []})
    assert answers(desk, "web") == {"10.5.0.2"}


def test_status_is_ready_where_a_server_runs(desk: Desk) -> None:
    assert desk.call("STATUS", {"type": "dns"}).status == 0


def test_status_tells_who_has_the_port_where_none_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cni_dns.server.client.reach", lambda host: None)
    monkeypatch.setattr("cni_dns.check.owner_everywhere", lambda: "dnsmasq (pid 7)")
    answer = desk.call("STATUS", {"type": "dns"})
    assert answer.code == 50
    assert "dnsmasq (pid 7)" in answer.msg
