"""What a case is, and the table of all cases.

    C = Section("C", "bridge", needs=("bridge", "ipam"))

    @C.case(71, "DEL succeeds any number of times, and for what was never added")
    def delete_is_repeatable(w: World) -> None:
        ...

A case gets a World, does what a runtime could do, and returns; what it does not like it raises as `Failed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conformance.world import World

Body = Callable[["World"], None]

ROLES = ("bridge", "ipam", "portmap", "firewall", "tuning", "loopback", "dns")
#: Roles that work on the result of an earlier plugin.
CHAINED = ("portmap", "firewall", "tuning", "dns")
_MODULES = (
    "protocol",
    "results",
    "bridge",
    "ipam",
    "portmap",
    "firewall",
    "tuning_loopback",
    "dns",
    "runtimes",
)


class Failed(Exception):
    """The plugin did not do what the case demands; the text says what it did."""


class NotHere(Exception):
    """The case cannot run on this machine; the text names the probe that decided."""


@dataclass(frozen=True)
class Case:
    """One demand. It runs once for each of `each`'s variants, in a world of its own every time.

    `each` is "role" (all roles in `needs`), the name of a feature with several backends ("portmap", "firewall", "masquerade"), or "".
    """

    number: int
    section: str
    demand: str
    body: Body
    needs: tuple[str, ...]
    each: str


CASES: dict[int, Case] = {}
SECTIONS: dict[str, Section] = {}


class Section:
    """A letter, a title, and what its cases have in common."""

    def __init__(self, letter: str, title: str, *, needs: Iterable[str], each: str = "") -> None:
        self.letter, self.title = letter, title
        self._needs, self._each = tuple(needs), each
        SECTIONS[letter] = self

    def case(
        self, number: int, demand: str, *, needs: Iterable[str] | None = None, each: str | None = None
    ) -> Callable[[Body], Body]:
        """Register the function below under `number`; `needs` and `each` override the section's."""

        def register(body: Body) -> Body:
            if number in CASES:
                raise ValueError(f"case {number} is there twice")
            CASES[number] = Case(
                number,
                self.letter,
                demand,
                body,
                self._needs if needs is None else tuple(needs),
                self._each if each is None else each,
            )
            return body

        return register


def all_cases() -> list[Case]:
    """Every case, by number."""
    for module in _MODULES:
        import_module(f"tests.conformance.cases.{module}")
    return [CASES[number] for number in sorted(CASES)]


def expect(condition: object, reason: str) -> None:
    """Raise Failed with `reason` unless the condition holds."""
    if not condition:
        raise Failed(reason)
