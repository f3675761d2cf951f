"""The rooms are alike, and the borders between them hold; symmetry is a fact here, not a habit."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = {
    "bridge": ("bridge", "cni_bridge"),
    "dns": ("dns", "cni_dns"),
    "firewall": ("firewall", "cni_firewall"),
    "host-local-ipam": ("host-local", "cni_host_local_ipam"),
    "loopback": ("loopback", "cni_loopback"),
    "portmap": ("portmap", "cni_portmap"),
    "tuning": ("tuning", "cni_tuning"),
}
#: library -> the only modules that may import it
BORDERS = {
    "iptc": {"linkspan/host/linux/iptables/legacy.py"},
}


def sources() -> list[Path]:
    return sorted([*(ROOT / "linkspan").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("folder", PLUGINS)
def test_plugin_room_has_page_executable_and_package(folder: str) -> None:
    """Every plugin's folder is exactly a README, an executable and one package with a schema and verbs."""
    executable, package = PLUGINS[folder]
    room = ROOT / "plugins" / folder
    assert {each.name for each in room.iterdir() if each.name != "__pycache__"} == {
        "README.md",
        executable,
        package,
    }
    assert os.access(room / executable, os.X_OK)
    assert {"schema.json", "verbs.py", "__init__.py"} <= {each.name for each in (room / package).iterdir()}


@pytest.mark.parametrize("folder", PLUGINS)
def test_page_names_every_key_of_the_schema(folder: str) -> None:
    """A key that is not on the plugin's page does not exist for its users."""
    room = ROOT / "plugins" / folder
    schema = json.loads((room / PLUGINS[folder][1] / "schema.json").read_text(encoding="utf-8"))
    page = (room / "README.md").read_text(encoding="utf-8")
    common = {"cniVersion", "name", "type", "prevResult", "runtimeConfig", "args"}
    assert [key for key in schema.get("properties", {}) if key not in common and f"`{key}`" not in page] == []


@pytest.mark.parametrize("library", BORDERS)
def test_library_is_imported_in_its_own_module_only(library: str) -> None:
    """Untyped calls of a foreign library do not spread."""
    users = {
        str(path.relative_to(ROOT))
        for path in sources()
        for name in imported(path)
        if name.split(".")[0] == library
    }
    assert users <= BORDERS[library]


def test_no_plugin_imports_another() -> None:
    """Dependencies point one way: plugins to linkspan, never to each other, and linkspan to none of them."""
    packages = {package for _, package in PLUGINS.values()}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        for name in imported(path)
        if name.split(".")[0] in packages and name.split(".")[0] not in path.parts
    ]
    assert wrong == []


def test_every_public_function_says_what_it_does() -> None:
    """A docstring for every public function, class and method outside of test code."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources()
        for node in _public(ast.parse(path.read_text(encoding="utf-8")))
        if not ast.get_docstring(node) and not _is_small_member(node)
    ]
    assert silent == []


def _public(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions, and public classes with their methods; what is inside a function is nobody else's."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def _is_small_member(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Protocol members declared with `...` and a step's `do` explain themselves by their contract."""
    return isinstance(node, ast.FunctionDef) and (
        node.name in ("do", "undo") or isinstance(node.body[0], ast.Expr)
    )


#: literal -> the one module that has it
LITERALS = {
    "/run/linkspan": "linkspan/paths.py",
    "/var/lib/linkspan": "linkspan/paths.py",
    "/proc/self/ns/net": "linkspan/paths.py",
    "SO_NETNS_COOKIE": "linkspan/paths.py",
}


@pytest.mark.parametrize("literal", LITERALS)
def test_literal_is_written_in_one_module(literal: str) -> None:
    """What is written twice is changed once; messages and prose name what the constant holds."""
    users = {str(path.relative_to(ROOT)) for path in sources() if literal in _code(path)}
    assert users == {LITERALS[literal]}


def test_the_native_launcher_is_given_its_paths_by_the_build() -> None:
    source = (ROOT / "linkspan/launch/launcher.c").read_text(encoding="utf-8")
    assert "/run/linkspan" not in source


def _code(path: Path) -> str:
    """A module without its comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [each for each in node.body if not _is_text(each)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
