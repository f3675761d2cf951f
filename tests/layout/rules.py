"""The rules of the layout. Each returns its violations as sentences; an empty list means that the rule holds."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from tests.layout.tree import Module, Tree

#: The registry names the plugins' modules and imports one when a call needs it; nothing else below the plugins may.
REGISTRY = "linkspan.call.plugin"
#: The modules of a plugin's package. Subpackages of `steps` and those in SUBPACKAGES are its own affair.
FURNITURE = frozenset(
    ["config", "facts", "plan", "steps", "verbs", "check", "result", "rules_iptables", "rules_nftables", "takeover"]
)  # fmt: skip
SUBPACKAGES: Mapping[str, frozenset[str]] = {
    "cni_dns": frozenset({"server"}),
    "cni_host_local_ipam": frozenset({"leases"}),
}
#: What decides and takes no host.
PURE = re.compile(r"^cni_\w+\.(config|plan|result|rules_\w+)$")
MODULE_LINES, FUNCTION_LINES, LINE_WIDTH = 350, 40, 110

Layers = Mapping[str, frozenset[str]]


def layers_of(architecture: str) -> Layers:
    """The table under "Layers" in ARCHITECTURE.md: package -> packages that it may import, by their names in backticks."""
    section = architecture.split("## Layers")[1].split("\n## ", maxsplit=1)[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    return {
        package: frozenset(re.findall(r"`([^`]+)`", below))
        for packages, below in rows
        for package in re.findall(r"`([^`]+)`", packages)
    }


def package_of(module: str, layers: Layers) -> str:
    """The row of the table that a module belongs to: the longest listed name it begins with, `plugins/*` for the others."""
    short = module.removeprefix("linkspan.")
    listed = [each for each in layers if short == each or short.startswith(f"{each}.")]
    if listed:
        return max(listed, key=len)
    return "linkspan" if module.startswith("linkspan") else "plugins/*"


def against_the_layers(tree: Tree, layers: Layers) -> list[str]:
    """Imports, also inside functions and by name in strings, that point against the table."""
    found = []
    for module in tree.modules.values():
        here = package_of(module.name, layers)
        for target in sorted(tree.imports(module)):
            there = package_of(target, layers)
            same_plugin = module.name.startswith("cni_") and target.startswith(
                f"{module.name.split('.')[0]}."
            )
            named_only = module.name == REGISTRY and there == "plugins/*"
            if there not in (here, "linkspan", *layers.get(here, ())) and not (same_plugin or named_only):
                found.append(f"{module.name} ({here}) imports {target} ({there})")
    return found


def circles(tree: Tree) -> list[str]:
    """Groups of modules that import each other, directly or through others."""
    graph = {
        name: {each for each in tree.imports(module) if name != REGISTRY or each.startswith("linkspan.")}
        for name, module in tree.modules.items()
    }
    reach = {name: _reachable(name, graph) for name in graph}
    return sorted(
        f"{one} and {other}" for one in graph for other in reach[one] if one < other and one in reach[other]
    )


def _reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for each in graph[waiting.pop()] - seen:
            seen.add(each)
            waiting.append(each)
    return seen


def users_of(library: str, tree: Tree) -> set[str]:
    """The modules that import a foreign library, also by name in a string."""
    return {each.name for each in tree.modules.values() if library in tree.foreign_imports(each)}


def pure_modules_with_a_host(tree: Tree) -> list[str]:
    """Modules that decide and yet take a host, or import one."""
    found = []
    for module in tree.modules.values():
        if not PURE.match(module.name):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.arg) and node.arg == "host":
                found.append(f"{module.name}:{node.lineno} takes a host")
            if isinstance(node, ast.ImportFrom) and any(each.name == "Host" for each in node.names):
                found.append(f"{module.name}:{node.lineno} imports Host")
        found += [
            f"{module.name} imports {each}"
            for each in tree.imports(module)
            if each.startswith(("linkspan.host.linux", "linkspan.host.memory"))
        ]
    return found


def imports_between_plugins(tree: Tree) -> list[str]:
    """Plugins that import each other."""
    return [
        f"{module.name} imports {target}"
        for module in tree.modules.values()
        for target in tree.imports(module)
        if module.name.startswith("cni_")
        and target.startswith("cni_")
        and module.name.partition(".")[0] != target.partition(".")[0]
    ]


def odd_furniture(tree: Tree) -> list[str]:
    """Modules at the top of a plugin's package that other plugins would not have."""
    found = []
    for name in tree.modules:
        package, _, rest = name.partition(".")
        top = rest.partition(".")[0]
        allowed = FURNITURE | SUBPACKAGES.get(package, frozenset())
        if package.startswith("cni_") and top and top not in allowed:
            found.append(name)
    return found


def repeated_literals(tree: Tree, literals: Iterable[str]) -> list[str]:
    """Literals that stand in more than one module, docstrings aside."""
    found = []
    for literal in literals:
        places = sorted(each.name for each in tree.modules.values() if literal in set(_strings(each.tree)))
        if len(places) > 1:
            found.append(f"{literal!r} stands in {', '.join(places)}")
    return found


