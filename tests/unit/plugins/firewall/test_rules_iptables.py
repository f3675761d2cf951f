"""The packet rules of an admission: the reference's to the letter, and what goes beyond them."""

from __future__ import annotations

from typing import Any

import pytest

from cni_firewall import rules_iptables
from cni_firewall.facts import Admission
from linkspan.cni.addresses import Family
from linkspan.host.memory.netfilter import MemoryIptables
from linkspan.netfilter.iptables_check import absent
from tests.harness.firewall import OPEN, fenced

SHARED = '-m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)"'
OWN = '-m comment --comment "CNI firewall plugin rules (ingressPolicy: {})"'
PUBLISHED = (
    '-m conntrack --ctstate DNAT -m comment --comment "CNI firewall plugin rules (published ports)" -j RETURN'
)


def made(*admissions: Admission, family: Family = 4) -> dict[str, tuple[str, ...]]:
    """The chains of the filter table after these admissions."""
    fake = MemoryIptables()
    for admission in admissions:
        fake.apply(family, "filter", rules_iptables.change(admission, family))
    return dict(fake.rules(family, "filter"))


@pytest.mark.parametrize(
    ("family", "address"), [(4, "10.1.0.2/32"), (6, "fd00:1::2/128")], ids=["IPv4", "IPv6"]
)
def test_address_gets_the_reference_s_rules_and_one_for_published_ports(family: Family, address: str) -> None:
    assert made(OPEN, family=family)["CNI-FORWARD"] == (
        '-m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN',
        f"-d {address} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-s {address} -j ACCEPT",
        f"-d {address} -m conntrack --ctstate DNAT -j ACCEPT",
    )


def test_forward_jumps_with_the_reference_s_comment() -> None:
    assert made(OPEN)["FORWARD"] == ('-m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD',)


def test_fence_stands_before_what_accepts() -> None:
    targets = [rule.split()[-1] for rule in made(fenced("same-bridge"))["FORWARD"]]
    assert targets == ["CNI-ISOLATION-STAGE-1", "CNI-FORWARD"]


def test_same_bridge_has_the_reference_s_rules_behind_the_one_for_published_ports() -> None:
    chains = made(fenced("same-bridge"))
    assert chains["CNI-ISOLATION-STAGE-1"] == (
        PUBLISHED,
        f"-i br1 ! -o br1 {OWN.format('same-bridge')} -j CNI-ISOLATION-STAGE-2",
        f"{SHARED} -j RETURN",
    )
    assert chains["CNI-ISOLATION-STAGE-2"] == (f"-o br1 {SHARED} -j DROP", f"{SHARED} -j RETURN")


def test_isolated_drops_within_its_bridge_too() -> None:
    own = OWN.format("isolated")
    assert made(fenced("isolated"))["CNI-ISOLATION-STAGE-1"] == (
        PUBLISHED,
        f"-i br1 -o br1 {own} -j DROP",
        f"-i br1 ! -o br1 {own} -j CNI-ISOLATION-STAGE-2",
        f"{SHARED} -j RETURN",
    )


def test_published_ports_stay_ahead_of_a_bridge_that_comes_later() -> None:
    chains = made(fenced("same-bridge"), fenced("isolated", "br2"))
    assert chains["CNI-ISOLATION-STAGE-1"][0] == PUBLISHED
    assert chains["CNI-ISOLATION-STAGE-1"].count(PUBLISHED) == 1


def test_bridge_that_is_no_longer_isolated_loses_the_drop() -> None:
    assert made(fenced("isolated"), fenced("same-bridge")) == made(fenced("same-bridge"))


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_repeating_changes_nothing(policy: Any) -> None:
    once = fenced(policy) if policy != "open" else OPEN
    assert made(once, once) == made(once)


def test_removal_takes_an_address_s_rules_and_no_others() -> None:
    fake = MemoryIptables()
    other = Admission(backend="iptables", addresses=("10.1.0.22",))
    fake.apply(4, "filter", rules_iptables.change(other, 4))
    before = fake.rules(4, "filter")
    fake.apply(4, "filter", rules_iptables.change(OPEN, 4))
    fake.apply(4, "filter", rules_iptables.removal(("10.1.0.2",)))
    assert fake.rules(4, "filter") == before


def test_check_sees_the_fence_below_what_accepts() -> None:
    chains = made(fenced("same-bridge"))
    upside_down = {**chains, "FORWARD": tuple(reversed(chains["FORWARD"]))}
    change = rules_iptables.change(fenced("same-bridge"), 4)
    assert absent(chains, change) == []
    assert absent(upside_down, change) == [
        f"the iptables chain FORWARD has this rule in the wrong position: {SHARED} -j CNI-ISOLATION-STAGE-1"
    ]


@pytest.mark.parametrize("policy", ["same-bridge", "isolated"])
def test_what_isolates_a_bridge_can_be_removed_and_another_s_stays(policy: str) -> None:
    fake = MemoryIptables()
    fake.apply(4, "filter", rules_iptables.change(fenced("same-bridge", "br2"), 4))
    before = dict(fake.rules(4, "filter"))
    fake.apply(4, "filter", rules_iptables.change(fenced(policy), 4))
    fake.apply(4, "filter", rules_iptables.isolation_removal("br1"))
    after = dict(fake.rules(4, "filter"))
    assert after == before
