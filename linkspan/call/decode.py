"""Frozen dataclasses from the JSON that `dataclasses.asdict` and a record made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


def from_json(kind: type[_T], document: Mapping[str, Any]) -> _T:
    """A dataclass with these fields; those that are absent have their defaults.

    Fields are strings, integers, booleans, literals, dataclasses and tuples of any number of one of these.
    Raises ValueError for anything else, such as a record that is damaged.
    """
    hints = _field_types(kind)  # type: ignore[arg-type]  # a class is hashable
    if not isinstance(document, dict) or not document.keys() <= hints.keys():
        raise ValueError(f"{document!r} is not a {kind.__name__}")
    try:
        return kind(**{name: _value(hints[name], value) for name, value in document.items()})
    except TypeError as error:
        raise ValueError(str(error)) from None


def _value(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        return from_json(kind, value)
    if get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(get_args(kind)[0], each) for each in value)
    if _is_allowed(kind, value):
        return value
    raise ValueError(f"{value!r} is not of the type {kind}")


def _is_allowed(kind: Any, value: Any) -> bool:
    """Whether it is of that type, or one of a union of literals."""
    if kind in (str, int, bool):
        return type(value) is kind
    choices = [
        choice for each in (kind, *get_args(kind)) if get_origin(each) is Literal for choice in get_args(each)
    ]
    return value in choices


@lru_cache
def _field_types(kind: type[object]) -> dict[str, Any]:
    return get_type_hints(kind)
