"""The layout of the sources: each rule holds for the project, and finds a violation in a tree that has one."""

from __future__ import annotations

import ast
import json
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.layout import rules
from tests.layout.tree import ROOT, Module, Tree

PLUGINS = {
    "bridge": ("bridge", "cni_bridge"),
    "dns": ("dns", "cni_dns"),
    "firewall": ("firewall", "cni_firewall"),
    "host-local-ipam": ("host-local", "cni_host_local_ipam"),
    "loopback": ("loopback", "cni_loopback"),
    "portmap": ("portmap", "cni_portmap"),
    "tuning": ("tuning", "cni_tuning"),
}
#: library -> exactly the modules that import it
BORDERS = {
    "pyroute2": {"linkspan.host.linux.netlink.events"},
    "iptc": {"linkspan.host.linux.iptables.legacy"},
}
LITERALS = ("/run/linkspan", "/var/lib/linkspan", "inet linkspan", "eth0", "/proc/self/ns/net", "cni0")


@pytest.fixture(scope="module")
def project() -> Tree:
    return Tree.of_project()


@pytest.fixture(scope="module")
def layers() -> rules.Layers:
    return rules.layers_of((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))


def tree(**texts: str) -> Tree:
    """A tree of modules by their paths, with `__` for `/`."""
    return Tree({f"{path.replace('__', '/')}.py": text for path, text in texts.items()})


# --- 1: layers --------------------------------------------------------------------------------------------------


def test_imports_point_one_way(project: Tree, layers: rules.Layers) -> None:
    assert rules.against_the_layers(project, layers) == []


@pytest.mark.parametrize(
    "text",
    ["from linkspan.call import b", "def f():\n    import linkspan.call.b", "NAME = 'linkspan.call.b'"],
    ids=["at the top", "inside a function", "as a string"],
)
def test_an_import_against_the_layers_is_found(layers: rules.Layers, text: str) -> None:
    wrong = tree(linkspan__cni__a=text, linkspan__call__b="")
    assert rules.against_the_layers(wrong, layers) == ["linkspan.cni.a (cni) imports linkspan.call.b (call)"]


def test_every_package_stands_in_the_table(project: Tree, layers: rules.Layers) -> None:
    packages = {rules.package_of(each, layers) for each in project.modules if each != "linkspan"}
    top = {each for each in project.modules if each.count(".") == 1 and project.modules[each].is_package}
    unlisted = {each for each in top if rules.package_of(each, layers) == "linkspan"} - {"linkspan.host"}
    assert (packages - {"linkspan"} - layers.keys(), unlisted) == (set(), set())


def test_no_import_goes_in_a_circle(project: Tree) -> None:
    assert rules.circles(project) == []


def test_a_circle_is_found() -> None:
    wrong = tree(
        linkspan__a="import linkspan.b", linkspan__b="import linkspan.c", linkspan__c="import linkspan.a"
    )
    assert "linkspan.a and linkspan.b" in rules.circles(wrong)


# --- 2: foreign libraries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", BORDERS)
def test_a_library_is_imported_in_its_own_module_only(project: Tree, library: str) -> None:
    assert rules.users_of(library, project) == BORDERS[library]


def test_an_import_of_a_library_by_name_is_found() -> None:
    wrong = tree(linkspan__a="f(f'pyroute2.netlink.{name}')", linkspan__b="import iptc")
    assert (rules.users_of("pyroute2", wrong), rules.users_of("iptc", wrong)) == (
        {"linkspan.a"},
        {"linkspan.b"},
    )


# --- 3 to 5: plugins --------------------------------------------------------------------------------------------


def test_what_decides_takes_no_host(project: Tree) -> None:
    assert rules.pure_modules_with_a_host(project) == []


def test_a_plan_that_takes_a_host_is_found() -> None:
    wrong = tree(plugins__x__cni_x__plan="def plan_for(host): ...")
    assert rules.pure_modules_with_a_host(wrong) == ["cni_x.plan:1 takes a host"]


def test_no_plugin_imports_another(project: Tree) -> None:
    assert rules.imports_between_plugins(project) == []


def test_a_plugin_that_imports_another_is_found() -> None:
    wrong = tree(plugins__x__cni_x__plan="import cni_y.plan", plugins__y__cni_y__plan="")
    assert rules.imports_between_plugins(wrong) == ["cni_x.plan imports cni_y.plan"]


def test_plugins_have_the_same_modules(project: Tree) -> None:
    assert rules.odd_furniture(project) == []


def test_an_odd_module_is_found() -> None:
    assert rules.odd_furniture(tree(plugins__x__cni_x__helpers="")) == ["cni_x.helpers"]


@pytest.mark.parametrize("folder", PLUGINS)
def test_a_plugin_is_a_page_an_executable_and_a_package(folder: str) -> None:
    executable, package = PLUGINS[folder]
    found = ROOT / "plugins" / folder
    assert {each.name for each in found.iterdir() if each.name != "__pycache__"} == {
        "README.md",
        executable,
        package,
    }
    assert os.access(found / executable, os.X_OK)
    assert {"schema.json", "verbs.py", "__init__.py"} <= {each.name for each in (found / package).iterdir()}


