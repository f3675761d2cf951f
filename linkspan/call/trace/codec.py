"""The values that pass between plugins and host, as JSON and back. Pure.

What JSON lacks is an object with one key: {"bytes": base64}, {"tuple": [...]}, {"set": [...]}, {"dict":
[[key, value], ...]}, or a dataclass of the contract by its name: {"Link": {...}}. A callable is {"callable":
name} and cannot be read back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from linkspan.cni import errors
from linkspan.cni.errors import CniError
from linkspan.cni.model import Attachment
from linkspan.host.contract import (
    Finished,
    KernelRoute,
    Link,
    Listener,
    Netns,
    PolicyRule,
    PortVlans,
    Process,
)
from linkspan.netfilter.rules import Change, Element, Flow, Jump, Match, NftChange, Rule

VALUES = (
    Attachment,
    Change,
    Element,
    Finished,
    Flow,
    Jump,
    KernelRoute,
    Link,
    Listener,
    Match,
    Netns,
    NftChange,
    PolicyRule,
    PortVlans,
    Process,
    Rule,
)
_BY_NAME: Mapping[str, Any] = {each.__name__: each for each in VALUES}


def encoded(value: Any) -> Any:
    """A value of the contract as JSON. Raises TypeError for anything else."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [encoded(each) for each in value]
    if type(value).__name__ in _BY_NAME:
        return {
            type(value).__name__: {each.name: encoded(getattr(value, each.name)) for each in fields(value)}
        }
    for kinds, encode in _ENCODERS:
        if isinstance(value, kinds):
            return encode(value)
    if callable(value):
        return {"callable": getattr(value, "__name__", "function")}
    raise TypeError(f"{type(value).__name__} is not a value of the host contract")


def decoded(document: Any) -> Any:
    """The value that `encoded` wrote. Raises ValueError for what it did not write."""
    if isinstance(document, list):
        return [decoded(each) for each in document]
    if not isinstance(document, Mapping):
        return document
    ((kind, content),) = document.items()
    if kind in _BY_NAME:
        return _BY_NAME[kind](**{name: decoded(each) for name, each in content.items()})
    if kind not in _DECODERS:
        raise ValueError(f"{kind!r} is not a kind of value in a trace")
    return _DECODERS[kind](content)


def _bytes(value: bytes) -> dict[str, str]:
    """Text where it is text, which a person can read."""
    try:
        return {"text": value.decode("utf-8")}
    except UnicodeDecodeError:
        return {"bytes": base64.b64encode(value).decode()}


def _set(value: Iterable[Any]) -> dict[str, Any]:
    return {"set": sorted((encoded(each) for each in value), key=json.dumps)}


_ENCODERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (bytes, _bytes),
    (tuple, lambda value: {"tuple": [encoded(each) for each in value]}),
    ((set, frozenset), _set),
    (Mapping, lambda value: {"dict": [[encoded(key), encoded(each)] for key, each in value.items()]}),
)
_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "text": str.encode,
    "bytes": base64.b64decode,
    "tuple": lambda content: tuple(decoded(each) for each in content),
    "set": lambda content: frozenset(decoded(each) for each in content),
    "dict": lambda content: {decoded(key): decoded(each) for key, each in content},
}


def encoded_error(error: BaseException) -> dict[str, Any]:
    """An exception of the host: its class, and what it was made of."""
    kept = {key: value for key, value in vars(error).items() if isinstance(value, (str, int))}
    return {"class": type(error).__name__, "text": str(error), **({"fields": kept} if kept else {})}


def decoded_error(document: Mapping[str, Any]) -> BaseException:
    """The exception that `encoded_error` wrote; one that is not of ours comes back as a RuntimeError."""
    cls = getattr(errors, document["class"], None)
    if not (isinstance(cls, type) and issubclass(cls, CniError)):
        return RuntimeError(f"{document['class']}: {document['text']}")
    error = cls.__new__(cls)
    Exception.__init__(error, document["text"])
    vars(error).update(document.get("fields", {}))
    return error


def shown(value: object) -> Any:
    """Facts and steps for a person to read: dataclasses as objects, anything else as Python writes it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {each.name: shown(getattr(value, each.name)) for each in fields(value)}}
    return value if value is None or isinstance(value, (bool, int, str)) else repr(value)
