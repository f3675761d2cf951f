"""Iptables in memory and on the kernel, in both variants and families, keep the same promises."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused, ToolMissing
from linkspan.host.contract import Finished, Iptables
from linkspan.host.linux.iptables.tables import LinuxIptables
from linkspan.host.linux.netlink.netfilter import NfTables
from linkspan.host.linux.processes import LinuxProcesses
from linkspan.host.memory.netfilter import MemoryIptables
from linkspan.netfilter.rules import Change, Jump, Match, Rule
from tests.harness import tools
from tests.harness.privatehost import PrivateHost

ADDRESS: dict[Family, str] = {4: "10.5.0.2", 6: "fd00:5::2"}
LOCAL = Rule(matches=(Match("addrtype", (("dst-type", "LOCAL"),)),), target="SHARED")


class Programs(LinuxProcesses):
    """The host's programs, with the iptables of one variant under the plain names."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.started: list[str] = []

    def find(self, name: str, folders: Sequence[str]) -> str | None:
        tool, _, action = name.partition("-")
        found = f"/usr/sbin/{tool}-{self.variant}" + (f"-{action}" if action else "")
        return found if os.path.exists(found) and "/usr/sbin" in folders else None

    def run(
        self, argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: str, merged: bool = False
    ) -> Finished:
        self.started.append(argv[-1])
        stderr = subprocess.STDOUT if merged else None
        done = subprocess.run(
            argv, input=stdin, stdout=subprocess.PIPE, stderr=stderr, env=env, cwd=cwd, check=False
        )
        return Finished(done.returncode, done.stdout)


class Variant(LinuxIptables):
    """The real one, of a variant that this host may not have by default."""

    def __init__(self, variant: str) -> None:
        super().__init__(Programs(variant), NfTables())
        self.variant = variant


def linux(variant: str) -> Iptables:
    return Variant(variant)


@pytest.fixture
def variant_host(request: pytest.FixtureRequest, host: PrivateHost) -> Iterator[str]:
    """The name of a variant, with this process inside a private host."""
    if not os.path.exists(f"/usr/sbin/iptables-{request.param}"):
        tools.skip(f"no iptables-{request.param}")
    with host.entered():
        yield request.param


@pytest.fixture(
    params=[
        "memory",
        pytest.param("nft", marks=pytest.mark.root),
        pytest.param("legacy", marks=pytest.mark.root),
    ]
)
def iptables(request: pytest.FixtureRequest) -> Iterator[Iptables]:
    if request.param == "memory":
        yield MemoryIptables()
        return
    if not os.path.exists(f"/usr/sbin/iptables-{request.param}"):
        tools.skip(f"no iptables-{request.param}")
    with request.getfixturevalue("host").entered():
        yield linux(request.param)


@pytest.fixture(params=[4, 6])
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


def said(text: str) -> Match:
    return Match("comment", (("comment", text),))


def attachment(family: Family, name: str) -> Change:
    """What one attachment of a plugin asks for: shared chains with their jumps, and a chain of its own."""
    address = ADDRESS[family]
    own = (
        Rule(
            destination=f"{address}/{64 if family == 6 else 24}",
            matches=(said(f'id: "{name}"'),),
            target="ACCEPT",
        ),
        Rule(destination="! ff00::/8" if family == 6 else "! 224.0.0.0/4", target="MASQUERADE"),
    )
    return Change(
        shared=("SHARED",),
        own=((f"OWN-{name}", own),),
        jumps=(
            Jump(chain="PREROUTING", rule=LOCAL),
            Jump(chain="OUTPUT", rule=LOCAL, first=True),
            Jump(chain="POSTROUTING", rule=Rule(source=address, matches=(said(name),), target=f"OWN-{name}")),
        ),
    )


# --- what a change does ---------------------------------------------------------------------------


