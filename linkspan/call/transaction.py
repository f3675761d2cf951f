"""A plan is a tuple of steps; a step makes one request of the host and returns how to take it back.

So rollback is written once, here, and no plugin keeps a flag of how far it got. What is shared between attachments (a
bridge, a shared chain) is ensured by a step that returns `keep`: undoing it would cut off whoever joined meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Protocol

from linkspan.cni.errors import CniError

if TYPE_CHECKING:
    from linkspan.host.contract import Host

Undo = Callable[[], object]


class Step(Protocol):
    """One request of the host, as a frozen value."""

    def do(self, host: Host) -> Undo:
        """Carry it out and return its undo; a step that raises has left nothing behind."""


Plan = tuple[Step, ...]


def keep() -> None:
    """The undo of a step that made nothing of its own."""


def carry_out(plan: Iterable[Step], host: Host) -> Undo:
    """Do every step, or none: on a failure the steps done are undone in reverse and the first error is raised.

    Returns the undo of the whole plan, for a caller that fails later. Errors of an undo are added to the first one's details.
    """
    undos: list[Undo] = []
    try:
        for step in plan:
            undos.append(step.do(host))
    except BaseException as error:
        _undo_all(undos, error)
        raise

    def undo() -> None:
        best_effort(*reversed(undos))

    return undo


def _undo_all(undos: list[Undo], error: BaseException) -> None:
    for undo in reversed(undos):
        try:
            undo()
        except Exception as another:
            if isinstance(error, CniError):
                error.also(another)


def best_effort(*actions: Undo) -> None:
    """Do all of them, then raise the first failure with the others in its details. DEL and GC work this way."""
    first: CniError | None = None
    for action in actions:
        try:
            action()
        except CniError as error:
            if first is None:
                first = error
            else:
                first.also(error)
    if first is not None:
        raise first


def describe(plan: Iterable[Step]) -> list[str]:
    """The plan as lines a person can read: the step's name and its fields."""
    return [_line(step) for step in plan]


def _line(step: Step) -> str:
    if not is_dataclass(step):
        return type(step).__name__
    shown = " ".join(f"{each.name}={getattr(step, each.name)!r}" for each in fields(step))
    return f"{type(step).__name__} {shown}"
