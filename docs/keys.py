"""Generates the page of all configuration keys from the schemas and the reference's list: `python docs/keys.py` writes docs/keys.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "keys.md"

#: Keys that the specification defines for every plugin; the pages of the plugins do not repeat them.
COMMON = ("cniVersion", "name", "type", "prevResult", "runtimeConfig", "args", "args.cni")

_INTRODUCTION = """# Configuration keys

Every key of every plugin, compared with the reference plugins. `[]` stands for an element of a list. The page of each plugin explains
its keys in detail. Every plugin also has `cniVersion`, `name`, `type`, `capabilities`, `prevResult` and, for GC,
`cni.dev/valid-attachments`.

This page is generated from the plugins' schemas by `python docs/keys.py`. Tests verify that it is up to date and that no key of the
reference plugins is missing.
"""


def plugins() -> dict[str, Path]:
    """CNI type -> the directory of its plugin."""
    schemas = sorted((DOCS.parent / "plugins").glob("*/cni_*/schema.json"))
    return {_schema(path.parents[1])["title"]: path.parents[1] for path in schemas}


def reference() -> Mapping[str, Mapping[str, Any]]:
    """`keys`: CNI type -> key -> type and default in the reference plugin; `sources`: CNI type -> name and release of that plugin."""
    loaded: Mapping[str, Mapping[str, Any]] = json.loads(
        (DOCS / "reference-keys.json").read_text(encoding="utf-8")
    )
    return loaded


def keys_of(plugin: Path) -> dict[str, str]:
    """Every key that a plugin's schema names, as a path such as `ipam.ranges[][].subnet`, with its description."""
    schema = _schema(plugin)
    return {path: text for path, text in _keys(schema, schema) if path not in COMMON}


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(cni_type, plugin) for cni_type, plugin in plugins().items())])


def _schema(plugin: Path) -> Mapping[str, Any]:
    (path,) = plugin.glob("cni_*/schema.json")
    loaded: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _keys(schema: Mapping[str, Any], root: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, given in schema.get("properties", {}).items():
        value = _resolved(given, root)
        key = f"{path}.{name}" if path else name
        yield key, value.get("description", "")
        yield from _keys(value, root, key)
    if "items" in schema:
        yield from _keys(_resolved(schema["items"], root), root, f"{path}[]")


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    named: Mapping[str, Any] = (
        root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    )
    return named


def _section(cni_type: str, plugin: Path) -> str:
    ours, theirs = keys_of(plugin), reference()["keys"].get(cni_type, {})
    source = reference()["sources"].get(cni_type, "none")
    head = (
        f"## {cni_type}\n\nPage: [{plugin.name}](../plugins/{plugin.name}/README.md). Reference: {source}.\n"
    )
    if not ours:
        return f"{head}\nNeither has keys of its own.\n"
    rows = [_row(key, theirs.get(key, "-"), text) for key, text in ours.items()]
    return "\n".join([head, "| Key | Reference | linkspan |", "|---|---|---|", *rows, ""])


def _row(key: str, *cells: str) -> str:
    return " | ".join([f"| `{key}`", *(each.replace("|", "\\|") for each in cells)]) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