def test_rules_read_as_iptables_save_prints_them(iptables: Iptables, family: Family) -> None:
    iptables.apply(family, "nat", attachment(family, "a"))
    rules = iptables.rules(family, "nat")
    network, address, multicast = (
        ("10.5.0.0/24", "10.5.0.2/32", "224.0.0.0/4")
        if family == 4
        else ("fd00:5::/64", "fd00:5::2/128", "ff00::/8")
    )
    assert rules["OWN-a"] == (
        f'-d {network} -m comment --comment "id: \\"a\\"" -j ACCEPT',
        f"! -d {multicast} -j MASQUERADE",
    )
    assert rules["POSTROUTING"] == (f"-s {address} -m comment --comment a -j OWN-a",)
    assert rules["SHARED"] == ()


def test_every_kind_of_rule_survives_the_round_trip(iptables: Iptables, family: Family) -> None:
    to = "10.5.0.2:80" if family == 4 else "[fd00:5::2]:80"
    tcp = Match("tcp", (("dport", "8080"),))
    own = (
        Rule(protocol="TCP", matches=(tcp,), target="DNAT", target_options=(("to-destination", to),)),
        Rule(protocol="udp", matches=(Match("udp", (("! dport", "53"),)),), target="RETURN"),
        Rule(
            protocol="sctp",
            matches=(said('it\'s \\ a "test"'), Match("multiport", (("destination-ports", "80,81"),))),
            target="",
        ),
        Rule(in_interface="br0", out_interface="! br+", target="RETURN"),
        Rule(matches=(Match("mark", (("mark", "0x2000/0x2000"),)),), target="ACCEPT"),
        Rule(target="MARK", target_options=(("set-xmark", "0x2000/0x2000"),)),
        Rule(matches=(Match("conntrack", (("ctstate", "RELATED,ESTABLISHED"),)),), target="ACCEPT"),
    )
    change = Change(own=(("OWN", own),))
    iptables.apply(family, "nat", change)
    assert iptables.rules(family, "nat")["OWN"] == (
        f"-p tcp -m tcp --dport 8080 -j DNAT --to-destination {to}",
        "-p udp -m udp ! --dport 53 -j RETURN",
        '-p sctp -m comment --comment "it\\\'s \\\\ a \\"test\\"" -m multiport --dports 80,81',
        "-i br0 ! -o br+ -j RETURN",
        "-m mark --mark 0x2000/0x2000 -j ACCEPT",
        "-j MARK --set-xmark 0x2000/0x2000",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    )


def test_a_change_made_twice_is_made_once(iptables: Iptables, family: Family) -> None:
    iptables.apply(family, "nat", attachment(family, "a"))
    once = iptables.rules(family, "nat")
    iptables.apply(family, "nat", attachment(family, "a"))
    assert iptables.rules(family, "nat") == once


def test_a_shared_chain_keeps_what_is_in_it(iptables: Iptables, family: Family) -> None:
    mine = Jump(chain="SHARED", rule=Rule(source=ADDRESS[family], target="RETURN"))
    iptables.apply(family, "nat", Change(shared=("SHARED",), jumps=(mine,)))
    iptables.apply(family, "nat", attachment(family, "a"))
    assert len(iptables.rules(family, "nat")["SHARED"]) == 1


def test_an_own_chain_is_refilled(iptables: Iptables, family: Family) -> None:
    iptables.apply(family, "nat", attachment(family, "a"))
    iptables.apply(family, "nat", Change(own=(("OWN-a", (Rule(target="RETURN"),)),)))
    assert iptables.rules(family, "nat")["OWN-a"] == ("-j RETURN",)


def test_own_chains_may_jump_to_each_other(iptables: Iptables, family: Family) -> None:
    iptables.apply(family, "nat", Change(own=(("OWN-1", (Rule(target="OWN-2"),)), ("OWN-2", ()))))
    assert iptables.rules(family, "nat")["OWN-1"] == ("-j OWN-2",)


