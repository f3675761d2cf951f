"""Our nftables table on a host in memory: created once, found damaged, repaired."""

from __future__ import annotations

import pytest

from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.netfilter import nft_table as names
from linkspan.netfilter.nft_table import MARKER, RULES, SKELETON
from linkspan.netfilter.rules import Element, NftChange
from linkspan.steps import nft_table

ONE, TWO = Attachment("net", "c1", "eth0"), Attachment("net", "c2", "eth0")


@pytest.fixture
def host() -> MemoryHost:
    """A host with the skeleton in place."""
    made = MemoryHost()
    made.nftables.apply(NftChange(commands=SKELETON))
    return made


def test_a_host_without_our_table_lacks_the_whole() -> None:
    assert len(nft_table.missing_rules(MemoryHost())) == 1


def test_the_skeleton_once_made_lacks_nothing_and_needs_nothing(host: MemoryHost) -> None:
    assert (nft_table.missing_rules(host), nft_table.preparation(host)) == ([], ())


def test_making_it_twice_is_making_it_once(host: MemoryHost) -> None:
    before = host.state()
    host.nftables.apply(NftChange(commands=SKELETON))
    assert host.state() == before


@pytest.mark.parametrize("chain", [*RULES, MARKER])
def test_a_chain_that_is_flushed_is_found_and_mended(host: MemoryHost, chain: str) -> None:
    assert host.nftables.table is not None
    host.nftables.table.chains[chain].clear()
    found = nft_table.missing_rules(host)
    host.nftables.apply(NftChange(commands=nft_table.preparation(host)))
    assert (found != [], nft_table.missing_rules(host)) == (True, [])


def test_a_mended_skeleton_keeps_its_elements(host: MemoryHost) -> None:
    host.nftables.apply(NftChange(add=(Element(name="localnet", key=("br0",)),)))
    host.nftables.apply(NftChange(commands=SKELETON))
    assert [each.key for each in host.nftables.elements("localnet")] == [("br0",)]


def test_only_elements_of_the_attachment_are_removed(host: MemoryHost) -> None:
    mine = Element(name="shielded4", key=("10.1.0.2",), comment=names.comment(ONE))
    other = Element(name="shielded4", key=("10.1.0.3",), comment=names.comment(TWO))
    host.nftables.apply(NftChange(add=(mine, other)))
    nft_table.remove(host, (mine, other), ONE)
    assert host.nftables.elements("shielded4") == (other,)


def test_a_name_server_is_exempted_once() -> None:
    host = MemoryHost()
    for _ in range(2):
        nft_table.exempt_dns(host, ("10.5.0.1", "fd00:5::1"))
    assert [name for name, _ in host.requests].count("nftables.apply") == 1
    assert host.nftables.element("dns_servers6", ("fd00:5::1",)) is not None


def test_without_nftables_a_name_server_is_not_exempted_and_nobody_fails() -> None:
    host = MemoryHost()
    host.nftables.available = False
    nft_table.exempt_dns(host, ("10.5.0.1",))
    assert host.nftables.table is None
