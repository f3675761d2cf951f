"""Labels, and the filters of `ls` and `prune`, as Docker has them (moby, daemon/network/filter.go). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.runtime.network import Network

#: Filter keys of `ls`, of `prune` and of `ps`.
LS_KEYS = ("dangling", "driver", "id", "label", "name", "scope", "type")
PRUNE_KEYS = ("label", "label!", "until")
PS_KEYS = ("id", "label", "name", "namespace", "network", "runtime", "status")
_TRUE, _FALSE = ("1", "true"), ("0", "false")


class InvalidFilter(Exception):
    """A filter that cannot be applied; the text says why."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter: all values of one key. Values of a key are alternatives, except labels, which must
    all match.
    """

    key: str
    values: tuple[str, ...]


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE words as a mapping; a word without `=` has the value ""."""
    return {key: value for key, _, value in (each.partition("=") for each in pairs)}


def parse_filters(words: Iterable[str], known: tuple[str, ...]) -> tuple[Filter, ...]:
    """KEY=VALUE words, also several parted by commas, as filters. Raises InvalidFilter."""
    found: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().lower()
        if key.endswith("!") or (key + "!" in known and value.startswith("=")):
            key = key.rstrip("!") + "!"
        if not equals:
            raise InvalidFilter(f"invalid filter {word!r}: it should have the form KEY=VALUE")
        if key not in known:
            raise InvalidFilter(f"invalid filter {key!r}: it should be one of {', '.join(known)}")
        found.setdefault(key, []).append(value.strip())
    return tuple(Filter(key, tuple(values)) for key, values in found.items())


def matches(
    network: Network, filters: Iterable[Filter], is_used: Callable[[Network], bool], before: float = 0
) -> bool:
    """Whether a network passes all filters. `is_used` is asked only for `dangling`; `before` is
    `until` in ns since 1970.
    """
    return all(_passes(network, each, is_used, before) for each in filters)


def _passes(network: Network, one: Filter, is_used: Callable[[Network], bool], before: float) -> bool:
    if one.key == "label":
        return all(has_label(network.labels, each) for each in one.values)
    if one.key == "label!":
        return not all(has_label(network.labels, each) for each in one.values)
    if one.key == "dangling":
        return _dangling(one.values) == (not network.is_builtin and not is_used(network))
    if one.key == "until":
        return network.created <= before
    tests: Mapping[str, Callable[[str], bool]] = {
        "driver": lambda value: network.driver == value,
        "scope": lambda value: network.scope == value,
        "name": lambda value: like(value, network.name),
        "id": lambda value: like(value, network.id),
        "type": lambda value: _type(value) == network.is_builtin,
    }
    return any(tests[one.key](each) for each in one.values)


def has_label(labels: Mapping[str, str], requested: str) -> bool:
    """Whether there is a label KEY, or KEY=VALUE."""
    key, equals, value = requested.partition("=")
    return key in labels and (not equals or labels[key] == value)


def like(pattern: str, text: str) -> bool:
    """Docker's Match: equal, or matched somewhere by the regular expression."""
    try:
        return pattern == text or re.search(pattern, text) is not None
    except re.error:
        return False


def _dangling(values: tuple[str, ...]) -> bool:
    if len(values) > 1 or values[0].lower() not in (*_TRUE, *_FALSE):
        raise InvalidFilter("invalid filter 'dangling': it should be true or false")
    return values[0].lower() in _TRUE


def _type(value: str) -> bool:
    if value not in ("builtin", "custom"):
        raise InvalidFilter(f"invalid filter 'type': {value!r} should be builtin or custom")
    return value == "builtin"
