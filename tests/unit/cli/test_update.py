"""`linkspan network update`: names and labels, in place."""

from __future__ import annotations

from tests.unit.cli.conftest import Command


def test_names_and_labels_are_changed_and_the_name_is_printed(command: Command) -> None:
    command.world.create("custom", labels={"a": "1"})
    arguments = ("network", "update", "custom", "--dns", "--label", "b=2", "--label-rm", "a")
    assert command.output(*arguments) == "custom\n"
    found = command.world.network("custom")
    assert (found.dns, found.labels) == (True, {"b": "2"})


def test_a_change_of_nothing_is_a_matter_of_usage(command: Command) -> None:
    command.world.create("custom")
    done = command("network", "update", "custom")
    assert (done.exit_code, "nothing to change" in done.stderr) == (2, True)


def test_host_has_no_list(command: Command) -> None:
    assert command("network", "update", "host", "--dns").exit_code == 4
