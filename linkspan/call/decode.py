"""Frozen dataclasses from the JSON that `dataclasses.asdict` and a record made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import lru_cache, partial
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")
_Decoder = Callable[[Any], Any]


def from_json(kind: type[_T], document: Mapping[str, Any]) -> _T:
    """A dataclass with these fields; those that are absent have their defaults.

    Fields are strings, integers, booleans, literals, dataclasses and tuples of any number of one of these.
    Raises ValueError for anything else, such as a record that is damaged.
    """
    decoders = _field_decoders(kind)  # type: ignore[arg-type]  # a class is hashable
    if not isinstance(document, dict) or not document.keys() <= decoders.keys():
        raise ValueError(f"{document!r} is not a {kind.__name__}")
    try:
        return kind(**{name: decoders[name](value) for name, value in document.items()})
    except TypeError as error:
        raise ValueError(str(error)) from None


@lru_cache
def _field_decoders(kind: type[object]) -> Mapping[str, _Decoder]:
    return {name: _decoder(each) for name, each in get_type_hints(kind).items()}


def _decoder(kind: Any) -> _Decoder:
    """What makes a field of that type of a JSON value, or raises ValueError."""
    if isinstance(kind, type) and is_dataclass(kind):
        return partial(from_json, kind)
    if get_origin(kind) is tuple:
        return partial(_items, _decoder(get_args(kind)[0]))
    if kind in (str, int, bool):
        return partial(_exactly, kind)
    choices = [
        choice for each in (kind, *get_args(kind)) if get_origin(each) is Literal for choice in get_args(each)
    ]
    return partial(_one_of, choices)


def _items(item: _Decoder, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r} is not a list")
    return tuple(item(each) for each in value)


def _exactly(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not a {kind.__name__}")
    return value


def _one_of(choices: list[Any], value: Any) -> Any:
    if value not in choices:
        raise ValueError(f"{value!r} is not one of {choices}")
    return value