def _strings(tree: ast.Module) -> Iterator[str]:
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
        if isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def oversized(tree: Tree) -> list[str]:
    """Modules, functions and lines that are too long."""
    found = []
    for module in tree.modules.values():
        lines = module.text.splitlines()
        if len(lines) > MODULE_LINES:
            found.append(f"{module.path}: {len(lines)} lines")
        found += [
            f"{module.path}:{at}: {len(line)} characters"
            for at, line in enumerate(lines, 1)
            if len(line) > LINE_WIDTH
        ]
        found += [
            f"{module.path}:{node.lineno}: {node.name} has {size} lines"
            for node in ast.walk(module.tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            if (size := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
        ]
    return found


def silent_packages(tree: Tree) -> list[str]:
    """Packages whose `__init__` does not say what lives there."""
    return [
        each.name
        for each in tree.modules.values()
        if each.is_package and not (ast.get_docstring(each.tree) or "").rstrip().endswith(".")
    ]


def mirror_of(module: Module) -> str:
    """The path of the unit tests of a module."""
    folders = module.path.split("/")
    folders = ["plugins", folders[1], *folders[3:]] if folders[0] == "plugins" else folders[1:]
    return "/".join(["tests", "unit", *folders[:-1], f"test_{folders[-1]}"])


def without_mirror(tree: Tree, tests: Iterable[str], exempt: Mapping[str, str]) -> list[str]:
    """Modules with neither unit tests of their name nor a reason in `exempt`, and reasons that are not needed.

    `exempt` is module or package -> where its tests are.
    """
    present = set(tests)
    missing = {
        each.name
        for each in tree.modules.values()
        if not each.is_package and not each.path.endswith("/__main__.py") and mirror_of(each) not in present
    }
    excused = {each: _excuse(each, exempt) for each in missing}
    return [
        *(f"{each} has no unit tests and no reason" for each in sorted(missing) if not excused[each]),
        *(f"{each} needs no reason" for each in sorted(exempt.keys() - set(excused.values()))),
    ]


def _excuse(module: str, exempt: Mapping[str, str]) -> str:
    """The entry of `exempt` that a module falls under, or ""."""
    return next((each for each in exempt if module == each or module.startswith(f"{each}.")), "")


def undocumented(tree: Tree) -> list[str]:
    """Public functions, classes and methods without a docstring; a step's `do` and protocol stubs explain themselves."""
    return [
        f"{module.path}:{node.lineno} {node.name}"
        for module in tree.modules.values()
        for node in _public(module.tree)
        if not ast.get_docstring(node) and not _is_small_member(node)
    ]


def _public(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def _is_small_member(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return isinstance(node, ast.FunctionDef) and (node.name == "do" or isinstance(node.body[0], ast.Expr))


#: Names of the private language that the project once had.
OLD_NAMES = frozenset(
    [
        "room",
        "shell",
        "birth",
        "look",
        "handover",
        "questions",
        "holder",
        "refusals",
        "see_everything",
        "_is_of_our_kind",
        "fold",
        "Furnish",
        "BeGateway",
        "Open",
        "ways_out",
        "Warm",
        "wanted",
        "make_room",
        "SIDE",
        "SIDECAR_DIR",
        "quick",
        "careful",
        "has_room_for",
        "aside",
        "strangers",
        "FakeHost",
    ]
)


def old_names(tree: Tree) -> list[str]:
    """Functions, classes, parameters, variables and modules that still have one of the old names."""
    return sorted(
        {
            f"{module.name}: {name}"
            for module in tree.modules.values()
            for name in (*_identifiers(module.tree), *module.name.split("."))
            if name in OLD_NAMES
        }
    )


def _identifiers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


# --- advice -----------------------------------------------------------------------------------------------------

#: Packages whose errors plugins answer with; the command's have a `fix` of their own.
_ANSWERING = ("linkspan.runtime", "linkspan.cli", "linkspan.host.memory")
#: Which argument the details are: the second, but of errors that are made of something else.
_DETAILS = {"KernelRefused": 2}


def advice(tree: Tree, errors: Collection[str]) -> set[str]:
    """The texts of `details` in the sources, each with `{}` for what is put in. `errors` are the classes."""
    return {
        text
        for module in tree.modules.values()
        if not module.name.startswith(_ANSWERING)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and (text := _details_of(node, errors))
    }


def _details_of(call: ast.Call, errors: Collection[str]) -> str:
    """The text of the details that an error is made with, "" for another call or details made elsewhere."""
    made_of = isinstance(call.func, ast.Attribute) and call.func.attr == "of"
    named = call.func.value if made_of and isinstance(call.func, ast.Attribute) else call.func
    name = named.id if isinstance(named, ast.Name) else ""
    if name not in errors:
        return ""
    at = _DETAILS.get(name, 1)
    given = call.args[at] if len(call.args) > at else None
    return _template(given or next((each.value for each in call.keywords if each.arg == "details"), None))


def _template(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
    return ""
