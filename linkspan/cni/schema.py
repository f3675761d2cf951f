"""A JSON document against a plugin's schema: keys spelt as the schema spells them, then checked.

Runtimes send the same key in several spellings (`HostPort`, `hostPort`) because Go matches names without
regard to case. `normalize_keys` does so for the keys a schema names, at every depth, and for nothing else:
the keys of a map (sysctl names) and whatever a schema leaves open stay as they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from functools import cache
from typing import Any

from linkspan.cni.errors import InvalidConfig

Schema = Mapping[str, Any]
#: Letters of a key: below the first it is never a slip for another, from the second on it may differ in two.
_SHORTEST_SLIP, _TWO_SLIPS = 4, 8


@cache
def load(path: str) -> Schema:
    """The schema in the file at `path`."""
    import json

    with open(path, encoding="utf-8") as file:
        loaded: Schema = json.load(file)
    return loaded


def normalize_keys(document: Any, schema: Schema, root: Schema | None = None) -> Any:
    """`document` with the keys its schema names respelt; a null member is dropped, as null means default.

    Of two spellings of one key the later wins, as in Go's encoding/json.
    """
    root = schema if root is None else root
    schema = resolved(schema, root)
    if isinstance(document, Mapping) and "properties" in schema:
        return _normalized(document, schema, root)
    if isinstance(document, list) and "items" in schema:
        return [normalize_keys(each, schema["items"], root) for each in document]
    return document


def _normalized(document: Mapping[str, Any], schema: Schema, root: Schema) -> dict[str, Any]:
    names = {name.lower(): name for name in schema["properties"]}
    normalized: dict[str, Any] = {}
    for key, value in document.items():
        name = names.get(key.lower())
        if name is None:
            normalized[key] = value
        elif value is None:
            normalized.pop(name, None)
        else:
            normalized[name] = normalize_keys(value, schema["properties"][name], root)
    return normalized


def near_misses(document: Any, schema: Schema, *others: Schema) -> Iterator[tuple[str, str]]:
    """(JSON path, known key) of each key that `schema` and `others` do not name, but would with few letters
    changed.

    One letter, or two of a key of eight or more; shorter keys than four letters are never taken for others.
    """
    return _near_misses(document, schema, schema, "$", {key for each in others for key in each["properties"]})


def _near_misses(
    value: Any, schema: Schema, root: Schema, path: str, more: Set[str]
) -> Iterator[tuple[str, str]]:
    schema = resolved(schema, root)
    if isinstance(value, list) and "items" in schema:
        for at, each in enumerate(value):
            yield from _near_misses(each, schema["items"], root, f"{path}[{at}]", frozenset())
    if not isinstance(value, Mapping) or "properties" not in schema:
        return
    known = schema["properties"]
    for key, each in value.items():
        if key in known:
            yield from _near_misses(each, known[key], root, f"{path}.{key}", frozenset())
        elif key not in more:
            meant = next((name for name in (*known, *more) if _is_slip(key.lower(), name.lower())), None)
            if meant is not None:
                yield f"{path}.{key}", meant


def _is_slip(key: str, name: str) -> bool:
    if min(len(key), len(name)) < _SHORTEST_SLIP or abs(len(key) - len(name)) > 2:
        return False
    return _distance(key, name) <= (2 if len(name) >= _TWO_SLIPS else 1)


def _distance(one: str, other: str) -> int:
    """How many letters must be inserted, removed, replaced, or exchanged with the next one.

    The optimal string alignment distance.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        earlier, before, row = before, row, [at]
        for column, another in enumerate(other, 1):
            best = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != another))
            if at > 1 and column > 1 and one[at - 2] + letter == another + other[column - 2]:
                best = min(best, earlier[column - 2] + 1)
            row.append(best)
    return row[-1]


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema, or what its `$ref` names in `root`."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Any = root
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    found: Schema = target
    return found


def check(document: Any, schema_path: str) -> None:
    """Raise InvalidConfig with the JSON path, the value and the fix if `document` breaks the schema at
    `schema_path`.
    """
    from jsonschema.exceptions import best_match

    error = best_match(validator(schema_path).iter_errors(document))
    if error is None:
        return
    value = _shown(error.instance)
    expected = error.schema.get("description", "") if isinstance(error.schema, Mapping) else ""
    raise InvalidConfig(
        f"{error.json_path}: {_problem(error.validator, error.validator_value, error.message, value)}",
        expected,
    )


@cache
def validator(schema_path: str) -> Any:
    """Jsonschema's validator for the schema at `schema_path`, made once for each process."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load(schema_path), format_checker=Draft202012Validator.FORMAT_CHECKER)


def _problem(keyword: object, expected: Any, message: str, value: str) -> str:
    """Jsonschema's sentence, shortened for the keywords whose own text repeats a whole document."""
    if keyword == "type":
        kinds = expected if isinstance(expected, str) else " or ".join(expected)
        return f"{value} is not of type {kinds}"
    if keyword == "enum":
        return f"{value} is not one of {', '.join(repr(each) for each in expected)}"
    if keyword in ("minimum", "maximum"):
        return f"{value} is {'below' if keyword == 'minimum' else 'above'} {expected}"
    return message if len(message) <= 120 else f"{value} violates the schema rule {keyword!r}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
