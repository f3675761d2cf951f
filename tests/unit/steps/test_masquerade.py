"""Masquerading, in both backends on a host in memory."""

from __future__ import annotations

import pytest

from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.netfilter.backend import Backend
from linkspan.netfilter.masquerade import chain_name
from linkspan.steps import masquerade
from linkspan.steps.masquerade import Masquerade

ONE, TWO = Attachment("net", "c1", "eth0"), Attachment("net", "c2", "eth0")
ADDRESSES = ("10.5.0.2/24", "fd00:5::2/64")
OTHERS = ("10.5.0.3/24", "fd00:5::3/64")


@pytest.fixture(params=["iptables", "nftables"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return "iptables" if request.param == "iptables" else "nftables"


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost()


def own(host: MemoryHost, attachment: Attachment) -> list[str]:
    words = (chain_name(attachment), attachment.key[:16])
    return sorted(line for line in host.state() if any(word in line for word in words))


def test_the_reference_s_rules_are_made_to_the_letter(host: MemoryHost) -> None:
    """ip_masq of the reference: what nerdctl and people read."""
    Masquerade(ONE, ADDRESSES, "iptables").do(host)
    chain = "CNI-" + "623e1c388032b20529218ecc"
    comment = '-m comment --comment "name: \\"net\\" id: \\"c1\\""'
    assert chain_name(ONE) == chain
    assert host.iptables.rules(4, "nat")[chain] == (
        f"-d 10.5.0.0/24 {comment} -j ACCEPT",
        f"! -d 224.0.0.0/4 {comment} -j MASQUERADE",
    )
    assert host.iptables.rules(4, "nat")["POSTROUTING"] == (f"-s 10.5.0.2/32 {comment} -j {chain}",)
    assert host.iptables.rules(6, "nat")["POSTROUTING"] == (f"-s fd00:5::2/128 {comment} -j {chain}",)


def test_two_interfaces_of_one_container_have_two_chains() -> None:
    assert chain_name(ONE) != chain_name(Attachment("net", "c1", "eth1"))


def test_what_was_applied_is_not_missing(host: MemoryHost, backend: Backend) -> None:
    Masquerade(ONE, ADDRESSES, backend).do(host)
    assert Masquerade(ONE, ADDRESSES, backend).missing(host) == []


def test_what_was_never_applied_is_missing(host: MemoryHost, backend: Backend) -> None:
    assert Masquerade(ONE, ADDRESSES, backend).missing(host) != []


def test_applying_twice_is_applying_once(host: MemoryHost, backend: Backend) -> None:
    Masquerade(ONE, ADDRESSES, backend).do(host)
    once = host.state()
    Masquerade(ONE, ADDRESSES, backend).do(host)
    assert host.state() == once


@pytest.mark.parametrize("told", [True, False], ids=["by addresses", "by name alone"])
def test_removing_takes_its_own_and_leaves_the_neighbour_s(
    host: MemoryHost, backend: Backend, told: bool
) -> None:
    Masquerade(TWO, OTHERS, backend).do(host)
    Masquerade(ONE, ADDRESSES, backend).do(host)
    masquerade.remove(host, ONE, ADDRESSES if told else None)
    assert own(host, ONE) == []
    assert Masquerade(TWO, OTHERS, backend).missing(host) == []


def test_removing_what_is_not_there_is_fine(host: MemoryHost) -> None:
    before = host.state()
    masquerade.remove(host, ONE, ADDRESSES)
    masquerade.remove(host, ONE)
    assert host.state() == before


def test_an_address_that_has_passed_to_another_is_not_taken_from_him(host: MemoryHost) -> None:
    Masquerade(TWO, ADDRESSES, "nftables").do(host)
    masquerade.remove(host, ONE, ADDRESSES)
    assert Masquerade(TWO, ADDRESSES, "nftables").missing(host) == []


def test_a_step_that_is_undone_leaves_nothing_of_its_own(host: MemoryHost, backend: Backend) -> None:
    Masquerade(ONE, ADDRESSES, backend).do(host)()
    assert own(host, ONE) == []
