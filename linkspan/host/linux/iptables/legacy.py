"""iptables of the legacy variant, through python-iptables, which is imported here and nowhere else.

A table is fetched from the kernel whole, changed in memory and written back whole: a program that fetched
before and writes back after us undoes our change. So the lock of iptables-legacy is held from fetching to
committing; python-iptables itself takes none. What to change is read from the host's iptables-save, because
python-iptables prints rules only by redirecting our stdout.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from linkspan.cni.addresses import Family
from linkspan.cni.errors import KernelRefused, ToolMissing
from linkspan.host.linux.errno_text import errno_in
from linkspan.host.linux.errors import kernel_errors
from linkspan.host.linux.iptables.tools import CHANGE, Tools, planned, xtables_lock
from linkspan.netfilter.iptables_edits import AddRule, DeleteChain, DeleteRule, Edit, FlushChain, NewChain
from linkspan.netfilter.iptables_text import Chains, packet, parse_policy
from linkspan.netfilter.rules import Change, Rule

_TRIES = 12
_LIBRARY_FOLDERS = ("/usr/lib", "/lib", "/usr/lib64", "/lib64", "/usr/local/lib")


class LegacyIptables:
    """The contract's Iptables through libiptc."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def usable(self, family: Family) -> bool:
        """Whether iptables-save and python-iptables are installed; loads neither."""
        return self._tools.find(family, "save") is not None and find_spec("iptc") is not None

    def readable(self, family: Family, table: str) -> bool:  # noqa: ARG002
        """True: only iptables-legacy makes these tables."""
        return True

    def rules(self, family: Family, table: str) -> Chains:
        """Every chain of the table with its rules as printed."""
        return self._tools.read(family, (table,))[table]

    def policy(self, family: Family, table: str, chain: str) -> str:
        """The policy of a built-in chain. A table that is not in use is not brought into use by asking."""
        if table not in _tables(family):
            return "ACCEPT"
        return parse_policy(self._tools.save(family, (table,)), chain)

    def apply_all(self, family: Family, changes: Mapping[str, Change]) -> None:
        """Carry out the changes of several tables, one after the other."""
        for table, change in changes.items():
            self.apply(family, table, change)

    def apply(self, family: Family, table: str, change: Change) -> None:
        """Carry out a change as one transaction. Raises KernelRefused, ToolMissing."""
        iptc = _library()  # takes 150 ms the first time, so before the lock is taken
        with xtables_lock():
            for attempt in range(_TRIES):
                to_do = planned(self.rules(family, table), change)
                refusal = _commit(iptc, family, table, to_do) if to_do else None
                if refusal is None:
                    return
                # EAGAIN: the table that we fetched is no longer the one that the kernel has.
                if refusal.errno != errno.EAGAIN or attempt == _TRIES - 1:
                    raise refusal
                time.sleep(0.002 * attempt)


def _tables(family: Family) -> list[str]:
    """The tables in use in our network namespace. Raises KernelRefused."""
    path = f"/proc/thread-self/net/ip{'6' if family == 6 else ''}_tables_names"
    with (
        kernel_errors("list its iptables tables", absent=(errno.ENOENT,)),
        open(path, encoding="ascii") as file,
    ):
        return file.read().split()
    return []


def _commit(iptc: Any, family: Family, table: str, to_do: Sequence[Edit]) -> KernelRefused | None:
    try:
        with _fresh(iptc, family, table) as fetched:
            for edit in to_do:
                _do(iptc, family, fetched, edit)
            fetched.commit()
    except (iptc.IPTCError, iptc.XTablesError, ValueError) as error:
        return KernelRefused(CHANGE, errno_in(str(error)), f"libiptc reports: {error}")
    return None


@contextmanager
def _fresh(iptc: Any, family: Family, name: str) -> Iterator[Any]:
    """The table as the kernel has it now.

    The library keeps table objects for ever, so each is refreshed before use.
    """
    table = (iptc.Table if family == 4 else iptc.Table6)(name, autocommit=False)
    try:
        table.refresh()
        yield table
    finally:
        table.close()


def _do(iptc: Any, family: Family, table: Any, edit: Edit) -> None:
    if isinstance(edit, NewChain):
        table.create_chain(edit.chain)
    elif isinstance(edit, FlushChain):
        table.flush_entries(edit.chain)
    elif isinstance(edit, DeleteChain):
        table.delete_chain(edit.chain)
    elif isinstance(edit, DeleteRule):
        _delete_at(iptc, table, edit)
    else:
        _add(iptc, family, table, edit)


def _delete_at(iptc: Any, table: Any, edit: DeleteRule) -> None:
    # The library itself deletes by comparing rules, for which it redirects our stdout.
    functions, handle = table._iptc, table._handle  # noqa: SLF001
    if functions.iptc_delete_num_entry(edit.chain.encode(), edit.index, handle) != 1:
        raise iptc.IPTCError(f"can't delete rule {edit.index + 1} of {edit.chain}: {table.strerror()}")


