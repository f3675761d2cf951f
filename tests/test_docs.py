"""The pages say what is there: keys, codes, links, commands, examples and words are compared with the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from docs import keys
from linkspan.call.dispatch import answer
from linkspan.call.plugin import MODULES, load
from linkspan.cli.group import group
from linkspan.cni import errors, schema
from linkspan.host.memory import MemoryHost

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = keys.plugins()
SECTIONS = (
    "Example",
    "Configuration",
    "Operations",
    "Objects on the host",
    "Differences from the reference",
    "Errors",
    "Limits",
)
VERBS = ("ADD", "DEL", "CHECK", "GC", "STATUS")

CODE = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^ {4}(.*)$", re.M)
BLOCKS = re.compile(r"(?:^ {4}.*\n)+", re.M)
LINK = re.compile(r"\]\(([^)#\s]+)")

#: Words that only this project ever used, and phrases that say a plain thing in a roundabout way.
PRIVATE = (
    r"is no (?:size|network|bridge|address|name|file|port|JSON|VLAN|MAC)\b",
    r"\bthat (?:is|are) none\b",
    r"\bways? out\b",
    r"\btoo much, never too little\b",
    r"\bnothing but to itself\b",
    r"\bfrom nobody outside\b",
    r"\bthe owner is gone\b",
    r"\bforgives?\b",
    r"\bpasse[sd] (?:\w+ )?questions? on\b",
    r"\bwhere a C compiler is\b",
    r"\bway of the data\b",
    r"\brooms?\b",
    r"\bhouse\b",
    r"\bbirth\b",
    r"\bborn\b",
    r"\bstrangers?\b",
    r"\bbefalls?\b",
    r"\bsomebody\b",
    r"\bmakes? room\b",
    r"\bfenced? off\b",
    r"\bfurnish",
    r"\bit says too\b",
)


def pages() -> list[Path]:
    """Every page of the project, not of what is installed beside it."""
    return sorted(
        path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.parent.parts)
    )


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def page_of(cni_type: str) -> str:
    return text_of(PLUGINS[cni_type] / "README.md")


def section_of(cni_type: str, title: str) -> str:
    return page_of(cni_type).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def classes(base: type[errors.CniError] = errors.CniError) -> Iterator[type[errors.CniError]]:
    for each in base.__subclasses__():
        yield each
        yield from classes(each)


# --- keys -------------------------------------------------------------------------------------------------------------


def test_every_plugin_is_in_the_table_of_keys() -> None:
    """What `linkspan.call.plugin` loads and what the table of keys is made from are the same plugins."""
    assert set(PLUGINS) == set(MODULES)


@pytest.mark.parametrize("cni_type", PLUGINS)
def test_no_key_of_the_reference_is_missing(cni_type: str) -> None:
    """Users of the reference plugins find each of their keys in our schemas."""
    theirs = keys.reference()["keys"][cni_type]
    assert sorted(set(theirs) - set(keys.keys_of(PLUGINS[cni_type]))) == []


def test_page_of_keys_is_as_the_schemas_make_it() -> None:
    """If this fails, run `python docs/keys.py`."""
    assert text_of(keys.PAGE) == keys.page()


@pytest.mark.parametrize("cni_type", PLUGINS)
def test_page_names_every_key_at_every_depth(cni_type: str) -> None:
    """A page may leave out the parents of a key (`portMappings[].hostPort`), not the key."""
    named = set(CODE.findall(page_of(cni_type)))
    unnamed = [
        key
        for key in keys.keys_of(PLUGINS[cni_type])
        if not any(key == each or key.endswith(f".{each}") for each in named)
    ]
    assert unnamed == []


@pytest.mark.parametrize("cni_type", PLUGINS)
def test_page_has_the_common_order(cni_type: str) -> None:
    """The pages of all plugins have the same sections, and tell what each verb does."""
    assert tuple(re.findall(r"^## (.+)$", page_of(cni_type), re.M)) == SECTIONS
    assert tuple(re.findall(r"^### (.+)$", section_of(cni_type, "Operations"), re.M)) == VERBS


# --- faults -----------------------------------------------------------------------------------------------------------


def test_every_test_in_the_table_of_faults_exists() -> None:
    """A row says which test holds the right behaviour; it must be found after it was renamed."""
    named = re.findall(r"`(tests/[\w/-]+\.py)::(\w+)`", text_of(ROOT / "docs/faults.md"))
    assert named
    assert [f"{path}::{name}" for path, name in named if f"def {name}(" not in text_of(ROOT / path)] == []


# --- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cni_type", PLUGINS)
def test_example_of_a_plugin_is_a_whole_list_that_the_schemas_accept(cni_type: str) -> None:
    """The first block of a page's Example can be copied into a file and used."""
    block = BLOCKS.search(section_of(cni_type, "Example"))
    assert block is not None
    document = json.loads(block[0])
    assert {"cniVersion", "name", "plugins"} <= set(document)
    for plugin in document["plugins"]:
        check(document, plugin)
    delegates = [each["ipam"]["type"] for each in document["plugins"] if "ipam" in each]
    assert cni_type in (*delegates, *(each["type"] for each in document["plugins"]))


