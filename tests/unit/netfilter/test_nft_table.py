"""The skeleton of our nftables table, and the comments that say which attachment an element belongs to."""

from __future__ import annotations

import pytest

from linkspan.cni.model import Attachment
from linkspan.netfilter import nft_table
from linkspan.netfilter.nft_table import DECLARED, RULES
from linkspan.netfilter.rules import Element

ONE, TWO = Attachment("net", "c1", "eth0"), Attachment("net", "c2", "eth0")


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
