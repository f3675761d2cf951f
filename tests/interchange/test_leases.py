"""One pool of addresses, two implementations of host-local: in turn, at once, and over a boot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness import ours
from tests.harness.chain import Chain, ChainError
from tests.harness.privatehost import PrivateHost
from tests.interchange.mixes import LEASES, addresses, container, leased, pool

pytestmark = [pytest.mark.root, pytest.mark.runtime]

BOTH_WAYS = pytest.mark.parametrize(("first", "second"), [("ours", "theirs"), ("theirs", "ours")])
ROOM = ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]
"""What 10.1.0.0/29 has to give."""


@pytest.fixture(autouse=True)
def emptied(host: PrivateHost) -> Iterator[None]:
    """Every test begins with a pool that nobody used."""
    yield
    host.run(["sh", "-c", f"rm -rf {LEASES}/pool /var/lib/linkspan/leases* /run/linkspan/*/released"])


def at_once(count: int, act: Callable[[int], str]) -> list[str]:
    """What `act` gives for 0, 1, 2 and so on, all running together."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(act, range(count)))


def given(chain: Chain, name: str) -> str:
    """The one address of a new container, or "" where there is none for it."""
    try:
        (address,) = addresses(chain.add(container(name)))
    except ChainError:
        return ""
    return address


def freed(chain: Chain, name: str) -> str:
    chain.delete(container(name), forget=True)
    return name


@BOTH_WAYS
def test_no_address_that_the_other_gave_is_given_again(
    host: PrivateHost, sides: dict[str, list[str]], first: str, second: str
) -> None:
    before, after = (pool(host, sides[one], "10.1.0.0/29") for one in (first, second))
    gave = [given(before, name) for name in ("a", "b", "c")]
    gave += [given(after, name) for name in ("d", "e", "f")]
    assert gave == [*ROOM, ""]


@BOTH_WAYS
def test_what_one_gave_the_other_takes_back(
    host: PrivateHost, sides: dict[str, list[str]], first: str, second: str
) -> None:
    before, after = (pool(host, sides[one], "10.1.0.0/29", "fd00:1::/125") for one in (first, second))
    for name in ("a", "b", "c"):
        before.add(container(name))
    for name in ("a", "b", "c"):
        freed(after, name)
    assert leased(host) == []


@BOTH_WAYS
def test_what_one_gave_the_other_confirms(
    host: PrivateHost, sides: dict[str, list[str]], first: str, second: str
) -> None:
    result = pool(host, sides[first], "10.1.0.0/29").add(container("a"))
    pool(host, sides[second], "10.1.0.0/29").check(container("a"), result)


@BOTH_WAYS
def test_who_has_an_address_of_the_other_gets_no_second_one(
    host: PrivateHost, sides: dict[str, list[str]], first: str, second: str
) -> None:
    given(pool(host, sides[first], "10.1.0.0/29"), "a")
    with pytest.raises(ChainError, match="duplicate allocation"):
        pool(host, sides[second], "10.1.0.0/29").add(container("a"))
    assert leased(host) == ["10.1.0.2"]


@BOTH_WAYS
def test_the_other_goes_on_behind_the_last_address(
    host: PrivateHost, sides: dict[str, list[str]], first: str, second: str
) -> None:
    """A freed address comes last, whoever freed it."""
    before, after = (pool(host, sides[one], "10.1.0.0/29") for one in (first, second))
    given(before, "a")
    freed(before, "a")
    assert given(after, "b") == "10.1.0.3"


def test_an_upgrade_and_the_way_back_keep_every_living_address(
    host: PrivateHost, sides: dict[str, list[str]]
) -> None:
    """Containers of before the upgrade stop under ours, containers of ours stop after the way back."""
    theirs, mine = pool(host, sides["theirs"], "10.1.0.0/29"), pool(host, sides["ours"], "10.1.0.0/29")
    gave = {name: given(theirs, name) for name in ("old1", "old2")}
    gave |= {name: given(mine, name) for name in ("new1", "new2")}
    freed(mine, "old1")
    gave["back1"] = given(theirs, "back1")
    assert len(set(gave.values())) == 5
    freed(theirs, "new1")
    assert leased(host) == sorted(gave[name] for name in ("old2", "new2", "back1"))
    for name in ("old2", "new2", "back1"):
        freed(theirs, name)
    assert leased(host) == []


def restarted_by_the_reference(host: PrivateHost, sides: dict[str, list[str]]) -> Chain:
    """The container `a` began under ours, stopped under the reference and began there again; ours comes
    back.
    """
    theirs, mine = pool(host, sides["theirs"], "10.1.0.0/29"), pool(host, sides["ours"], "10.1.0.0/29")
    given(mine, "a")
    freed(theirs, "a")
    given(theirs, "a")
    return mine


