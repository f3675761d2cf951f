"""A step makes one request of the host and returns its undo; a transaction does steps and, after any
exception, undoes them.

    with Transaction(host) as transaction:
        transaction.do(*plan)                        # steps, in order
        transaction.on_failure(give_back)            # for what no step did, such as a delegate's reservation
        ...                                          # whatever raises from here on undoes all of it, in
        reverse

So rollback is written once, here, and no plugin keeps a flag of how far it got. What attachments share (a
bridge, a shared chain) is ensured by a step that returns `keep`: undoing it would cut off whoever joined
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from linkspan.cni.errors import Bug, CniError, TryAgain

if TYPE_CHECKING:
    from linkspan.host.contract import Host

Undo = Callable[[], object]
#: Raised by a signal or by `sys.exit`: not an Exception, and still an end of the call that must be cleaned up
#: and reported.
INTERRUPTIONS = (KeyboardInterrupt, SystemExit)


class Step(Protocol):
    """One request of the host, as a frozen value."""

    def do(self, host: Host) -> Undo:
        """Carry it out and return its undo; a step that raises has left nothing behind."""


Plan = tuple[Step, ...]


class Observer(Protocol):
    """Whoever records a call."""

    def facts(self, facts: object) -> None:
        """What a plan is made from."""

    def step(self, step: Step) -> None:
        """A step that is about to be carried out."""


class Transaction:
    """Steps that are all done, or all undone when the `with` block is left by an exception, whichever it is.

    Every exception but CniError leaves the block as a CniError (see `as_cni_error`); the errors of undos are
    added to its details.
    """

    def __init__(self, host: Host, observer: Observer | None = None) -> None:
        self._host = host
        self._observer = observer
        self._undos: list[Undo] = []

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        reported = as_cni_error(error)
        self._roll_back(reported)
        if reported is not None and reported is not error:
            raise reported from error

    def do(self, *steps: Step) -> None:
        """Carry out the steps in order."""
        for step in steps:
            if self._observer is not None:
                self._observer.step(step)
            self._undos.append(step.do(self._host))

    def planned_from(self, facts: object) -> None:
        """Tell the observer which facts the steps to come were decided from."""
        if self._observer is not None:
            self._observer.facts(facts)

    def on_failure(self, undo: Undo) -> None:
        """Have `undo` called too if the transaction fails later."""
        self._undos.append(undo)

    def undo(self) -> None:
        """Undo everything although nothing failed: the undo of a step that is made of steps. Raises the first
        failure.
        """
        undos, self._undos = self._undos[::-1], []
        best_effort(*undos)

    def _roll_back(self, reported: CniError | None) -> None:
        """Call every undo, newest first. An undo that fails, or is interrupted, does not keep the others from
        theirs.
        """
        while self._undos:
            try:
                self._undos.pop()()
            except BaseException as another:
                if reported is not None:
                    reported.also(another)


def carry_out(plan: Iterable[Step], host: Host) -> Undo:
    """Do every step or none, and return the undo of all: for a step that is made of steps."""
    with Transaction(host) as transaction:
        transaction.do(*plan)
    return transaction.undo


def attempt(host: Host, act: Undo, undo: Undo) -> Undo:
    """Act and return `undo`, which is called at once if `act` raises.

    A request that fails may have been carried out, as when its reply is lost: `undo` must accept that
    nothing was done.
    """
    with Transaction(host) as transaction:
        transaction.on_failure(undo)
        act()
    return undo


def keep() -> None:
    """The undo of a step that made nothing of its own."""


def as_cni_error(error: BaseException) -> CniError | None:
    """The error to report for an exception; None for one that must pass unchanged, as nothing can be reported
    any more.
    """
    if isinstance(error, CniError):
        return error
    if isinstance(error, INTERRUPTIONS):
        return TryAgain("the call was interrupted", f"{type(error).__name__}; what it had done was undone")
    return Bug.of(error) if isinstance(error, Exception) else None


def best_effort(*actions: Undo) -> None:
    """Do all of them, then raise the first failure with the others in its details. DEL and GC work
    this way.
    """
    first: CniError | None = None
    for action in actions:
        try:
            action()
        except Exception as error:
            failure = error if isinstance(error, CniError) else Bug.of(error)
            if first is None:
                first = failure
            else:
                first.also(failure)
    if first is not None:
        raise first
