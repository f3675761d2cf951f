"""Elements of nft sets and maps as nft writes them. Pure text, no kernel. Format: nft(8), "ELEMENTS"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from linkspan.netfilter.rules import Element

TABLE = "inet linkspan"
"""Our table, as every nft command names it."""


def add(elements: Iterable[Element]) -> Iterator[str]:
    """The commands that add elements and fail if a key has another value, one for each set.

    Not `create element`: of two intervals of one set it refuses the second.
    """
    yield from _by_set("add", ((element.name, _written(element)) for element in elements))


def delete(keys: Iterable[tuple[str, tuple[str, ...]]]) -> Iterator[str]:
    """The commands that delete elements, given as (set name, key), and fail if one of them is absent."""
    yield from _by_set("delete", ((name, _key(key)) for name, key in keys))


def _by_set(verb: str, written: Iterable[tuple[str, str]]) -> Iterator[str]:
    sets: dict[str, list[str]] = {}
    for name, text in written:
        sets.setdefault(name, []).append(text)
    for name, texts in sets.items():
        yield f"{verb} element {TABLE} {name} {{ {', '.join(texts)} }}"


def _written(element: Element) -> str:
    comment = f' comment "{clean(element.comment)}"' if element.comment else ""
    value = f" : {element.value}" if element.value else ""
    return f"{_key(element.key)}{comment}{value}"


def normal(key: Iterable[str]) -> tuple[str, ...]:
    """A key's parts without the quotes that nft prints around interface names, but does not need."""
    return tuple(part.strip().strip('"') for part in key)


def same(one: Element, other: Element) -> bool:
    """Whether two elements of one key have the same value and comment, whatever their white space."""
    return one.value.split() == other.value.split() and clean(one.comment) == clean(other.comment)


def _key(key: Iterable[str]) -> str:
    return " . ".join(key)


def clean(comment: str) -> str:
    """A comment as nft can write it: its strings cannot contain quotes or line breaks."""
    return re.sub(r'["\s]', lambda found: "'" if found.group() == '"' else " ", comment)


def parse_elements(name: str, listing: str) -> Iterator[Element]:
    """The elements in what `nft list set|map` or `get element` printed."""
    _, _, rest = listing.partition("elements = {")
    body = rest[: rest.rfind("}\n\t}")]
    yield from (_element(name, words) for words in _split(body) if words)


def _split(body: str) -> Iterator[list[str]]:
    words: list[str] = []
    for found in re.finditer(r'"[^"]*"|,|[^\s,"]+', body):
        if found.group() == ",":
            yield words
            words = []
        else:
            words.append(found.group())
    yield words


def _element(name: str, words: list[str]) -> Element:
    before, value = words, ""
    if ":" in words:
        colon = words.index(":")
        before, value = words[:colon], " ".join(words[colon + 1 :])
    comment = ""
    if "comment" in before:
        at = before.index("comment")
        before, comment = before[:at], before[at + 1][1:-1]
    return Element(name=name, key=tuple(" ".join(before).split(" . ")), value=value, comment=comment)


def parse_handles(listing: str) -> Iterator[tuple[str, int]]:
    """The one-line rules in what `nft --handle list chain` printed, each with its handle."""
    for rule in parse_chain(listing):
        text, marked, handle = rule.rpartition(" # handle ")
        if marked and handle.isdigit():
            yield text, int(handle)


def parse_chain(listing: str) -> tuple[str, ...]:
    """The rules in what `nft list chain` printed; a rule that nft printed on several lines is joined."""
    rules: list[str] = []
    open_braces = 0
    for line in listing.splitlines()[2:]:
        text = line.strip()
        if open_braces:
            rules[-1] += f" {text}"
        elif line.startswith("\t\t") and not text.startswith("type "):
            rules.append(text)
        else:
            continue
        open_braces += text.count("{") - text.count("}")
    return tuple(rules)