def test_first_means_first(iptables: Iptables, family: Family) -> None:
    for name in ("a", "b"):
        jump = Jump(chain="FORWARD", rule=Rule(in_interface=name, target="ACCEPT"), first=True)
        iptables.apply(family, "filter", Change(jumps=(jump,)))
    assert iptables.rules(family, "filter")["FORWARD"] == ("-i b -j ACCEPT", "-i a -j ACCEPT")


def test_removing_a_chain_takes_every_jump_to_it_along(iptables: Iptables, family: Family) -> None:
    def jumps(own: str) -> tuple[Jump, ...]:
        rule = Rule(protocol="tcp", target=own)
        return tuple(Jump(chain=chain, rule=rule) for chain in ("FORWARD", "SHARED", "INPUT"))

    iptables.apply(family, "filter", Change(shared=("SHARED",), own=(("OWN-a", ()),), jumps=jumps("OWN-a")))
    before = iptables.rules(family, "filter")
    iptables.apply(
        family, "filter", Change(own=(("OWN-aa", (Rule(target="ACCEPT"),)),), jumps=jumps("OWN-aa"))
    )
    iptables.apply(family, "filter", Change(remove_chains=("OWN-aa",)))
    assert iptables.rules(family, "filter") == before


def test_chains_that_jump_to_each_other_go_together(iptables: Iptables, family: Family) -> None:
    iptables.apply(family, "nat", Change(own=(("OWN-1", (Rule(target="OWN-2"),)), ("OWN-2", ()))))
    iptables.apply(family, "nat", Change(remove_chains=("OWN-2", "OWN-1")))
    assert not [chain for chain in iptables.rules(family, "nat") if chain.startswith("OWN")]


def test_all_copies_of_a_rule_are_removed_and_no_other(iptables: Iptables, family: Family) -> None:
    rule, other = Rule(in_interface="a", target="ACCEPT"), Rule(in_interface="b", target="ACCEPT")
    iptables.apply(family, "filter", Change(own=(("OWN", (rule, other, rule, other)),)))
    iptables.apply(family, "filter", Change(remove=(("OWN", rule),)))
    assert iptables.rules(family, "filter")["OWN"] == ("-i b -j ACCEPT",) * 2


def test_removing_what_is_absent_is_fine(iptables: Iptables, family: Family) -> None:
    iptables.apply(
        family, "nat", Change(remove_chains=("NONE",), remove=(("NONE", LOCAL), ("PREROUTING", LOCAL)))
    )
    assert "NONE" not in iptables.rules(family, "nat")


def test_a_rule_can_be_moved_to_the_front(iptables: Iptables, family: Family) -> None:
    mine, other = Rule(in_interface="a", target="ACCEPT"), Rule(in_interface="b", target="ACCEPT")
    iptables.apply(
        family, "filter", Change(jumps=(Jump(chain="FORWARD", rule=other), Jump(chain="FORWARD", rule=mine)))
    )
    moved = Change(remove=(("FORWARD", mine),), jumps=(Jump(chain="FORWARD", rule=mine, first=True),))
    iptables.apply(family, "filter", moved)
    assert iptables.rules(family, "filter")["FORWARD"] == ("-i a -j ACCEPT", "-i b -j ACCEPT")


def test_the_families_are_apart(iptables: Iptables) -> None:
    iptables.apply(4, "nat", attachment(4, "a"))
    assert "OWN-a" not in iptables.rules(6, "nat")


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        Change(shared=("NEW",), jumps=(Jump(chain="NONE", rule=LOCAL),)),
        Change(shared=("NEW",), jumps=(Jump(chain="NEW", rule=Rule(target="NONE")),)),
        Change(shared=("NEW",), jumps=(Jump(chain="NEW", rule=Rule(source="nonsense", target="ACCEPT")),)),
        Change(shared=("NEW",), jumps=(Jump(chain="NEW", rule=Rule(matches=(said("a\nb"),), target="")),)),
    ],
    ids=["no chain", "no target", "no address", "line break"],
)
def test_a_refused_change_changes_nothing(iptables: Iptables, family: Family, change: Change) -> None:
    with pytest.raises(KernelRefused):
        iptables.apply(family, "nat", change)
    assert "NEW" not in iptables.rules(family, "nat")


