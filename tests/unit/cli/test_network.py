"""`linkspan network`: the verbs, and what completes their arguments."""

from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete

from linkspan.cli.group import group
from linkspan.cli.network import VERBS
from tests.unit.cli.conftest import Command


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_begins_its_own_help_with_the_sentence_of_the_overview(command: Command, verb: str) -> None:
    text = " ".join(command("network", verb, "--help").output.split())
    assert VERBS[verb].removesuffix(".") in text


def test_the_overview_of_the_verbs_imports_none_of_them(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} was imported")

    from linkspan.cli import network

    monkeypatch.setattr("linkspan.cli.group.import_module", refuse)
    context = click.Context(network.command)
    assert [each for each in VERBS if each not in network.command.get_help(context)] == []


def test_networks_are_completed(command: Command) -> None:
    command.world.create("custom")
    completion = ShellComplete(group, {}, "linkspan", "_LINKSPAN_COMPLETE")
    arguments = ["network", "rm", "--conf-dir", str(command.world.path)]
    assert [each.value for each in completion.get_completions(arguments, "cu")] == ["custom"]
