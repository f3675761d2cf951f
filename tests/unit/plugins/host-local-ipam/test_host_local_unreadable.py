"""What stands in a lease's place and is not a lease: its address is taken, and everything else goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from linkspan.cni.errors import IoFailure
from tests.harness.leases import DUAL, FOLDER, SMALL, addresses, config, leases, left
from tests.harness.memory import Desk

ODD = f"{FOLDER}/10.5.0.3"
NOBODY: dict[str, Any] = {"cni.dev/valid-attachments": []}


def make_folder(desk: Desk, path: str) -> None:
    desk.host.files.make_folder(path)


def fail(desk: Desk, path: str, number: int = errno.EIO) -> None:
    """A file that is there and whose reading fails."""
    if not desk.host.files.exists(path):
        desk.host.files.write(path, b"whole")
    read = desk.host.files.read

    def refusing(asked: str) -> bytes | None:
        if asked == path:
            raise IoFailure(f"cannot read {path}", errno=number)
        return read(asked)

    desk.host.files.read = refusing  # type: ignore[assignment, method-assign]


ODDITIES = pytest.mark.parametrize("spoil", [make_folder, fail], ids=["a folder", "an I/O error"])
Spoil = Callable[[Desk, str], None]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@ODDITIES
def test_its_address_is_not_leased(desk: Desk, spoil: Spoil) -> None:
    spoil(desk, ODD)
    assert [addresses(desk, SMALL, cid=cid)[0] for cid in "abc"] == [
        "10.5.0.2/29",
        "10.5.0.4/29",
        "10.5.0.5/29",
    ]


@ODDITIES
def test_its_address_cannot_be_requested(desk: Desk, spoil: Spoil) -> None:
    spoil(desk, ODD)
    answer = desk.call("ADD", config(SMALL), args="IP=10.5.0.3")
    assert (answer.code, answer.document["details"]) == (102, "container unknown holds it on network net")


@ODDITIES
def test_another_s_lease_is_released_by_del(desk: Desk, spoil: Spoil) -> None:
    """Also where every lease has to be read, because another implementation made it."""
    desk.host.files.write(f"{FOLDER}/10.5.0.4", b"c1\r\neth0")
    spoil(desk, ODD)
    assert desk.call("DEL", config(SMALL)).status == 0
    assert "10.5.0.4" not in leases(desk)


@ODDITIES
def test_del_of_an_unknown_attachment_succeeds(desk: Desk, spoil: Spoil) -> None:
    spoil(desk, ODD)
    assert desk.call("DEL", config(SMALL), container_id="unknown").status == 0


@ODDITIES
def test_gc_releases_the_others_and_leaves_it(desk: Desk, spoil: Spoil) -> None:
    addresses(desk, SMALL)
    spoil(desk, ODD)
    assert desk.call("GC", config(SMALL, **NOBODY)).status == 0
    assert leases(desk) == ["10.5.0.3"]


@ODDITIES
def test_status_is_ready_while_other_addresses_are_free(desk: Desk, spoil: Spoil) -> None:
    spoil(desk, ODD)
    assert desk.call("STATUS", config(SMALL)).status == 0
    spoil(desk, f"{FOLDER}/10.5.0.2")
    assert desk.call("STATUS", config({"ranges": [[{"subnet": "10.5.0.0/30"}]]})).code == 50


@ODDITIES
@pytest.mark.parametrize("part", [".index/", "/10.5.0.2", "/last_reserved_ip.0", "/released/"])
def test_what_stands_in_place_of_our_own_files_stops_no_verb(desk: Desk, spoil: Spoil, part: str) -> None:
    addresses(desk, SMALL, cid="earlier")
    desk.call("DEL", config(SMALL), container_id="earlier")
    addresses(desk, SMALL)
    for path in [each for each in desk.host.files.contents if part in each]:
        if spoil is make_folder:
            desk.host.files.remove(path)
        spoil(desk, path)
    assert desk.call("CHECK", config(SMALL)).code in (0, 103)
    assert desk.call("ADD", config(SMALL), container_id="other").status == 0
    assert desk.call("DEL", config(SMALL), container_id="other").status == 0
    assert desk.call("GC", config(SMALL, **NOBODY)).status == 0


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_lack_of_descriptors_or_memory_is_not_taken_for_a_foreign_lease(desk: Desk, number: int) -> None:
    """DEL fails, and the next one releases the address."""
    addresses(desk, DUAL)
    desk.host.refuse = {"files.read": number}
    assert desk.call("DEL", config(DUAL)).code == 5
    desk.host.refuse = {}
    assert desk.call("DEL", config(DUAL)).status == 0
    assert left(desk) == []


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"7", b"[" * 100_000, b'{"a":' * 100_000], ids=lambda each: str(each[:8])
)
@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_garbage_in_our_own_files_never_ends_in_a_fault(desk: Desk, verb: str, garbage: bytes) -> None:
    addresses(desk, SMALL, cid="earlier")
    desk.call("DEL", config(SMALL), container_id="earlier")
    addresses(desk, SMALL)
    for path in desk.host.files.contents:
        if "/linkspan/" in path:
            desk.host.files.write(path, garbage)
    more = NOBODY if verb == "GC" else {}
    assert desk.call(verb, config(SMALL, **more), container_id="c1").code in (0, 105)


def test_a_resolv_conf_that_is_a_folder_is_not_readable(desk: Desk) -> None:
    desk.host.files.make_folder("/etc/resolv.conf")
    answer = desk.call("ADD", config({**SMALL, "resolvConf": "/etc/resolv.conf"}))
    assert (answer.code, answer.msg) == (7, "$.ipam.resolvConf: /etc/resolv.conf is not a readable file")
