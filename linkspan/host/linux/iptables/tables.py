"""The iptables of this host: which variant it is, and the module that speaks to that one.

`iptables-nft` and `iptables-legacy` are two rule sets in one kernel; what another tool wrote with the host's `iptables` is
only seen in the same one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from linkspan.cni.errors import ToolMissing
from linkspan.netfilter.rules import Change, Family

if TYPE_CHECKING:
    from linkspan.host.contract import Iptables, Processes

FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin")
"""Where iptables is searched before PATH: container runtimes start plugins with a PATH that lacks sbin."""

Variant = Literal["nft", "legacy"]
_MULTI: Mapping[str, Variant] = {"xtables-nft-multi": "nft", "xtables-legacy-multi": "legacy"}


class LinuxIptables:
    """The contract's Iptables on a real kernel, in the network namespace of the calling thread.

    `path` is a PATH to search after the usual folders. What a family's variant is, is found out once per object. `read` remembers
    the tables that were found readable: to ask costs a program.
    """

    def __init__(
        self, processes: Processes, path: str = "", read: set[tuple[Family, str]] | None = None
    ) -> None:
        self._processes = processes
        self._folders = (*FOLDERS, *(folder for folder in path.split(":") if folder.startswith("/")))
        self._found: dict[Family, Iptables] = {}
        self._read = set() if read is None else read

    def usable(self, family: Family) -> bool:
        """Whether iptables of this family is installed with what its variant needs. Starts no program where it is."""
        try:
            return self._of(family).usable(family)
        except ToolMissing:
            return False

    def readable(self, family: Family, table: str) -> bool:
        """Whether iptables can read the table; True for good once it could. Raises ToolMissing without iptables."""
        if (family, table) not in self._read and self._of(family).readable(family, table):
            self._read.add((family, table))
        return (family, table) in self._read

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change atomically. ToolMissing without iptables, KernelRefused with the tool's words in details."""
        self._of(family).apply(family, table, change)

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """Carry out the changes of several tables. Raises as `apply` does."""
        self._of(family).apply_all(family, changes)

    def rules(self, family: Family, table: str) -> Mapping[str, tuple[str, ...]]:
        """Every chain of the table with its rules as iptables-save prints them; empty before anybody used the table."""
        return self._of(family).rules(family, table)

    def policy(self, family: Family, table: str, chain: str) -> str:
        """The policy of a built-in chain; ACCEPT before anybody used the table."""
        return self._of(family).policy(family, table, chain)

    def _of(self, family: Family) -> Iptables:
        if family not in self._found:
            self._found[family] = self._choose(family)
        return self._found[family]

    def _choose(self, family: Family) -> Iptables:
        if self._variant(family) == "legacy":
            from linkspan.host.linux.iptables.legacy import LegacyIptables

            return LegacyIptables(self._processes, self._folders)
        from linkspan.host.linux.iptables.restore import RestoreIptables

        return RestoreIptables(self._processes, self._folders)

    def _variant(self, family: Family) -> Variant:
        name = "iptables" if family == 4 else "ip6tables"
        program = self._processes.find(name, self._folders)
        if program is None:
            raise ToolMissing(
                f"{name} is not installed on this host",
                'install the package iptables, or choose "nftables" as backend',
            )
        known = _MULTI.get(os.path.basename(os.path.realpath(program)))
        return known or self._ask(program)

    def _ask(self, program: str) -> Variant:
        said = self._processes.run([program, "--version"], stdin=b"", env={"LC_ALL": "C"}, cwd="/").stdout
        return "nft" if b"nf_tables" in said else "legacy"
