"""A JSON document against a plugin's schema: keys spelt as the schema spells them, then checked.

Runtimes send the same key in several spellings (`HostPort`, `hostPort`) because Go matches names without
regard to case. `normalize_keys` does so for the keys a schema names, at every depth, and for nothing else:
the keys of a map (sysctl names) and whatever a schema leaves open stay as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from linkspan.cni.errors import InvalidConfig

Schema = Mapping[str, Any]


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