def _add(iptc: Any, family: Family, table: Any, edit: AddRule) -> None:
    if not table.is_chain(edit.chain):
        raise iptc.IPTCError(f"chain {edit.chain} does not exist")
    entry = _entry(iptc, family, table, edit.rule)
    if edit.first:
        table.insert_entry(edit.chain, entry, 0)
    else:
        table.append_entry(edit.chain, entry)


def _entry(iptc: Any, family: Family, table: Any, rule: Rule) -> Any:
    """The rule as the kernel's struct ipt_entry with its matches and target behind it."""
    made = _rule_class(iptc, family)(chain=iptc.Chain(table, "-"))
    for name, value in packet(rule).items():
        setattr(made, name, value)
    extensions = iptc.xtables.xtables(made.nfproto)
    for match in rule.matches:
        _configure(made.create_match(match.name), match.options)
    if not table.is_chain(rule.target):
        _register(iptc, extensions, rule.target)
    _configure(made.create_target(rule.target), rule.target_options)
    return made.rule


def _register(iptc: Any, extensions: Any, name: str) -> None:
    """Register a target for both families if its library registers it for one.

    A library registers its targets once, when it is loaded, and libxtables keeps only those for the family
    in use then: after MASQUERADE of IPv4 there is none of IPv6 (both are in libxt_NAT.so). A second copy of
    the library registers them anew; of its targets only the one asked for may stay on libxtables' list,
    because libxtables ends the process over a target that it has twice.
    """
    file = os.path.realpath(os.path.join(os.environ.get("XTABLES_LIBDIR", ""), f"libxt_{name}.so"))
    if not name or extensions.find_target(name) or not os.path.exists(file):
        return
    pending = ctypes.c_void_p.in_dll(iptc.xtables._lib_xtables, "xtables_pending_targets")  # noqa: SLF001
    before, pending.value = pending.value, None
    extensions._xtables_set_nfproto(extensions.proto)  # noqa: SLF001
    _load_copy(file)
    if name.encode() in _names(extensions, pending.value):
        _take(iptc, extensions, name.encode())
    pending.value = before


def _names(extensions: Any, pointer: int | None) -> Iterator[bytes]:
    while pointer:
        target = ctypes.cast(pointer, ctypes.POINTER(extensions._target_struct))[0]  # noqa: SLF001
        yield target.name
        pointer = target.next


def _take(iptc: Any, extensions: Any, name: bytes) -> None:
    """Move a pending target to those in use.

    After one failure libxtables finds it only with XTF_LOAD_MUST_SUCCEED.
    """
    found = extensions._xtables_find_target(name, iptc.xtables.XTF_LOAD_MUST_SUCCEED)  # noqa: SLF001
    target = ctypes.cast(found, ctypes.POINTER(extensions._target_struct))  # noqa: SLF001
    extensions._loaded(target[0].name, target)  # noqa: SLF001


def _load_copy(file: str) -> None:
    """Load a library once more, with data of its own.

    The descriptor stays open: the loader takes two libraries of one path for the same, and this path names
    the descriptor.
    """
    descriptor = os.memfd_create(os.path.basename(file))
    with open(file, "rb") as library:
        os.sendfile(descriptor, library.fileno(), 0, os.fstat(library.fileno()).st_size)
    ctypes.CDLL(f"/proc/self/fd/{descriptor}")


def _rule_class(iptc: Any, family: Family) -> Any:
    class OneTable(iptc.Rule if family == 4 else iptc.Rule6):  # type: ignore[misc]
        """A rule whose target is searched in its own table only; the library would fetch all tables."""

        @property
        def tables(self) -> list[Any]:
            return [self.chain.table]

    return OneTable


def _configure(extension: Any, options: Sequence[tuple[str, str]]) -> None:
    for name, value in options:
        negated = name.startswith("!")
        words: list[str] = [value] if name == "comment" or " " not in value else value.split(" ")
        extension.set_parameter(name.lstrip("! "), ["!", *words] if negated else words)
    # final_check() itself writes the rule to our stdout and reads it back.
    extension._final_check()  # noqa: SLF001


def _library() -> Any:
    """The module `iptc`.

    It is told where its libraries are, or it would run compilers and ldconfig to find them.
    """
    try:
        with _libraries_located():
            import iptc
    except Exception as error:
        raise ToolMissing(
            "python-iptables cannot be loaded, and this host's iptables is the legacy variant", str(error)
        ) from None
    return iptc


@contextmanager
def _libraries_located() -> Iterator[None]:
    from ctypes import util

    extensions = next(_below("xtables"), "")
    if extensions:
        os.environ.setdefault("XTABLES_LIBDIR", extensions)
    original, util.find_library = util.find_library, _library_file
    try:
        yield
    finally:
        util.find_library = original


def _library_file(name: str) -> str | None:
    """The shared library of that name, by its version-less or its versioned name."""
    if name == "c":
        return "libc.so.6"
    return next(_below(f"lib{name}.so.[0-9]*"), None)


def _below(pattern: str) -> Iterator[str]:
    from glob import iglob

    for folder in _LIBRARY_FOLDERS:
        yield from iglob(f"{folder}/*-linux-*/{pattern}")
        yield from iglob(f"{folder}/{pattern}")