def check(document: dict[str, Any], plugin: dict[str, Any]) -> None:
    """Raise InvalidConfig if a plugin's configuration, or that of its IPAM plugin, breaks a schema."""
    whole = {"cniVersion": document["cniVersion"], "name": document["name"], **plugin}
    schema.check(whole, load(plugin["type"]).schema)
    if "ipam" in plugin:
        schema.check(whole, load(plugin["ipam"]["type"]).schema)


def test_example_of_an_error_is_what_a_plugin_answers() -> None:
    """The page of errors shows a real one."""
    block = BLOCKS.search(text_of(ROOT / "docs" / "errors.md"))
    assert block is not None
    ports = [{"hostPort": 70000, "containerPort": 80}]
    config = {"cniVersion": "1.0.0", "name": "n", "type": "portmap", "runtimeConfig": {"portMappings": ports}}
    env = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": "/n",
        "CNI_PATH": "/",
    }
    status, stdout = answer(load("portmap"), json.dumps(config).encode(), env, MemoryHost())
    assert (status, json.loads(stdout)) == (1, json.loads(block[0]))


# --- errors -----------------------------------------------------------------------------------------------------------


def test_page_of_errors_has_every_class_with_its_code() -> None:
    """The one class without a code of its own is DelegateFailed, which has another plugin's."""
    rows = re.findall(r"^\| ([^|]+) \| (\w+) \|", text_of(ROOT / "docs" / "errors.md"), re.M)
    told = {name: code for code, name in rows if name != "Class"}
    wanted = {each.__name__: str(each.code) for each in classes()} | {"DelegateFailed": "its own"}
    assert told == wanted


@pytest.mark.parametrize("cni_type", PLUGINS)
def test_page_of_a_plugin_has_only_codes_that_exist(cni_type: str) -> None:
    """Each row of a page's Errors begins with the code of some class."""
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section_of(cni_type, "Errors"), re.M)}
    assert told
    assert told <= {each.code for each in classes()}


# --- links and commands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    """Addresses on the net are not tried."""
    targets = [each for each in LINK.findall(text_of(path)) if "://" not in each]
    assert [each for each in targets if not (path.parent / each).exists()] == []


def code_in(path: Path) -> list[str]:
    return [*CODE.findall(text_of(path)), *BLOCK.findall(text_of(path))]


def test_every_promise_on_the_page_of_security_names_a_test_that_exists() -> None:
    rows = [line for line in text_of(ROOT / "docs/security.md").splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| Promise |")]
    shown = [row.strip("| ").rpartition("| ")[2] for row in promises]
    assert len(shown) > 20
    assert [each for each in shown if not _is_test(each)] == []


def _is_test(reference: str) -> bool:
    file, _, name = reference.partition("::")
    return (ROOT / file).is_file() and f"\ndef {name}(" in text_of(ROOT / file)


def test_every_dev_command_on_a_page_exists() -> None:
    """`./dev WORD` is a case of the script."""
    known = set(re.findall(r"^    (\w+)\) ", text_of(ROOT / "dev"), re.M)) | {"help"}
    named = {word for path in pages() for code in code_in(path) for word in re.findall(r"\./dev (\w+)", code)}
    assert named
    assert named <= known


def test_every_linkspan_command_on_a_page_exists() -> None:
    """`linkspan WORDS` leads through groups to a command."""
    named = {
        words
        for path in pages()
        for code in code_in(path)
        for words in re.findall(r"(?:^|/|(?<!inet)\s)linkspan ((?:[a-z][a-z-]* ?)+)", code.partition("#")[0])
    }
    assert named
    assert [words for words in sorted(named) if not leads_to_a_command(words.split())] == []


def leads_to_a_command(words: list[str]) -> bool:
    """Whether the first words are groups and their command; what follows a command are its arguments."""
    here: click.Command | None = group
    for word in words:
        if not isinstance(here, click.Group):
            break
        here = here.get_command(click.Context(here), word)
    return here is not None


def test_states_of_the_resident_on_its_page_are_what_the_command_prints() -> None:
    """Users search the page for the words that they see."""
    sources = "".join(text_of(path) for path in sorted((ROOT / "linkspan" / "cli").rglob("*.py")))
    page = text_of(ROOT / "docs" / "resident.md")
    told = CODE.findall(page.partition("`status` prints")[2].partition("\n## ")[0])
    told.remove("linkspan resident stop")
    assert told
    assert [each for each in told if each not in sources] == []


# --- words ------------------------------------------------------------------------------------------------------------


def prose() -> dict[str, str]:
    """Everything that users read: each page, and the descriptions in the schemas, which are part of error messages."""
    texts = {str(path.relative_to(ROOT)): text_of(path) for path in pages()}
    described = {
        f"{cni_type} schema": " ".join(keys.keys_of(path).values()) for cni_type, path in PLUGINS.items()
    }
    return texts | described


@pytest.mark.parametrize("phrase", PRIVATE)
def test_no_private_phrase_is_in_the_pages(phrase: str) -> None:
    """Pages are written in the field's standard terms and plain English; line breaks do not hide a phrase."""
    found = {
        name: match[0]
        for name, text in prose().items()
        if (match := re.search(phrase, " ".join(text.split()), re.IGNORECASE))
    }
    assert found == {}