def test_a_container_that_the_reference_restarted_gives_its_new_address_back(
    host: PrivateHost, sides: dict[str, list[str]]
) -> None:
    freed(restarted_by_the_reference(host, sides), "a")
    assert leased(host) == []


def test_a_container_that_the_reference_restarted_gets_no_second_address(
    host: PrivateHost, sides: dict[str, list[str]]
) -> None:
    with pytest.raises(ChainError, match="duplicate allocation"):
        restarted_by_the_reference(host, sides).add(container("a"))
    assert leased(host) == ["10.1.0.3"]


def test_gc_of_ours_frees_the_dead_of_both_and_none_of_the_living(
    host: PrivateHost, sides: dict[str, list[str]]
) -> None:
    theirs, mine = pool(host, sides["theirs"], "10.1.0.0/29"), pool(host, sides["ours"], "10.1.0.0/29")
    living = [given(theirs, "a"), given(mine, "b")]
    given(theirs, "c")
    given(mine, "d")
    mine.gc([container("a"), container("b")])
    assert leased(host) == living


def test_sixty_at_once_half_of_them_the_references_get_sixty_addresses_and_empty_the_pool(
    host: PrivateHost, sides: dict[str, list[str]]
) -> None:
    """Each is deleted by another than added it; every third of ours works without the resident."""
    theirs, mine = (pool(host, sides[one], "10.1.0.0/24") for one in ("theirs", "ours"))
    alone = pool(host, sides["ours"], "10.1.0.0/24", env=ours.STANDALONE)
    chains = [theirs, mine, theirs, mine, theirs, alone]
    gave = at_once(60, lambda n: given(chains[n % 6], f"c{n}"))
    assert "" not in gave
    assert len(set(gave)) == 60
    assert leased(host) == sorted(gave)
    at_once(60, lambda n: freed(chains[(n + 1) % 6], f"c{n}"))
    assert leased(host) == []


def test_two_hundred_at_once_get_two_hundred_addresses(
    host: PrivateHost, sides: dict[str, list[str]]
) -> None:
    chain = pool(host, sides["ours"], "10.1.0.0/24")
    gave = at_once(200, lambda n: given(chain, f"c{n}"))
    assert "" not in gave
    assert len(set(gave)) == 200
    at_once(200, lambda n: freed(chain, f"c{n}"))
    assert leased(host) == []


@pytest.mark.parametrize("players", [("ours",), ("ours", "theirs")], ids="+".join)
def test_twenty_at_once_for_one_attachment_have_one_winner(
    host: PrivateHost, sides: dict[str, list[str]], players: Sequence[str]
) -> None:
    chains = [pool(host, sides[player], "10.1.0.0/24") for player in players]
    gave = at_once(20, lambda n: given(chains[n % len(chains)], "one"))
    assert Counter(map(bool, gave)) == {True: 1, False: 19}
    assert leased(host) == list(filter(None, gave))


@pytest.fixture
def alone(host: PrivateHost, sides: dict[str, list[str]]) -> Chain:
    """Ours without the resident, which does not live through a boot, and a pool with room for one."""
    return pool(host, sides["ours"], "10.1.0.0/30", env=ours.STANDALONE)


def test_addresses_of_an_earlier_boot_are_free(host: PrivateHost, alone: Chain) -> None:
    given(alone, "before")
    assert given(alone, "too many") == ""
    with host.another_boot():
        assert given(alone, "after") == "10.1.0.2"
        assert given(alone, "too many") == ""


def test_a_late_del_of_an_earlier_boot_leaves_the_address_to_its_new_holder(
    host: PrivateHost, alone: Chain
) -> None:
    """A runtime that comes up cleans what it remembers, after others have begun."""
    given(alone, "before")
    with host.another_boot():
        given(alone, "after")
        freed(alone, "before")
        assert host.read(f"{LEASES}/pool/10.1.0.2").split() == ["after", "eth0"]
        freed(alone, "after")
        assert leased(host) == []


def test_a_late_del_of_an_earlier_boot_frees_an_address_that_nobody_took(
    host: PrivateHost, alone: Chain
) -> None:
    given(alone, "before")
    with host.another_boot():
        freed(alone, "before")
        assert leased(host) == []


def test_an_address_that_ours_gave_again_after_a_boot_is_a_whole_lease_for_the_reference(
    host: PrivateHost, sides: dict[str, list[str]], alone: Chain
) -> None:
    theirs = pool(host, sides["theirs"], "10.1.0.0/30")
    given(alone, "before")
    with host.another_boot():
        given(alone, "after")
        assert given(theirs, "other") == ""
        freed(theirs, "after")
        assert given(theirs, "other") == "10.1.0.2"
        assert given(alone, "more") == ""
