"""Go templates, as far as people use them with Docker's --format, as a tree. Pure.

The language is that of Go's text/template without `define`, `template`, `block`, `break` and `continue`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class TemplateError(Exception):
    """A template that cannot be parsed or applied; the text says why."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is printed as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number or boolean."""

    value: Any


@dataclass(frozen=True, slots=True)
class Path:
    """Fields of `.`, of a variable or of the value of a pipeline: `.A.B`, `$x.A`, `(index .A 0).B`."""

    base: str | Pipeline
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or a field that is one, with its arguments."""

    function: str | Path
    arguments: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each of which gets the value of the one before as its last argument."""

    commands: tuple[Operand | Call, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A pipeline whose value is printed, or put into variables."""

    pipeline: Pipeline
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """`if`, `with` or `range` with what is done and what is done `else`."""

    kind: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]
    variables: tuple[str, ...] = ()


Operand = Literal | Path | Pipeline
Node = Text | Output | Block

_ACTION = re.compile(r"\{\{(- )?\s*(.*?)\s*( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>[-+]?\d+(?:\.\d+)?)(?![\w.])"""
    r"""|(?P<path>\$?[A-Za-z_]\w*(?:\.\w+)*|\$(?:\.\w+)*|(?:\.\w+)+|\.)|(?P<mark>:=|[=|(),]))"""
)
_KEYWORDS = ("if", "with", "range", "else", "end")


def parse(source: str) -> tuple[Node, ...]:
    """The nodes of a template. Raises TemplateError."""
    parser = _Parser(_pieces(source))
    nodes, ended_by = parser.nodes()
    if ended_by:
        raise TemplateError(f"unexpected {{{{{ended_by[0]}}}}}")
    return nodes


def _pieces(source: str) -> list[str | list[str]]:
    """Text, and actions as lists of their words. Trim marks are applied and comments left out."""
    pieces: list[str | list[str]] = []
    at, trim = 0, False
    for match in _ACTION.finditer(source):
        text = source[at : match.start()]
        text = text.lstrip() if trim else text
        pieces.append(text.rstrip() if match[1] else text)
        if not match[2].startswith("/*"):
            pieces.append(_words(match[2]))
        at, trim = match.end(), bool(match[3])
    rest = source[at:]
    if "{{" in rest:
        raise TemplateError("unclosed action")
    return [*pieces, rest.lstrip() if trim else rest]


def _words(action: str) -> list[str]:
    words, at = [], 0
    while at < len(action):
        match = _TOKEN.match(action, at)
        if match is None:
            raise TemplateError(f"unexpected {action[at:].strip()[:20]!r} in {{{{{action}}}}}")
        words.append(match.group().strip())
        # A field of a parenthesized pipeline touches the parenthesis, an argument does not.
        if words[-1].startswith(".") and len(words) > 1 and words[-2] == ")" and match.group()[0] == ".":
            words[-1] = "\0" + words[-1]
        at = match.end()
    if not words:
        raise TemplateError("missing value for command")
    return words


class _Parser:
    """Reads the pieces of a template from the first to the last."""

    def __init__(self, pieces: list[str | list[str]]) -> None:
        self._pieces = pieces
        self._at = 0

    def nodes(self) -> tuple[tuple[Node, ...], list[str]]:
        """The nodes up to an `else` or `end`, and that action's words, or none at the end of the template."""
        found: list[Node] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if isinstance(piece, str):
                found += [Text(piece)] if piece else []
            elif piece[0] in ("else", "end"):
                return tuple(found), piece
            elif piece[0] in _KEYWORDS:
                found.append(self._block(piece))
            else:
                found.append(_output(piece))
        return tuple(found), []

    def _block(self, words: list[str]) -> Block:
        kind, rest = words[0], words[1:]
        variables, rest = _variables(rest)
        body, ended_by = self.nodes()
        otherwise: tuple[Node, ...] = ()
        if ended_by[:2] == ["else", "if"] or ended_by[:2] == ["else", "with"]:
            return Block(kind, _whole(rest), body, (self._block(ended_by[1:]),), variables)
        if ended_by == ["else"]:
            otherwise, ended_by = self.nodes()
        if ended_by != ["end"]:
            raise TemplateError(f"{{{{{' '.join(words)}}}}} has no {{{{end}}}}")
        return Block(kind, _whole(rest), body, otherwise, variables)


def _variables(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The variables before `:=`, and the words after it."""
    if ":=" not in words:
        return (), words
    at = words.index(":=")
    names = tuple(each for each in words[:at] if each != ",")
    if not all(each.startswith("$") for each in names):
        raise TemplateError(f"unexpected {' '.join(words[:at])} before :=")
    return names, words[at + 1 :]


def _output(words: list[str]) -> Output:
    if len(words) > 2 and words[0].startswith("$") and words[1] in (":=", "="):
        return Output(_whole(words[2:]), words[0])
    return Output(_whole(words))


def _whole(words: list[str]) -> Pipeline:
    pipeline, rest = _pipeline(words)
    if rest:
        raise TemplateError(f"unexpected {rest[0]!r}")
    return pipeline


def _pipeline(words: list[str]) -> tuple[Pipeline, list[str]]:
    """A pipeline up to a closing parenthesis or the end, and what follows it."""
    commands = []
    while True:
        operands: list[Any] = []
        while words and words[0] not in ("|", ")"):
            operand, words = _operand(words)
            operands.append(operand)
        commands.append(_command(operands))
        if not words or words[0] == ")":
            return Pipeline(tuple(commands)), words
        words = words[1:]


def _command(operands: list[Any]) -> Operand | Call:
    if not operands:
        raise TemplateError("missing value for command")
    first, rest = operands[0], tuple(operands[1:])
    if isinstance(first, str):
        return Call(first, rest)
    if not rest:
        alone: Operand = first
        return alone
    if isinstance(first, Path):
        return Call(first, rest)
    raise TemplateError("a value that is not a function has arguments")


def _operand(words: list[str]) -> tuple[Any, list[str]]:
    """An operand, or the name of a function, and the words after it."""
    word, rest = words[0], words[1:]
    if word == "(":
        inner, rest = _pipeline(rest)
        if not rest:
            raise TemplateError("unclosed parenthesis")
        rest = rest[1:]
        if rest and rest[0].startswith("\0"):
            return Path(inner, _fields(rest[0][1:])), rest[1:]
        return inner, rest
    for starts, read in _OPERANDS:
        if starts(word):
            return read(word), rest
    return word, rest


def _fields(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(".") if each)


def _string(word: str) -> Literal:
    if word[0] == "`":
        return Literal(word[1:-1])
    try:
        return Literal(json.loads(word))
    except ValueError:
        raise TemplateError(f"invalid string {word}") from None


def _number(word: str) -> Literal:
    return Literal(float(word) if "." in word else int(word))


def _variable(word: str) -> Path:
    name, _, rest = word.partition(".")
    return Path(name, _fields(rest))


_OPERANDS: tuple[tuple[Callable[[str], bool], Callable[[str], Any]], ...] = (
    (lambda word: word[0] in '"`', _string),
    (lambda word: word[0].isdigit() or (word[0] in "+-" and len(word) > 1), _number),
    (lambda word: word in ("true", "false"), lambda word: Literal(word == "true")),
    (lambda word: word == "nil", lambda _: Literal(None)),
    (lambda word: word.startswith("$"), _variable),
    (lambda word: word.startswith("."), lambda word: Path(".", _fields(word))),
)
