"""JSON values as YAML 1.2 in block style. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*(?: [A-Za-z0-9_./@-]+)*")
#: Plain words that a YAML reader takes for something else than a string.
_RESERVED = re.compile(r"true|false|yes|no|on|off|null|y|n", re.IGNORECASE)


def to_yaml(value: Any) -> str:
    """A value as a YAML document."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _member(f"{_scalar(str(key))}:", each)
    elif isinstance(value, list) and value:
        for each in value:
            first, *rest = _lines(each)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _member(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, (Mapping, list)) and value:
        yield key
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{key} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _RESERVED.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
