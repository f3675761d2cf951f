"""Records: written whole, found by attachment, and never an obstacle when they are torn."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from linkspan.call.records import Records, WriteRecord
from linkspan.cni.errors import IoFailure
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost

ONE, TWO = Attachment("net", "c1", "eth0"), Attachment("net", "c2", "eth0")


@pytest.fixture
def records() -> Records:
    return Records(MemoryHost(), "bridge")


def test_what_was_written_is_read_with_the_attachment_s_words(records: Records) -> None:
    records.write(ONE, {"addresses": ["10.0.0.2/8"]})
    assert records.read(ONE) == {
        "network": "net",
        "containerID": "c1",
        "ifname": "eth0",
        "addresses": ["10.0.0.2/8"],
    }


def test_an_attachment_without_a_record_has_none(records: Records) -> None:
    assert records.read(ONE) is None
    assert not records.remove(ONE)
    assert list(records.all()) == []


def test_all_tells_every_attachment(records: Records) -> None:
    for each in (ONE, TWO):
        records.write(each, {})
    assert {attachment for attachment, _ in records.all()} == {ONE, TWO}


def test_a_removed_record_is_gone_and_others_stay(records: Records) -> None:
    for each in (ONE, TWO):
        records.write(each, {})
    assert records.remove(ONE)
    assert [attachment for attachment, _ in records.all()] == [TWO]


def test_records_of_two_plugins_do_not_meet() -> None:
    host = MemoryHost()
    Records(host, "bridge").write(ONE, {})
    assert Records(host, "portmap").read(ONE) is None


def path_of(host: MemoryHost, attachment: Attachment) -> str:
    return f"{host.state_dir}/records/bridge/{attachment.key}.json"


def edited(data: bytes | None, **changes: Any) -> bytes:
    return json.dumps({**json.loads(data or b""), **changes}).encode()


GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"7",
    b"null",
    b'{"network": 1}',
    b'{"network": "net"}',
    b'{"network": "\\ud800", "containerID": "c1", "ifname": "eth0"}',
    b"\xff",
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("torn", GARBAGE, ids=lambda value: repr(value[:40]))
def test_a_torn_or_foreign_file_counts_as_none(torn: bytes) -> None:
    host = MemoryHost()
    records = Records(host, "bridge")
    records.write(ONE, {})
    host.files.write(path_of(host, ONE), torn)
    assert (records.read(ONE), list(records.all())) == (None, [])


@pytest.mark.parametrize("name", ["README", f"{TWO.key}.json.17~", f"{TWO.key}.json.linkspan~"])
def test_a_file_that_is_no_attachment_s_is_not_told(name: str) -> None:
    host = MemoryHost()
    records = Records(host, "bridge")
    records.write(ONE, {})
    whole = host.files.read(path_of(host, ONE)) or b""
    host.files.write(f"{host.state_dir}/records/bridge/{name}", whole)
    assert [attachment for attachment, _ in records.all()] == [ONE]


def test_a_record_whose_checksum_is_wrong_counts_as_none() -> None:
    host = MemoryHost()
    records = Records(host, "bridge")
    records.write(ONE, {"addresses": ["10.0.0.2/8"]})
    host.files.write(path_of(host, ONE), edited(host.files.read(path_of(host, ONE)), addresses=[]))
    assert (records.read(ONE), list(records.all())) == (None, [])


def test_a_record_of_an_older_build_has_no_checksum_and_counts() -> None:
    host = MemoryHost()
    record = {"network": "net", "containerID": "c1", "ifname": "eth0", "mtu": 1400}
    host.files.write(path_of(host, ONE), json.dumps(record).encode())
    assert Records(host, "bridge").read(ONE) == record


def test_the_order_of_the_keys_is_not_part_of_the_checksum() -> None:
    host = MemoryHost()
    records = Records(host, "bridge")
    records.write(ONE, {"b": 1, "a": {"d": 2, "c": 3}})
    turned = json.dumps(json.loads(host.files.read(path_of(host, ONE)) or b""), sort_keys=True)
    host.files.write(path_of(host, ONE), turned.encode())
    assert records.read(ONE) is not None


def test_a_folder_in_a_record_s_place_counts_as_none_and_is_removed() -> None:
    host = MemoryHost()
    records = Records(host, "bridge")
    host.files.make_folder(path_of(host, ONE))
    assert (records.read(ONE), list(records.all())) == (None, [])
    assert records.remove(ONE)
    assert not host.files.exists(path_of(host, ONE))


def test_a_full_folder_in_a_record_s_place_stays_and_stops_nobody() -> None:
    host = MemoryHost()
    host.files.write(f"{path_of(host, ONE)}/theirs", b"")
    assert not Records(host, "bridge").remove(ONE)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_an_error_is_not_taken_for_absence(number: int) -> None:
    host = MemoryHost()
    records = Records(host, "bridge")
    records.write(ONE, {})
    host.refuse = {"files.read": number}
    with pytest.raises(IoFailure):
        records.read(ONE)
    with pytest.raises(IoFailure):
        list(records.all())


def test_records_are_for_root_alone() -> None:
    host = MemoryHost()
    Records(host, "bridge").write(ONE, {})
    assert host.files.mode(f"{host.state_dir}/records/bridge/{ONE.key}.json") == 0o600


def test_an_undone_step_puts_the_earlier_record_back() -> None:
    host = MemoryHost()
    records = Records(host, "bridge")
    records.write(ONE, {"bridge": "br0"})
    undo = WriteRecord("bridge", ONE, {"bridge": "br1"}).do(host)
    assert (records.read(ONE) or {})["bridge"] == "br1"
    undo()
    assert (records.read(ONE) or {})["bridge"] == "br0"


def test_an_undone_step_removes_a_record_that_was_not_there() -> None:
    host = MemoryHost()
    WriteRecord("bridge", ONE, {}).do(host)()
    assert Records(host, "bridge").read(ONE) is None
