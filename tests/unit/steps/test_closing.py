"""Closing an isolated network's link and opening it again, in both backends on a host in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linkspan.cni.errors import ToolMissing
from linkspan.host.memory import MemoryHost
from linkspan.netfilter import closing
from linkspan.paths import OWN_NETNS
from linkspan.steps.closing import Close, reopen

BOX = "/run/netns/box"


@pytest.fixture(params=["nftables", "iptables"])
def host(request: pytest.FixtureRequest) -> MemoryHost:
    """A host with two bridges and a container; without libnftables for iptables' part."""
    made = MemoryHost()
    made.nftables.available = request.param == "nftables"
    made.add_netns(BOX)
    for name in ("br0", "br1"):
        made.namespace(OWN_NETNS).create_bridge(name)
        made.namespace(OWN_NETNS).change(name, up=True)
    return made


def join(host: MemoryHost, port: str = "veth0", bridge: str = "br0", *, up: bool = True) -> None:
    """A port of the bridge, whose other end is up or not."""
    links = host.namespace(OWN_NETNS)
    links.create_veth(port, mac="02:00:00:00:00:01", peer=f"p{port}", peer_mac="", peer_netns=BOX)
    host.namespace(BOX).change(f"p{port}", up=up)
    links.change(port, master=bridge, up=True)


def is_closed(host: MemoryHost, link: str = "br0") -> bool:
    return Close(link, "br0").missing(host) == []


def test_a_closed_link_has_all_rules_and_another_has_none(host: MemoryHost) -> None:
    Close("br0", "br0").do(host)
    assert is_closed(host)
    assert not is_closed(host, "br1")
    assert all("br0 is not closed" not in each for each in Close("br0", "br0").missing(host))
    assert "the network of br1 is not closed to others: " in Close("br1", "br1").missing(host)[0]


def test_closing_twice_changes_nothing(host: MemoryHost) -> None:
    Close("br0", "br0").do(host)
    once = host.state()
    Close("br0", "br0").do(host)
    assert host.state() == once


def test_a_link_that_is_closed_is_only_looked_at() -> None:
    host = MemoryHost()
    Close("br0", "br0").do(host)
    host.requests.clear()
    Close("br0", "br0").do(host)
    assert "nftables.apply" not in {name for name, _ in host.requests}


@pytest.mark.parametrize("chain", closing.CHAINS)
def test_closing_again_repairs_a_chain_that_was_flushed(chain: str) -> None:
    host = MemoryHost()
    Close("br0", "br0").do(host)
    assert host.nftables.table is not None
    host.nftables.table.chains[chain] = []
    assert not is_closed(host)
    Close("br0", "br0").do(host)
    assert is_closed(host)


def test_a_flush_is_found_and_closing_again_repairs_it(host: MemoryHost) -> None:
    Close("br0", "br0").do(host)
    host.nftables.table = None
    host.iptables.tables.clear()
    assert not is_closed(host)
    Close("br0", "br0").do(host)
    assert is_closed(host)


def test_without_any_backend_a_network_cannot_be_isolated() -> None:
    host = MemoryHost()
    host.nftables.available = False
    host.iptables.families = ()
    with pytest.raises(ToolMissing, match="isolated"):
        Close("br0", "br0").do(host)


# --- opening --------------------------------------------------------------------------------------


def test_the_last_port_opens_the_link_and_another_stays_closed(host: MemoryHost) -> None:
    Close("br1", "br1").do(host)
    before = host.state()
    Close("br0", "br0").do(host)
    reopen(host, "br0", "br0")
    assert host.state() == before


@pytest.mark.parametrize("up", [True, False])
def test_a_link_stays_closed_while_its_bridge_has_a_port_up_or_down(host: MemoryHost, *, up: bool) -> None:
    join(host, up=up)
    Close("br0.7", "br0").do(host)
    reopen(host, "br0", "br0.7")
    assert is_closed(host, "br0.7")


def test_the_link_of_a_bridge_that_is_gone_is_opened(host: MemoryHost) -> None:
    Close("br0", "br0").do(host)
    host.links().delete("br0")
    reopen(host, "br0", "br0")
    assert not is_closed(host)


def test_while_a_port_is_up_opening_is_one_request(host: MemoryHost) -> None:
    join(host)
    host.requests.clear()
    reopen(host, "br0", "br0")
    assert [name for name, _ in host.requests] == ["links.get"]


def test_a_port_that_joins_while_the_link_is_opened_finds_it_closed(
    host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    Close("br0", "br0").do(host)
    before = host.state()

    def joining_first(*arguments: object) -> None:
        join(host)
        removal(*arguments)

    where, name = ("nft_table", "remove") if host.nftables.available else ("iptables", "remove")
    module = getattr(__import__("linkspan.steps", fromlist=[where]), where)
    removal: Callable[..., None] = getattr(module, name)
    monkeypatch.setattr(module, name, joining_first)
    reopen(host, "br0", "br0")
    assert is_closed(host)
    assert before <= host.state()


def test_an_undone_add_opens_what_only_its_own_port_needs(host: MemoryHost) -> None:
    before = {each for each in host.state() if "closed" in each or "DROP" in each}
    join(host)
    Close("br0", "br0", "veth0").do(host)()
    assert {each for each in host.state() if "br0" in each and ("closed" in each or "DROP" in each)} == before


def test_an_undone_add_leaves_a_link_closed_that_others_need(host: MemoryHost) -> None:
    join(host, "veth1")
    join(host)
    Close("br0", "br0", "veth0").do(host)()
    assert is_closed(host)
