"""What is read of announcements: who changed which table, and whether bridges may be concerned."""

from __future__ import annotations

import struct

import pytest

from linkspan.host.linux.netlink.attributes import attribute, nest, text, u32
from linkspan.host.linux.netlink.client import HEADER, nfgenmsg
from linkspan.host.linux.netlink.events import Commit, Commits, concerns_bridges

INET, IP = 1, 2
NEWTABLE, DELTABLE, NEWCHAIN, NEWSETELEM, DELSETELEM, NEWGEN = 0, 2, 3, 12, 14, 15


def message(kind: int, payload: bytes) -> bytes:
    size = HEADER.size + len(payload)
    return HEADER.pack(size, kind, 0, 0, 0) + payload + bytes(-size % 4)


def rule(kind: int, table: str = "linkspan", family: int = INET) -> bytes:
    return message(10 << 8 | kind, nfgenmsg(family) + text(1, table))


def generation(pid: int, program: str) -> bytes:
    words = attribute(1, struct.pack("!I", 9)) + attribute(2, struct.pack("!I", pid)) + text(3, program)
    return message(10 << 8 | NEWGEN, nfgenmsg(0) + words)


def test_a_transaction_is_its_author_and_the_tables_that_may_have_lost_something() -> None:
    commits = Commits()
    assert list(commits.of(rule(DELSETELEM) + rule(DELTABLE, "filter", IP))) == []
    (commit,) = commits.of(generation(7, "nft"))
    assert commit == Commit(7, "nft", frozenset({"inet linkspan", "ip filter"}))
    assert list(commits.of(generation(8, "nft"))) == [Commit(8, "nft", frozenset())]


@pytest.mark.parametrize(
    ("kind", "family", "counts"),
    [(NEWTABLE, INET, False), (NEWSETELEM, INET, False), (NEWCHAIN, INET, False), (NEWCHAIN, IP, True)],
)
def test_what_is_added_takes_nothing_away_but_a_policy_may(kind: int, family: int, *, counts: bool) -> None:
    (commit,) = Commits().of(rule(kind, family=family) + generation(7, "nft"))
    assert bool(commit.tables) == counts


def test_messages_of_other_subsystems_are_passed_over() -> None:
    assert list(Commits().of(message(1 << 8 | NEWGEN, nfgenmsg(0)))) == []


def address(kind: int, scope: int) -> bytes:
    return message(kind, struct.pack("=BBBBI", 2, 24, 0, scope, 5))


def link(kind: int, what: str) -> bytes:
    info = nest(18, text(1, what)) if what else b""
    return message(kind, struct.pack("=BxHiII", 0, 1, 5, 0, 0) + info)


def forwarding(index: int, *attributes: bytes) -> bytes:
    return message(80, struct.pack("=B3x", 2) + u32(1, index) + b"".join(attributes))


@pytest.mark.parametrize(
    ("datagram", "concerns"),
    [
        (address(21, 0), True),
        (address(21, 253), False),  # a link-local one, as of every container that ends
        (address(20, 0), False),
        (link(17, "bridge"), True),
        (link(17, "veth"), False),
        (link(17, ""), False),
        (link(16, "bridge"), False),
        (forwarding(0xFFFFFFFF, u32(2, 0)), True),
        (forwarding(0xFFFFFFFF, u32(3, 0)), False),
        (forwarding(5, u32(2, 1)), False),  # of every new link
    ],
)
def test_only_addresses_bridges_and_forwarding_of_the_host_concern_bridges(
    datagram: bytes, concerns: bool
) -> None:
    assert concerns_bridges(datagram) == concerns
