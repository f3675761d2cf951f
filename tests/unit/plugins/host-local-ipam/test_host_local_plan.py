"""Which address goes to whom, decided from facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cni_host_local_ipam.config import Config, range_sets
from cni_host_local_ipam.facts import Facts, Pool
from cni_host_local_ipam.leases.contract import UNREADABLE, Owner
from cni_host_local_ipam.plan import next_free, plan_for
from cni_host_local_ipam.steps import ClaimAddresses, MoveCursor
from linkspan.cni.addresses import Ip, parse_ip
from linkspan.cni.errors import AlreadyAttached, PoolExhausted
from linkspan.cni.model import Dns, Request

REQUEST = Request(
    verb="ADD",
    plugin="host-local",
    cni_version="1.1.0",
    network="net",
    config={},
    container_id="c1",
    ifname="eth0",
)
SETS = range_sets([("$", [{"subnet": "10.5.0.0/29"}]), ("$", [{"subnet": "fd00:5::/126"}])])
CONFIG = Config(folder="/pool", sets=SETS)
EMPTY = Pool(owners={}, cursors=(None, None), released={})
FACTS = Facts(pool=EMPTY, present=(), dns=Dns())
OTHER = Owner("other", "eth0")


def ip(text: str) -> Ip:
    found = parse_ip(text)
    assert found is not None
    return found


def pool(**changes: object) -> Facts:
    return replace(FACTS, pool=replace(EMPTY, **changes))  # type: ignore[arg-type]


def chosen(facts: Facts, config: Config = CONFIG) -> list[str]:
    claim = plan_for(REQUEST, config, facts)[0]
    assert isinstance(claim, ClaimAddresses)
    return [str(each) for each in claim.addresses]


def test_a_plan_claims_an_address_of_each_set_and_moves_both_cursors() -> None:
    four, six = ip("10.5.0.2"), ip("fd00:5::2")
    assert plan_for(REQUEST, CONFIG, FACTS) == (
        ClaimAddresses("/pool", REQUEST.attachment, (four, six)),
        MoveCursor("/pool", 0, four),
        MoveCursor("/pool", 1, six),
    )


def test_a_requested_address_is_claimed_and_its_cursor_stays() -> None:
    plan = plan_for(REQUEST, replace(CONFIG, requested={0: ip("10.5.0.5")}), FACTS)
    assert plan == (
        ClaimAddresses("/pool", REQUEST.attachment, (ip("10.5.0.5"), ip("fd00:5::2"))),
        MoveCursor("/pool", 1, ip("fd00:5::2")),
    )


@pytest.mark.parametrize("owner", [OTHER, UNREADABLE], ids=["held", "unreadable"])
def test_an_address_with_a_holder_is_not_chosen(owner: Owner) -> None:
    assert chosen(pool(owners={"10.5.0.2": owner})) == ["10.5.0.3", "fd00:5::2"]


def test_an_address_whose_lease_does_not_live_is_chosen() -> None:
    assert chosen(pool(owners={"10.5.0.2": None})) == ["10.5.0.2", "fd00:5::2"]


def test_the_address_behind_the_cursor_is_next() -> None:
    assert chosen(pool(cursors=(ip("10.5.0.4"), ip("fd00:5::3")))) == ["10.5.0.5", "fd00:5::2"]


def test_a_released_address_waits_for_the_others() -> None:
    assert chosen(pool(released={"10.5.0.2": 0, "10.5.0.3": 1})) == ["10.5.0.4", "fd00:5::2"]


def test_of_released_addresses_the_first_is_chosen_when_nothing_else_is_free() -> None:
    held = {f"10.5.0.{number}": OTHER for number in (2, 3, 4)}
    assert chosen(pool(owners=held, released={"10.5.0.6": 0, "10.5.0.5": 1})) == ["10.5.0.6", "fd00:5::2"]


def test_a_set_without_a_free_address_has_no_next_one() -> None:
    held = dict.fromkeys(map(str, SETS[1].candidates(None)), OTHER)
    assert next_free(SETS[1], None, replace(EMPTY, owners=held)) is None
    with pytest.raises(PoolExhausted, match=r"no IP addresses available in range set: fd00:5::1-fd00:5::3"):
        plan_for(REQUEST, CONFIG, pool(owners=held))


@pytest.mark.parametrize(("owner", "told"), [(OTHER, "other"), (UNREADABLE, "unknown")])
def test_who_holds_a_requested_address_is_told(owner: Owner, told: str) -> None:
    wanted = replace(CONFIG, requested={0: ip("10.5.0.5")})
    with pytest.raises(PoolExhausted, match=r"requested IP address 10\.5\.0\.5 is not available") as caught:
        plan_for(REQUEST, wanted, pool(owners={"10.5.0.5": owner}))
    assert caught.value.details == f"container {told} holds it on network net"


def test_an_attachment_with_an_address_gets_no_second_one() -> None:
    with pytest.raises(AlreadyAttached, match="duplicate allocation is not allowed"):
        plan_for(REQUEST, CONFIG, replace(FACTS, present=(ip("10.5.0.2"),)))
