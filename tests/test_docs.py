"""The pages say what is there: keys, codes, links and commands are held against the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs import keys
from linkspan.call.plugin import MODULES
from linkspan.cli.main import main as command
from linkspan.cni import errors

ROOT = Path(__file__).resolve().parent.parent
ROOMS = keys.rooms()
SECTIONS = ("Configuration", "What it creates", "Result", "Errors", "Promises", "Differences from the reference", "Example")  # fmt: skip

CODE = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^ {4}(.*)$", re.M)
LINK = re.compile(r"\]\(([^)#\s]+)")


def pages() -> list[Path]:
    """Every page of the project, not of what is installed beside it."""
    return sorted(
        path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.parent.parts)
    )


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def page_of(cni_type: str) -> str:
    return text_of(ROOMS[cni_type] / "README.md")


def classes(base: type[errors.CniError] = errors.CniError) -> Iterator[type[errors.CniError]]:
    for each in base.__subclasses__():
        yield each
        yield from classes(each)


# --- keys -------------------------------------------------------------------------------------------------------------


def test_every_plugin_has_a_room_that_the_pages_know() -> None:
    """What `linkspan.call.plugin` loads and what the table of keys is made from are the same plugins."""
    assert set(ROOMS) == set(MODULES)


@pytest.mark.parametrize("cni_type", ROOMS)
def test_no_key_of_the_reference_is_missing(cni_type: str) -> None:
    """Whoever comes from the reference plugins finds each of their keys in our schemas."""
    theirs = keys.reference()["keys"][cni_type]
    assert sorted(set(theirs) - set(keys.keys_of(ROOMS[cni_type]))) == []


def test_page_of_keys_is_as_the_schemas_make_it() -> None:
    """If this fails, run `python docs/keys.py`."""
    assert text_of(keys.PAGE) == keys.page()


@pytest.mark.parametrize("cni_type", ROOMS)
def test_page_names_every_key_at_every_depth(cni_type: str) -> None:
    """A page may leave out what a key stands in (`portMappings[].hostPort`), not the key."""
    named = set(CODE.findall(page_of(cni_type)))
    unnamed = [
        key
        for key in keys.keys_of(ROOMS[cni_type])
        if not any(key == each or key.endswith(f".{each}") for each in named)
    ]
    assert unnamed == []


@pytest.mark.parametrize("cni_type", ROOMS)
def test_page_has_the_common_order(cni_type: str) -> None:
    """All plugins' pages have the same sections, so that a reader knows where to look."""
    assert tuple(re.findall(r"^## (.+)$", page_of(cni_type), re.M)) == SECTIONS


# --- errors -----------------------------------------------------------------------------------------------------------


def test_page_of_errors_has_every_class_with_its_code() -> None:
    """The one class without a code of its own is DelegateFailed, which has another plugin's."""
    rows = re.findall(r"^\| ([^|]+) \| (\w+) \|", text_of(ROOT / "docs" / "errors.md"), re.M)
    told = {name: code for code, name in rows if name != "Class"}
    wanted = {each.__name__: str(each.code) for each in classes()} | {"DelegateFailed": "its own"}
    assert told == wanted


@pytest.mark.parametrize("cni_type", ROOMS)
def test_page_of_a_plugin_has_only_codes_that_exist(cni_type: str) -> None:
    """Each row of a page's Errors begins with the code of some class."""
    section = page_of(cni_type).partition("\n## Errors\n")[2].partition("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.M)}
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
        for words in re.findall(r"(?:^|/|(?<!inet)\s)linkspan ((?:[a-z]+ ?)+)", code.partition("#")[0])
    }
    assert named
    assert [words for words in sorted(named) if not leads_to_a_command(words.split())] == []


def leads_to_a_command(words: list[str]) -> bool:
    """Whether the first words are groups and their command; what follows a command are its arguments."""
    here: click.Command | None = command
    for word in words:
        if not isinstance(here, click.Group):
            break
        here = here.commands.get(word)
    return here is not None
