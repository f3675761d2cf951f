"""iptables of the nft variant, through iptables-save and iptables-restore, once each for a change.

Reading and changing must be one step to others. Among ourselves a lock ensures that (two processes that
append a missing jump would append it twice). Other programs do not take that lock: there iptables-restore
fails if a chain or rule is no longer what was read, nothing is changed, and the table is read again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused
from linkspan.host.linux.iptables.tools import Tools, planned, xtables_lock
from linkspan.netfilter.iptables_edits import Edit, restore_script
from linkspan.netfilter.iptables_text import Chains
from linkspan.netfilter.rules import NFT_FAMILY, Change

if TYPE_CHECKING:
    from linkspan.host.linux.netlink.netfilter import NfTables

_TRIES = 12
#: A change that is refused this often in a row, though the table read again calls for the same edits, is
#: refused for good.
_SAME_TRIES = 3
_LOST_RACES = (errno.EEXIST, errno.ENOENT, errno.EBUSY, errno.EAGAIN, errno.EINTR)


class RestoreIptables:
    """The contract's Iptables: two programs for a change."""

    def __init__(self, tools: Tools, nf_tables: NfTables) -> None:
        self._tools = tools
        self._nf_tables = nf_tables

    def usable(self, family: Family) -> bool:
        """Whether both programs are installed."""
        return all(self._tools.find(family, action) is not None for action in ("save", "restore"))

    def readable(self, family: Family, table: str) -> bool:
        """Whether iptables-save prints the table, or reports one that only nft can express."""
        try:
            self._tools.save(family, (table,))
        except KernelRefused as refusal:
            if refusal.errno == errno.EOPNOTSUPP:
                return False
            raise
        return True

    def rules(self, family: Family, table: str) -> Chains:
        """Every chain of the table with its rules as printed."""
        return self._tools.read(family, (table,))[table]

    def policy(self, family: Family, table: str, chain: str) -> str:
        """The policy of a built-in chain, read from nf_tables, which keeps this variant's tables."""
        return "DROP" if self._nf_tables.drops(_nft_table(family, table), chain) else "ACCEPT"

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change as one transaction. Raises KernelRefused, ToolMissing."""
        self.apply_all(family, {table: change})

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """Carry out the changes of several tables, a transaction each. Raises KernelRefused, ToolMissing."""
        tried: list[str] = []
        with xtables_lock():
            open_changes = {
                table: each for table, each in changes.items() if not self._is_done(family, table, each)
            }
            while open_changes and (to_do := self._to_do(family, open_changes)):
                tried.append(restore_script(to_do))
                refusal = self._tools.restore(family, tried[-1])
                if refusal is None:
                    return
                if not _lost_a_race(refusal, tried):
                    raise refusal
                time.sleep(0.002 * len(tried))

    def _to_do(self, family: Family, changes: Mapping[str, Change]) -> dict[str, tuple[Edit, ...]]:
        present = self._tools.read(family, tuple(changes))
        found = {table: planned(present[table], change) for table, change in changes.items()}
        return {table: edits for table, edits in found.items() if edits}

    def _is_done(self, family: Family, table: str, change: Change) -> bool:
        """Whether a change only removes from chains that do not exist.

        Then it needs no program, and no table that iptables can read.
        """
        chains = dict.fromkeys((*change.remove_chains, *(chain for chain, _ in change.remove)))
        return change.only_removes and not any(
            self._nf_tables.has_chain(_nft_table(family, table), each) for each in chains
        )


def _nft_table(family: Family, table: str) -> str:
    """What nft calls a table of this variant."""
    return f"{NFT_FAMILY[family]} {table}"


def _lost_a_race(refusal: KernelRefused, tried: Sequence[str]) -> bool:
    same = tried[-_SAME_TRIES:].count(tried[-1])
    return refusal.errno in _LOST_RACES and len(tried) < _TRIES and same < _SAME_TRIES