def test_several_tables_are_changed_by_one_request(iptables: Iptables, family: Family) -> None:
    rule = Rule(target="DROP", in_interface="br0")
    jump = Change(jumps=(Jump(chain="PREROUTING", rule=rule),))
    iptables.apply_all(family, {"raw": jump, "mangle": jump})
    assert [iptables.rules(family, table)["PREROUTING"] for table in ("raw", "mangle")] == [
        ("-i br0 -j DROP",)
    ] * 2


def test_a_jump_that_is_there_twice_is_left_once(iptables: Iptables, family: Family) -> None:
    jump = Jump(chain="FORWARD", rule=Rule(target="ACCEPT", in_interface="br0"))
    _twice(iptables, family)
    iptables.apply(family, "filter", Change(jumps=(jump,)))
    assert iptables.rules(family, "filter")["FORWARD"] == ("-i br0 -j ACCEPT",)


def _twice(iptables: Iptables, family: Family) -> None:
    """Two of a rule in FORWARD, as others make them who check before they append."""
    if isinstance(iptables, MemoryIptables):
        iptables.tables[family, "filter"] = {"INPUT": [], "FORWARD": ["-i br0 -j ACCEPT"] * 2, "OUTPUT": []}
        return
    tool = _tool(iptables, family)
    for _ in range(2):
        subprocess.run([tool, "-A", "FORWARD", "-i", "br0", "-j", "ACCEPT"], check=True)


def _tool(iptables: Iptables, family: Family) -> str:
    assert isinstance(iptables, Variant)
    return f"/usr/sbin/{'iptables' if family == 4 else 'ip6tables'}-{iptables.variant}"


def test_the_policy_of_a_chain_is_read(iptables: Iptables, family: Family) -> None:
    assert iptables.policy(family, "filter", "FORWARD") == "ACCEPT"
    if isinstance(iptables, MemoryIptables):
        iptables.policies[family, "filter", "FORWARD"] = "DROP"
    else:
        subprocess.run([_tool(iptables, family), "-P", "FORWARD", "DROP"], check=True)
    assert iptables.policy(family, "filter", "FORWARD") == "DROP"


def test_an_unknown_table_is_refused(iptables: Iptables, family: Family) -> None:
    with pytest.raises(KernelRefused):
        iptables.rules(family, "nosuch")


def test_both_families_are_usable(iptables: Iptables, family: Family) -> None:
    assert iptables.usable(family)


FOREIGN_NAT = (
    "add table {family} nat",
    "add chain {family} nat PREROUTING {{ type nat hook prerouting priority -100; }}",
    "add rule {family} nat PREROUTING fib daddr type local counter",
)


def test_an_unused_table_and_one_of_iptables_itself_are_readable(iptables: Iptables, family: Family) -> None:
    assert iptables.readable(family, "nat")
    iptables.apply(family, "nat", Change(shared=("SHARED",)))
    assert iptables.readable(family, "nat")


@pytest.mark.root
@pytest.mark.parametrize("variant_host", ["nft"], indirect=True)
def test_a_table_that_was_made_with_nft_is_not_readable(variant_host: str, family: Family) -> None:
    for command in FOREIGN_NAT:
        subprocess.run(["nft", command.format(family="ip" if family == 4 else "ip6")], check=True)
    real, memory = linux(variant_host), MemoryIptables()
    memory.foreign = {(family, "nat")}
    for each in (real, memory):
        assert not each.readable(family, "nat")
        assert each.readable(family, "filter")
        with pytest.raises(KernelRefused):
            each.rules(family, "nat")
        with pytest.raises(KernelRefused):
            each.apply(family, "nat", Change(shared=("SHARED",)))
        each.apply(family, "nat", Change(remove_chains=("SHARED",), remove=(("OTHER", LOCAL),)))


