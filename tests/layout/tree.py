"""The sources as the rules see them: dotted module names with their paths and syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """One module: its dotted name, its path from the root, its text."""

    name: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("/__init__.py")


class Tree:
    """All modules of linkspan and of the plugins, by name."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        found = [Module(name_of(path), path, text) for path, text in texts.items()]
        self.modules = {each.name: each for each in found}

    @classmethod
    def of_project(cls) -> Tree:
        paths = sorted([*(ROOT / "linkspan").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
        return cls({str(each.relative_to(ROOT)): each.read_text(encoding="utf-8") for each in paths})

    def imports(self, module: Module) -> set[str]:
        """Modules of ours that a module names: by import, wherever it stands, or as a string."""
        return {
            target for name in _named(module.tree) if (target := self._module(name)) and target != module.name
        }

    def foreign_imports(self, module: Module) -> set[str]:
        """Top-level names of other packages that a module imports or names as a string to import."""
        return {name.partition(".")[0] for name in _named(module.tree) if not self._module(name)}

    def _module(self, name: str) -> str:
        """The module of ours that a dotted name is, or is a member of, "" if neither."""
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        return name


def name_of(path: str) -> str:
    """The dotted name of the module at a path from the root."""
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return ".".join(parts[2:] if parts[0] == "plugins" else parts)


def _named(tree: ast.AST) -> Iterator[str]:
    """Dotted names in import statements and in strings that look like one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_dotted_name(node.value):
            yield node.value
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            first = str(node.values[0].value).rstrip(".")
            if first.startswith("pyroute2"):
                yield first


def _is_dotted_name(text: str) -> bool:
    """Whether a string could name a module of ours, or of a library with a module of its own."""
    words = text.split(".")
    known = words[0] in ("linkspan", "pyroute2", "iptc") or words[0].startswith("cni_")
    return known and all(word.isidentifier() for word in words)
