"""Ours beside the distribution's firewalld, which rejects what its zones do not hold and forgets iptables' rules on every reload."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.coexistence.guests import Guests, settle, taken
from tests.harness import ours, tools
from tests.harness.firewalld import Firewalld
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

SUBNET = "10.89.0.0/24"


@pytest.fixture
def firewalld(host: PrivateHost) -> Iterator[Firewalld]:
    """firewalld, started before any container."""
    with Firewalld(host, tools.require(tools.firewalld)) as running:
        yield running


def test_everything_works_beside_firewalld_and_nothing_is_left_or_touched(
    host: PrivateHost, firewalld: Firewalld, backend: str
) -> None:
    theirs = host.snapshot()
    settle(host, backend)
    before = host.snapshot(ignore=ours.STAYS)
    with Guests(host, backend) as guests:
        assert guests.lacking() == []
        assert guests.complaints() == []
    after = host.snapshot(ignore=ours.STAYS)
    assert after.diff(before) == []
    assert taken(after, theirs) == []
    assert firewalld.command("--zone=trusted", "--list-sources") == ""


def test_a_reload_of_firewalld_is_told_by_check_and_mended_by_ours(
    host: PrivateHost, firewalld: Firewalld, backend: str
) -> None:
    with Guests(host, backend) as guests:
        firewalld.reload()
        assert any(
            "10.89.0.2/32 is not in the zone trusted of firewalld" in each for each in guests.complaints()
        )
        ours.linkspan(host, "reload")
        assert guests.complaints() == []
        assert guests.lacking() == []


def test_a_firewalld_started_last_is_told_by_check_and_mended_by_reload(
    host: PrivateHost, backend: str
) -> None:
    root = tools.require(tools.firewalld)
    with Guests(host, backend) as guests, Firewalld(host, root) as firewalld:
        assert any(
            "10.89.0.2/32 is not in the zone trusted of firewalld" in each for each in guests.complaints()
        )
        ours.linkspan(host, "reload")
        assert guests.complaints() == []
        assert guests.lacking() == []
        guests.close()
        assert firewalld.command("--zone=trusted", "--list-sources") == ""


def test_a_list_without_firewall_lives_by_its_subnet_in_a_zone(
    host: PrivateHost, firewalld: Firewalld
) -> None:
    """What the page of firewall says, and that it outlives a reload."""
    firewalld.command("--permanent", "--zone=trusted", f"--add-source={SUBNET}")
    firewalld.reload()
    with Guests(host, "nftables", firewall=False) as guests:
        assert guests.lacking() == []
        firewalld.reload()
        assert guests.lacking() == []
