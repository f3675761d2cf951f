"""The iptables of this host: which variant it is, and the module for that one.

`iptables-nft` and `iptables-legacy` are two rule sets in one kernel; what other programs wrote with the
host's `iptables` is seen in the same one only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from linkspan.cni.addresses import Family
from linkspan.cni.errors import ToolMissing
from linkspan.host.linux.iptables.tools import Tools, program_name
from linkspan.netfilter.rules import Change

if TYPE_CHECKING:
    from linkspan.host.contract import Iptables, Processes
    from linkspan.host.linux.netlink.netfilter import NfTables

#: Where iptables is searched: container runtimes start plugins with a PATH that lacks sbin.
FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin")

Variant = Literal["nft", "legacy"]
_MULTI: Mapping[str, Variant] = {"xtables-nft-multi": "nft", "xtables-legacy-multi": "legacy"}


class LinuxIptables:
    """The contract's Iptables, of the network namespace of the calling thread.

    The variant of each family is determined once per object. `readable` keeps the tables that were found
    readable, because finding out takes a program.
    """

    def __init__(
        self, processes: Processes, nf_tables: NfTables, *, readable: set[tuple[Family, str]] | None = None
    ) -> None:
        self._processes = processes
        self._nf_tables = nf_tables
        self._found: dict[Family, Iptables] = {}
        self._readable = set() if readable is None else readable

    def usable(self, family: Family) -> bool:
        """Whether iptables of this family is installed with what its variant needs.

        Starts no program if it is.
        """
        try:
            return self._of(family).usable(family)
        except ToolMissing:
            return False

    def readable(self, family: Family, table: str) -> bool:
        """Whether iptables can read the table; True for good once it could.

        Raises ToolMissing without iptables.
        """
        if (family, table) not in self._readable and self._of(family).readable(family, table):
            self._readable.add((family, table))
        return (family, table) in self._readable

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change atomically.

        Raises ToolMissing without iptables, KernelRefused with the tool's words in details.
        """
        self._of(family).apply(family, table, change)

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """Carry out the changes of several tables. Raises as `apply` does."""
        self._of(family).apply_all(family, changes)

    def rules(self, family: Family, table: str) -> Mapping[str, tuple[str, ...]]:
        """Chain -> rules as iptables-save prints them; empty as long as the table is unused."""
        return self._of(family).rules(family, table)

    def policy(self, family: Family, table: str, chain: str) -> str:
        """The policy of a built-in chain; ACCEPT before anybody used the table."""
        return self._of(family).policy(family, table, chain)

    def _of(self, family: Family) -> Iptables:
        if family not in self._found:
            self._found[family] = self._choose(family)
        return self._found[family]

    def _choose(self, family: Family) -> Iptables:
        tools = Tools(self._processes, FOLDERS)
        if self._variant(family) == "legacy":
            from linkspan.host.linux.iptables.legacy import LegacyIptables

            return LegacyIptables(tools)
        from linkspan.host.linux.iptables.restore import RestoreIptables

        return RestoreIptables(tools, self._nf_tables)

    def _variant(self, family: Family) -> Variant:
        name = program_name(family)
        program = self._processes.find(name, FOLDERS)
        if program is None:
            raise ToolMissing(
                f"{name} is not installed on this host",
                'install the package iptables, or choose "nftables" as backend',
            )
        return _MULTI.get(os.path.basename(os.path.realpath(program))) or self._ask(program)

    def _ask(self, program: str) -> Variant:
        printed = self._processes.run([program, "--version"], stdin=b"", env={"LC_ALL": "C"}, cwd="/").stdout
        return "nft" if b"nf_tables" in printed else "legacy"
