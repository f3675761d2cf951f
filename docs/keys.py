"""The page of all configuration keys, made from the schemas and the reference's list: `python docs/keys.py` writes docs/keys.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "keys.md"

#: What every plugin has by the specification; a plugin's page does not repeat it.
COMMON = ("cniVersion", "name", "type", "prevResult", "runtimeConfig", "args", "args.cni")

_INTRODUCTION = """# Every key

Made from the plugins' schemas by `python docs/keys.py`; a test holds it against them, and against the reference plugins' list of keys, of which none may be
missing. `[]` stands for an element of a list. What the keys do is on the page of each plugin. Of all plugins are `cniVersion`, `name`, `type`,
`capabilities`, `prevResult`, and `cni.dev/valid-attachments` for GC.
"""


def rooms() -> dict[str, Path]:
    """CNI type -> the folder of its plugin, by the executable that lies in it."""
    schemas = sorted((DOCS.parent / "plugins").glob("*/cni_*/schema.json"))
    return {_schema(path.parents[1])["title"]: path.parents[1] for path in schemas}


def reference() -> Mapping[str, Mapping[str, Any]]:
    """`keys`: CNI type -> key -> its type and default in the reference; `sources`: CNI type -> which reference."""
    loaded: Mapping[str, Mapping[str, Any]] = json.loads(
        (DOCS / "reference-keys.json").read_text(encoding="utf-8")
    )
    return loaded


def keys_of(room: Path) -> dict[str, str]:
    """Every key that a plugin's schema names, as a path such as `ipam.ranges[][].subnet`, with its description."""
    schema = _schema(room)
    return {path: text for path, text in _keys(schema, schema) if path not in COMMON}


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(cni_type, room) for cni_type, room in rooms().items())])


def _schema(room: Path) -> Mapping[str, Any]:
    (path,) = room.glob("cni_*/schema.json")
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


def _section(cni_type: str, room: Path) -> str:
    ours, theirs = keys_of(room), reference()["keys"].get(cni_type, {})
    source = reference()["sources"].get(cni_type, "none")
    head = f"## {cni_type}\n\nPage: [{room.name}](../plugins/{room.name}/README.md). Reference: {source}.\n"
    if not ours:
        return f"{head}\nNo keys of its own, here or there.\n"
    rows = [_row(key, theirs.get(key, "-"), text) for key, text in ours.items()]
    return "\n".join([head, "| Key | Reference | linkspan |", "|---|---|---|", *rows, ""])


def _row(key: str, *cells: str) -> str:
    return " | ".join([f"| `{key}`", *(each.replace("|", "\\|") for each in cells)]) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
