"""The manual page has what the command has, in a form that man shows without complaint."""

from __future__ import annotations

import re
import shutil
import subprocess

import click
import pytest

from docs import man
from linkspan.cli.group import group as command
from tests.harness import tools


def leaves(group: click.Group, words: tuple[str, ...] = ("linkspan",)) -> dict[str, click.Command]:
    """Every command by its words."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        below, each = (*words, name), group.get_command(context, name)
        assert each is not None
        found |= leaves(each, below) if isinstance(each, click.Group) else {" ".join(below): each}
    return found


COMMANDS = leaves(command)


def section_of(words: str) -> str:
    """What the page says of a command, as it is read."""
    plain = man.page().replace("\\-", "-")
    return re.split(r"\n\.S[SH] ", plain.partition(f'.SS "{words}"\n')[2])[0]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_on_the_page_with_each_of_its_options(words: str) -> None:
    section = section_of(words)
    assert section.startswith(f"\\fB{words}\\fR ")
    options = [each for each in COMMANDS[words].params if isinstance(each, click.Option) and not each.hidden]
    assert [each.opts[-1] for each in options if each.opts[-1] not in section] == []


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (".profile is not read", "\\&.profile is not read"),
        ("'quoted'", "\\&'quoted'"),
        ("a\\b", "a\\eb"),
        ("--list", "\\-\\-list"),
        ("two\n  lines", "two lines"),
        ('say "x"', "say \\(dqx\\(dq"),
    ],
)
def test_no_word_is_taken_for_a_request_of_roff(words: str, written: str) -> None:
    assert man._text(words) == written


def test_groff_has_nothing_to_say_about_the_page() -> None:
    if shutil.which("groff") is None:
        tools.skip("groff is missing")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        input=man.page(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
