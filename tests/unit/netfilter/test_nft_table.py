"""The skeleton of our nftables table: made once, found damaged, mended, and whose element is whose."""

from __future__ import annotations

import pytest

from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.netfilter import nft_table
from linkspan.netfilter.nft_table import DECLARED, MARKER, RULES, SKELETON
from linkspan.netfilter.rules import Element, NftChange

ONE, TWO = Attachment("net", "c1", "eth0"), Attachment("net", "c2", "eth0")


@pytest.fixture
def host() -> MemoryHost:
    """A host with the skeleton in place."""
    made = MemoryHost()
    made.nftables.apply(NftChange(commands=SKELETON))
    return made


def test_a_host_without_our_table_lacks_the_whole() -> None:
    assert len(nft_table.damage(MemoryHost())) == 1


def test_the_skeleton_once_made_lacks_nothing_and_needs_nothing(host: MemoryHost) -> None:
    assert (nft_table.damage(host), nft_table.preparation(host)) == ([], ())


def test_making_it_twice_is_making_it_once(host: MemoryHost) -> None:
    before = host.state()
    host.nftables.apply(NftChange(commands=SKELETON))
    assert host.state() == before


@pytest.mark.parametrize("chain", [*RULES, MARKER])
def test_a_chain_that_is_flushed_is_found_and_mended(host: MemoryHost, chain: str) -> None:
    assert host.nftables.table is not None
    host.nftables.table.chains[chain].clear()
    found = nft_table.damage(host)
    host.nftables.apply(NftChange(commands=nft_table.preparation(host)))
    assert (found != [], nft_table.damage(host)) == (True, [])


def test_a_mended_skeleton_keeps_its_elements(host: MemoryHost) -> None:
    host.nftables.apply(NftChange(add=(Element(name="localnet", key=("br0",)),)))
    host.nftables.apply(NftChange(commands=SKELETON))
    assert [each.key for each in host.nftables.elements("localnet")] == [("br0",)]


def test_every_rule_looks_up_only_what_is_declared() -> None:
    declared = {name for _, name, _ in DECLARED}
    used = {word[1:] for rules in RULES.values() for rule in rules for word in rule.split() if word[0] == "@"}
    assert used <= declared


def test_a_comment_tells_whose_an_element_is_however_long_its_words_are() -> None:
    long = Attachment("n" * 200, "c" * 200, "eth0")
    element = Element(name="ports4", key=("tcp", "80"), comment=nft_table.comment(long))
    assert len(element.comment) <= 128
    assert nft_table.owned(element, long)
    assert not nft_table.owned(element, ONE)
    assert not nft_table.owned(None, ONE)


def test_two_attachments_comments_differ() -> None:
    assert nft_table.comment(ONE) != nft_table.comment(TWO)


@pytest.mark.parametrize(
    ("subnet", "name"), [("10.1.0.0/24", "masq_10_1_0_0_24"), ("fd00:5::/64", "masq_fd00_5___64")]
)
def test_a_subnet_s_chain_has_a_name_that_nft_takes(subnet: str, name: str) -> None:
    assert nft_table.subnet_chain("masq", subnet) == name
