"""What a saved rule means, so that rules are compared whatever their spelling and order of options. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from linkspan.netfilter.iptables_text import ALIASES, PROTOCOLS, STRINGS, network

_TOKEN = re.compile(r'"((?:\\.|[^"\\])*)"|(\S+)')


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a saved rule does, independent of spelling and order. Rules of equal meaning are equal rules.

    `parts` are its matches, each an option with its value, sorted; `options` are those of the target.
    """

    parts: tuple[str, ...]
    target: str
    options: tuple[str, ...]


def meaning(text: str) -> Meaning:
    """The meaning of a rule as iptables-save prints it or a person writes it."""
    parts: list[str] = []
    options: list[str] = []
    target, section, negated = "", "", ""
    words = _Words(text)
    while words:
        word = words.take()
        if word == "!":
            negated = "! "
            continue
        if word in ("-j", "-g"):
            target = words.take()
            section = word
        elif word == "-m":
            section = words.take()
        elif word.startswith("--"):
            option = _option(word[2:], negated, words)
            (options if section in ("-j", "-g") else parts).append(option)
        else:
            parts.append(_packet_match(word, negated, words.take()))
        negated = ""
    return Meaning(tuple(sorted(parts)), target, tuple(sorted(options)))


class _Words:
    """The words of a saved rule, one after the other, without their quotes."""

    def __init__(self, text: str) -> None:
        self._found = [
            (quoted is not None, re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare)
            for quoted, bare in (found.groups() for found in _TOKEN.finditer(text))
        ]
        self._next = 0

    def __bool__(self) -> bool:
        return self._next < len(self._found)

    def take(self) -> str:
        """The next word, "" at the end."""
        if not self:
            return ""
        self._next += 1
        return self._found[self._next - 1][1]

    def values(self) -> list[str]:
        """The words up to the next option."""
        taken: list[str] = []
        while self and (
            self._found[self._next][0] or not re.match(r"!$|-[a-z-]", self._found[self._next][1])
        ):
            taken.append(self.take())
        return taken


def _option(name: str, negated: str, words: _Words) -> str:
    name = ALIASES.get(name, name)
    values = [words.take()] if name in STRINGS else words.values()
    if name == "set-mark" and len(values) == 1 and "/" not in values[0]:
        name, values = "set-xmark", [values[0] + "/0xffffffff"]
    return " ".join((f"{negated}--{name}", *(_value(name, value) for value in values)))


def _value(name: str, value: str) -> str:
    if name in ("mark", "set-xmark"):
        return _canonical(_mark, value)
    if name in ("ctstate", "state"):
        return ",".join(sorted(value.split(",")))
    return value


def _packet_match(option: str, negated: str, value: str) -> str:
    if option in ("-s", "-d"):
        value = _canonical(network, value)
    elif option == "-p":
        value = PROTOCOLS.get(value.lower(), value.lower())
    return f"{negated}{option} {value}"


def _mark(value: str) -> str:
    number, _, mask = value.partition("/")
    return f"{int(number, 0):#x}/{int(mask or '0xffffffff', 0):#x}"


def _canonical(form: Callable[[str], str], value: str) -> str:
    """A value in canonical form, or unchanged if it has none, such as a non-contiguous netmask."""
    try:
        return form(value)
    except ValueError:
        return value