@pytest.mark.parametrize("folder", PLUGINS)
def test_page_names_every_key_of_the_schema(folder: str) -> None:
    """A key that is not on the plugin's page does not exist for its users."""
    found = ROOT / "plugins" / folder
    schema = json.loads((found / PLUGINS[folder][1] / "schema.json").read_text(encoding="utf-8"))
    page = (found / "README.md").read_text(encoding="utf-8")
    common = {"cniVersion", "name", "type", "prevResult", "runtimeConfig", "args"}
    assert [key for key in schema.get("properties", {}) if key not in common and f"`{key}`" not in page] == []


# --- 6: what lists the plugins ----------------------------------------------------------------------------------


def test_build_and_types_know_exactly_the_plugins() -> None:
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    document = toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {f"plugins/{each.name}" for each in (ROOT / "plugins").iterdir() if each.is_dir()}
    packages = {f"plugins/{folder}/{package}" for folder, (_, package) in PLUGINS.items()}
    build = document["tool"]["hatch"]["build"]
    on_mypy_path = document["tool"]["mypy"]["mypy_path"].split(":")
    assert folders == {f"plugins/{each}" for each in PLUGINS}
    assert set(build["dev-mode-dirs"]) == {".", *folders}
    assert set(build["targets"]["wheel"]["packages"]) == {"linkspan", *packages}
    assert {each.removeprefix("$MYPY_CONFIG_FILE_DIR").strip("/") for each in on_mypy_path} == {"", *folders}


# --- 7: literals ------------------------------------------------------------------------------------------------


def test_a_literal_stands_in_one_module(project: Tree) -> None:
    assert rules.repeated_literals(project, LITERALS) == []


def test_a_repeated_literal_is_found_and_a_docstring_does_not_count() -> None:
    wrong = tree(linkspan__a="X = 'eth0'", linkspan__b="Y = 'eth0'", linkspan__c="'''eth0'''")
    assert rules.repeated_literals(wrong, ["eth0"]) == ["'eth0' stands in linkspan.a, linkspan.b"]


# --- 8: sizes ---------------------------------------------------------------------------------------------------


def test_modules_functions_and_lines_are_short(project: Tree) -> None:
    assert rules.oversized(project) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\n" * 351, "linkspan/a.py: 351 lines"),
        ("def f():\n" + "    x = 1\n" * 40, "linkspan/a.py:1: f has 41 lines"),
        (f"# {'x' * 109}", "linkspan/a.py:1: 111 characters"),
    ],
    ids=["module", "function", "line"],
)
def test_what_is_too_long_is_found(text: str, problem: str) -> None:
    assert rules.oversized(tree(linkspan__a=text)) == [problem]


# --- 9: unit tests ----------------------------------------------------------------------------------------------


def test_every_module_has_its_unit_tests_or_a_reason(project: Tree) -> None:
    tests = {str(each.relative_to(ROOT)) for each in (ROOT / "tests/unit").rglob("test_*.py")}
    exempt = json.loads((ROOT / "tests/layout/without_unit_tests.json").read_text(encoding="utf-8"))
    assert rules.without_mirror(project, tests, exempt) == []


def test_a_module_without_unit_tests_and_an_idle_reason_are_found() -> None:
    wrong = tree(linkspan__cni__a="", linkspan__cni__b="")
    assert rules.without_mirror(wrong, ["tests/unit/cni/test_a.py"], {"linkspan.cni.a": "old"}) == [
        "linkspan.cni.b has no unit tests and no reason",
        "linkspan.cni.a needs no reason",
    ]


# --- 10: sentences ----------------------------------------------------------------------------------------------


def test_every_package_says_what_lives_there(project: Tree) -> None:
    assert rules.silent_packages(project) == []


def test_a_silent_package_is_found() -> None:
    assert rules.silent_packages(Tree({"linkspan/a/__init__.py": ""})) == ["linkspan.a"]


def test_every_public_function_says_what_it_does(project: Tree) -> None:
    assert rules.undocumented(project) == []


def test_an_undocumented_function_is_found() -> None:
    assert rules.undocumented(tree(linkspan__a="def f():\n    return 1")) == ["linkspan/a.py:1 f"]


# --- advice -----------------------------------------------------------------------------------------------------


def test_the_texts_of_details_are_found_wherever_they_are_given() -> None:
    made = tree(
        linkspan__a="""
            InvalidConfig("what", f"set {key} to {value}")
            IoFailure("what", details="free " "space")
            KernelRefused("do it", 1, "load a module")
            AttachmentWrong.of(found, "add it again")
            InvalidConfig("what", passed_on)
            Other("what", "not an error")
        """.replace("            ", "")
    )
    kinds = ("InvalidConfig", "IoFailure", "KernelRefused", "AttachmentWrong")
    assert rules.advice(made, kinds) == {
        "set {} to {}",
        "free space",
        "load a module",
        "add it again",
    }


# --- names ------------------------------------------------------------------------------------------------------


def test_old_names_are_gone_as_whole_identifiers(project: Tree) -> None:
    assert rules.old_names(project) == []


def test_an_old_name_is_found() -> None:
    assert rules.old_names(tree(linkspan__a="class Furnish: ...")) == ["linkspan.a: Furnish"]


def test_the_mirror_of_a_plugin_s_module_leaves_its_package_out() -> None:
    module = Module("cni_x.leases.files", "plugins/x/cni_x/leases/files.py", "")
    assert rules.mirror_of(module) == "tests/unit/plugins/x/leases/test_files.py"
    assert Path(rules.mirror_of(module)).suffix == ".py"
    assert isinstance(module.tree, ast.Module)
