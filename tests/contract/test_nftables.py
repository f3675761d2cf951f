"""Nftables in memory and on the kernel keep the same promises."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from linkspan.cni.errors import KernelRefused, ToolMissing
from linkspan.host.contract import Nftables
from linkspan.host.linux import nftables as binding
from linkspan.host.linux.netlink.netfilter import NfTables
from linkspan.host.linux.nftables import Context, LinuxNftables
from linkspan.host.memory.nftables import MemoryNftables
from linkspan.netfilter.rules import Element, NftChange
from tests.contract.test_iptables import in_processes
from tests.harness.privatehost import PrivateHost

#: A table and chain of another program.
FOREIGN = ("ip others", "theirs")
BASE = (
    "add table inet linkspan",
    "add map inet linkspan ports { type inet_proto . inet_service . ipv4_addr : ipv4_addr . inet_service ; }",
    "add map inet linkspan ports6 "
    "{ type inet_proto . inet_service . ipv6_addr : ipv6_addr . inet_service ; }",
    "add map inet linkspan verdicts { type ifname : verdict ; }",
    "add set inet linkspan members { type ipv4_addr . ifname ; }",
    "add set inet linkspan ranges { type ipv4_addr ; flags interval ; }",
    "add set inet linkspan marks { type mark ; }",
    "add chain inet linkspan drops",
    "add chain inet linkspan front { type nat hook prerouting priority dstnat + 1 ; policy accept ; }",
    "flush chain inet linkspan front",
    'add rule inet linkspan front iifname "br0" tcp dport { 80, 81 } counter comment "net a: web"',
    "add rule inet linkspan front ip saddr 10.0.0.1 jump drops",
)
WEB = Element(name="ports", key=("tcp", "80", "10.0.0.1"), value="10.5.0.2 . 8080", comment="net=a ctr=b")
EVERY = (
    WEB,
    Element(name="ports", key=("sctp", "81", "0.0.0.0"), value="10.5.0.2 . 8080"),
    Element(name="ports6", key=("udp", "80", "fd00::1"), value="fd00:5::2 . 8080", comment="six"),
    Element(name="verdicts", key=('"br-x.1"',), value="jump drops", comment="a verdict"),
    Element(name="members", key=("10.0.0.1", '"br0"'), comment="a member"),
    Element(name="ranges", key=("10.0.0.0/24",)),
    Element(name="ranges", key=("10.1.0.0-10.1.0.9",)),
    Element(name="marks", key=("0x00002000",), comment="a mark"),
)


@pytest.fixture(params=["memory", pytest.param("linux", marks=pytest.mark.root)])
def nftables(request: pytest.FixtureRequest) -> Iterator[Nftables]:
    if request.param == "memory":
        yield MemoryNftables()
        return
    with (
        request.getfixturevalue("host").entered(),
        closing(NfTables()) as nf_tables,
        closing(LinuxNftables(nf_tables)) as real,
    ):
        yield real


@pytest.fixture
def table(nftables: Nftables) -> Nftables:
    """Nftables with our table in place."""
    nftables.apply(NftChange(commands=BASE))
    return nftables


def test_it_is_usable(nftables: Nftables) -> None:
    assert nftables.usable()


def test_without_a_table_there_is_nothing(nftables: Nftables) -> None:
    assert nftables.element("ports", WEB.key) is None
    assert nftables.elements("ports") == ()
    assert nftables.chain("front") is None


def test_without_a_table_there_are_no_rules_to_count(nftables: Nftables) -> None:
    assert nftables.count("front") == 0


def test_removing_without_a_table_is_fine(nftables: Nftables) -> None:
    nftables.apply(NftChange(remove=(("ports", WEB.key),)))
    assert nftables.elements("ports") == ()


def test_adding_without_a_table_is_refused(nftables: Nftables) -> None:
    with pytest.raises(KernelRefused) as caught:
        nftables.apply(NftChange(add=(WEB,)))
    assert caught.value.errno == 2


@pytest.mark.parametrize("element", EVERY, ids=lambda element: f"{element.name}-{element.key[-1]}")
def test_an_element_is_found_as_it_was_added(table: Nftables, element: Element) -> None:
    table.apply(NftChange(add=(element,)))
    assert table.element(element.name, element.key) == element
    assert table.elements(element.name) == (element,)


def test_all_kinds_are_added_and_removed_in_one_change(table: Nftables) -> None:
    table.apply(NftChange(add=EVERY))
    assert all(table.element(each.name, each.key) == each for each in EVERY)
    table.apply(NftChange(remove=tuple((each.name, each.key) for each in EVERY)))
    assert all(table.elements(each.name) == () for each in EVERY)


def test_a_change_made_twice_is_made_once(table: Nftables) -> None:
    for _ in range(2):
        table.apply(NftChange(commands=BASE, add=EVERY))
    assert table.elements("ports") == EVERY[:2] or set(table.elements("ports")) == set(EVERY[:2])
    assert len(table.chain("front") or ()) == 2


@pytest.mark.parametrize("other", [replace(WEB, value="10.5.0.3 . 80"), replace(WEB, comment="another")])
def test_an_element_of_the_same_key_is_replaced(table: Nftables, other: Element) -> None:
    table.apply(NftChange(add=(WEB,)))
    table.apply(NftChange(add=(other,)))
    assert table.elements("ports") == (other,)


def test_a_key_can_be_removed_and_added_in_one_change(table: Nftables) -> None:
    other = replace(WEB, value="10.5.0.3 . 80")
    table.apply(NftChange(add=(WEB,)))
    table.apply(NftChange(remove=((WEB.name, WEB.key),), add=(other,)))
    assert table.elements("ports") == (other,)


def test_removing_what_is_absent_is_fine(table: Nftables) -> None:
    table.apply(NftChange(add=(WEB,)))
    absent = (("ports", ("tcp", "9", "10.0.0.1")), ("nosuch", ("10.0.0.1",)))
    table.apply(NftChange(remove=(*absent, (WEB.name, WEB.key), (WEB.name, WEB.key))))
    assert table.elements("ports") == ()


def test_rules_are_counted_chain_by_chain(table: Nftables) -> None:
    assert [table.count(name) for name in ("front", "drops", "nosuch")] == [2, 0, 0]


def write_foreign_rules(nftables: Nftables, *rules: str) -> None:
    """A foreign table with one chain."""
    if isinstance(nftables, MemoryNftables):
        nftables.others[FOREIGN] = list(rules)
        return
    table, chain = FOREIGN
    script = [
        f"add table {table}",
        f"add chain {table} {chain}",
        *(f"add rule {table} {chain} {each}" for each in rules),
    ]
    with closing(Context()) as context:
        context.run("\n".join(script))


def foreign_rules(nftables: Nftables) -> list[str]:
    """The rules of that chain."""
    found: list[str] = []

    def note(rule: str) -> bool:
        found.append(rule)
        return False

    nftables.delete_rules(*FOREIGN, note)
    return found


def test_only_chosen_rules_of_a_foreign_chain_are_deleted(nftables: Nftables) -> None:
    rules = [f'tcp dport {port} accept comment "c{port}"' for port in (80, 81, 82)]
    write_foreign_rules(nftables, *rules)
    nftables.delete_rules(*FOREIGN, lambda rule: rule in (rules[0], rules[2]))
    assert foreign_rules(nftables) == [rules[1]]


@pytest.mark.parametrize("table", ["ip others", "ip6 others", "inet absent"])
def test_an_absent_foreign_table_or_chain_has_no_rule_to_delete(nftables: Nftables, table: str) -> None:
    write_foreign_rules(nftables)
    nftables.delete_rules(table, "absent", lambda _: True)


def test_a_chain_reads_as_it_was_written(table: Nftables) -> None:
    assert table.chain("front") == tuple(command.split(" front ", 1)[1] for command in BASE[-2:])
    assert table.chain("drops") == ()
    assert table.chain("nosuch") is None


@pytest.mark.parametrize(
    "change",
    [
        NftChange(add=(WEB, Element(name="nosuch", key=("10.0.0.1",)))),
        NftChange(commands=("add rule inet linkspan nosuch accept",), add=(WEB,)),
    ],
    ids=["no set", "no chain"],
)
def test_a_refused_change_changes_nothing(table: Nftables, change: NftChange) -> None:
    with pytest.raises(KernelRefused) as caught:
        table.apply(change)
    assert (caught.value.errno, table.elements("ports")) == (2, ())


# --- the real one ---------------------------------------------------------------------------------


@pytest.fixture
def real(host: PrivateHost) -> Iterator[LinuxNftables]:
    with host.entered(), closing(NfTables()) as nf_tables, closing(LinuxNftables(nf_tables)) as made:
        made.apply(NftChange(commands=BASE))
        yield made


@pytest.mark.root
def test_an_open_context_sees_what_others_changed(real: LinuxNftables) -> None:
    real.apply(NftChange(add=(WEB,)))
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    assert (real.element("ports", WEB.key), real.elements("ports"), real.chain("front")) == (None, (), None)
    real.apply(NftChange(commands=BASE, add=(WEB,)))
    assert real.elements("ports") == (WEB,)


@pytest.mark.root
def test_the_message_of_nft_is_in_the_details(real: LinuxNftables) -> None:
    with pytest.raises(KernelRefused) as caught:
        real.apply(NftChange(commands=("add rule inet linkspan front nonsense",)))
    assert "syntax error" in caught.value.details


@pytest.mark.root
def test_eight_writers_at_once_lose_nothing(real: LinuxNftables) -> None:
    def work(number: int) -> None:
        mine = LinuxNftables(NfTables())
        for turn in range(20):
            shared = Element(
                name="ports", key=("udp", "53", "10.0.0.1"), value=f"10.5.{number}.1 . {turn + 1}"
            )
            own = Element(name="ports", key=("tcp", str(turn + 1), f"10.1.0.{number}"), value="10.5.0.2 . 80")
            mine.apply(NftChange(commands=BASE, add=(shared, own)))
            if turn % 2:
                mine.apply(NftChange(remove=((own.name, own.key),)))

    assert in_processes(8, work) == 0
    assert len(real.elements("ports")) == 8 * 10 + 1
    assert len(real.chain("front") or ()) == 2


@pytest.mark.root
def test_ten_thousand_elements_make_no_change_and_no_lookup_slower(real: LinuxNftables) -> None:
    def best_of_ten() -> float:
        best = 1.0
        for turn in range(10):
            element = replace(WEB, key=("udp", str(turn + 1), "10.0.0.1"))
            started = time.perf_counter()
            real.apply(NftChange(commands=BASE, add=(element,)))
            assert real.element(element.name, element.key) == element
            real.apply(NftChange(remove=((element.name, element.key),)))
            best = min(best, time.perf_counter() - started)
        return best

    empty = best_of_ten()
    many = (replace(WEB, key=("tcp", str(number + 1), "10.1.0.1")) for number in range(10_000))
    real.apply(NftChange(add=tuple(many)))
    assert best_of_ten() < max(5 * empty, 0.003)


def test_without_the_library_it_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "_LIBRARY", "libno-such.so.1")
    binding._library.cache_clear()
    try:
        assert not LinuxNftables(NfTables()).usable()
        with pytest.raises(ToolMissing):
            LinuxNftables(NfTables()).apply(NftChange(commands=BASE))
    finally:
        binding._library.cache_clear()


@pytest.mark.root
def test_close_closes_every_descriptor(host: PrivateHost) -> None:
    with host.entered():
        before = len(os.listdir("/proc/self/fd"))
        with closing(NfTables()) as nf_tables, closing(LinuxNftables(nf_tables)) as made:
            made.apply(NftChange(commands=BASE, add=(WEB,)))
        assert len(os.listdir("/proc/self/fd")) == before
