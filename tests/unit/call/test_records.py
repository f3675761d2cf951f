"""Records: written whole, found by attachment, and never an obstacle when they are torn."""

from __future__ import annotations

import pytest

from linkspan.call.records import Records, WriteRecord
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


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b"7", b'{"network": 1}', b'{"network": "net"}', b"\xff"])
def test_a_torn_or_foreign_file_counts_as_none(torn: bytes) -> None:
    host = MemoryHost()
    records = Records(host, "bridge")
    records.write(ONE, {})
    host.files.write(f"{host.state_dir}/records/bridge/{ONE.key}.json", torn)
    assert (records.read(ONE), list(records.all())) == (None, [])


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
