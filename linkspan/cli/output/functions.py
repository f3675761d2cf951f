"""The functions of Docker's templates (docker/cli, templates/templates.go) and the common ones of
Go's text/template. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from linkspan.cli.output.parse import TemplateError

#: What Go prints for an absent value.
NO_VALUE = "<no value>"
_VERB = re.compile(r"%([-+0 #]*\d*(?:\.\d+)?)([svdqtxXf%])")


def is_true(value: Any) -> bool:
    """Go's truth: not false, zero, empty or absent."""
    return bool(value)


def text(value: Any) -> str:
    """A value as Go prints it."""
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{text(each)}" for key, each in sorted(value.items())) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(text, value)) + "]"
    return str(value)


def to_json(value: Any) -> str:
    """Compact JSON. Members that are functions are left out, as Go leaves out methods."""
    return json.dumps(_without_functions(value), ensure_ascii=False, separators=(",", ":"))


def _without_functions(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_functions(each) for key, each in value.items() if not callable(each)}
    return [_without_functions(each) for each in value] if isinstance(value, list) else value


def _join(values: Any, separator: str) -> str:
    if values is None:
        return ""
    if isinstance(values, Mapping):
        return separator.join(sorted(map(text, values.values())))
    if isinstance(values, str) or not isinstance(values, (list, tuple)):
        raise TemplateError(f"join: {text(values)} is not a list")
    return separator.join(map(text, values))


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(value, (list, tuple, str)) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise TemplateError(f"index out of range: {key}")
            value = value[key]
        else:
            raise TemplateError(f"can't index item of type {_kind(value)}")
    return value


def _len(value: Any) -> int:
    if isinstance(value, (Mapping, list, tuple, str)):
        return len(value)
    raise TemplateError(f"len of type {_kind(value)}")


def _kind(value: Any) -> str:
    return {"NoneType": "nil", "str": "string"}.get(type(value).__name__, type(value).__name__)


def _print(*values: Any) -> str:
    """Go's Sprint: a space between operands when neither is a string."""
    found = ""
    for number, each in enumerate(values):
        if number and not isinstance(each, str) and not isinstance(values[number - 1], str):
            found += " "
        found += text(each)
    return found


def _printf(form: str, *values: Any) -> str:
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        flags, verb = match.groups()
        if verb == "%":
            return "%"
        if not rest:
            raise TemplateError(f"printf: no value for {match[0]}")
        value = rest.pop(0)
        if verb in "dxXf" and not isinstance(value, str):
            return str(f"%{flags}{verb}" % value)
        return str(f"%{flags}s" % (json.dumps(value) if verb == "q" else text(value)))

    return _VERB.sub(one, form)


def _compare(test: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def compared(one: Any, *others: Any) -> bool:
        try:
            return any(test(one, each) for each in others)
        except TypeError:
            raise TemplateError("incompatible types for comparison") from None

    return compared


def _and(*values: Any) -> Any:
    return next((each for each in values if not is_true(each)), values[-1])


def _or(*values: Any) -> Any:
    return next((each for each in values if is_true(each)), values[-1])


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "json": to_json,
    "join": _join,
    "split": lambda value, separator: text(value).split(separator),
    "title": lambda value: re.sub(r"\b[a-z]", lambda match: match[0].upper(), text(value)),
    "lower": lambda value: text(value).lower(),
    "upper": lambda value: text(value).upper(),
    "pad": lambda value, before, after: " " * before + value + " " * after if value else "",
    "truncate": lambda value, length: text(value)[:length],
    "index": _index,
    "len": _len,
    "print": _print,
    "println": lambda *values: " ".join(map(text, values)) + "\n",
    "printf": _printf,
    "eq": _compare(lambda one, other: one == other),
    "ne": _compare(lambda one, other: one != other),
    "lt": _compare(lambda one, other: one < other),
    "le": _compare(lambda one, other: one <= other),
    "gt": _compare(lambda one, other: one > other),
    "ge": _compare(lambda one, other: one >= other),
    "not": lambda value: not is_true(value),
    "and": _and,
    "or": _or,
}
#: In the header of a table a column's function must not change its title.
HEADER_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **FUNCTIONS,
    **dict.fromkeys(
        ("json", "split", "join", "title", "lower", "upper", "truncate"), lambda value, *_: value
    ),
}