def test_without_iptables_neither_family_is_usable(family: Family) -> None:
    nothing = LinuxIptables(Programs("no-such-variant"), NfTables())
    assert not nothing.usable(family)
    with pytest.raises(ToolMissing):
        nothing.rules(family, "nat")


# --- many writers ---------------------------------------------------------------------------------


def in_processes(count: int, work: Callable[[int], None]) -> int:
    """Do the work in that many processes at once; how many failed."""
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


@pytest.mark.root
@pytest.mark.parametrize("variant_host", ["nft", "legacy"], indirect=True)
def test_eight_writers_at_once_leave_each_jump_once_and_lose_no_chain(
    variant_host: str, family: Family
) -> None:
    def work(number: int) -> None:
        mine = linux(variant_host)
        for turn in range(4):
            mine.apply(family, "nat", attachment(family, f"{number}-{turn}"))
            if turn % 2:
                mine.apply(family, "nat", Change(remove_chains=(f"OWN-{number}-{turn - 1}",)))

    assert in_processes(8, work) == 0
    rules = linux(variant_host).rules(family, "nat")
    jump = "-m addrtype --dst-type LOCAL -j SHARED"
    assert (rules["PREROUTING"], rules["OUTPUT"]) == ((jump,), (jump,))
    left = {f"OWN-{number}-{turn}" for number in range(8) for turn in (1, 3)}
    assert {chain for chain in rules if chain.startswith("OWN")} == left
    assert all(len(rules[chain]) == 2 for chain in left)
    assert len(rules["POSTROUTING"]) == len(left)


@pytest.mark.root
@pytest.mark.parametrize("variant_host", ["nft", "legacy"], indirect=True)
def test_a_program_that_writes_meanwhile_is_neither_undone_nor_in_the_way(
    variant_host: str, family: Family
) -> None:
    """It runs the host's iptables, as the reference plugins do: chains and rules appear and vanish."""
    tool = f"/usr/sbin/{'iptables' if family == 4 else 'ip6tables'}-{variant_host}"

    def other_program() -> None:
        for number in range(12):
            subprocess.run([tool, "-w", "-t", "nat", "-N", "SHARED"], stderr=subprocess.DEVNULL, check=False)
            rule = ("-i", f"if{number}", "-j", "ACCEPT")
            subprocess.run([tool, "-w", "-t", "nat", "-A", "SHARED", *rule], check=True)
            if number % 2:
                subprocess.run([tool, "-w", "-t", "nat", "-D", "SHARED", *rule], check=True)

    def work(number: int) -> None:
        if number == 0:
            return other_program()
        for turn in range(6):
            linux(variant_host).apply(family, "nat", attachment(family, f"{number}-{turn}"))
        return None

    assert in_processes(4, work) == 0
    rules = linux(variant_host).rules(family, "nat")
    assert rules["SHARED"] == tuple(f"-i if{number} -j ACCEPT" for number in range(0, 12, 2))
    assert len([chain for chain in rules if chain.startswith("OWN")]) == 18


@pytest.mark.root
@pytest.mark.parametrize("variant_host", ["nft"], indirect=True)
def test_a_change_takes_two_programs_and_no_change_takes_one(variant_host: str) -> None:
    programs = Programs(variant_host)
    mine = LinuxIptables(programs, NfTables())
    mine.apply(4, "nat", attachment(4, "a"))
    assert len(programs.started) == 2
    mine.apply(4, "nat", attachment(4, "a"))
    assert len(programs.started) == 3


@pytest.mark.root
@pytest.mark.parametrize("variant_host", ["legacy"], indirect=True)
def test_nothing_is_printed_and_no_descriptor_is_lost(
    variant_host: str, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = linux(variant_host)
    for family in (4, 6):
        mine.apply(family, "nat", attachment(family, "a"))
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(5):
        mine.apply(4, "nat", attachment(4, f"b{turn}"))
        mine.apply(6, "nat", attachment(6, f"b{turn}"))
    assert len(os.listdir("/proc/self/fd")) == before
    assert capfd.readouterr() == ("", "")
