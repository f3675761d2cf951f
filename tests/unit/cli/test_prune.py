"""`linkspan network prune`: asks, removes what is unused, and prints it as Docker does."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Command


@pytest.fixture
def networks(command: Command) -> Command:
    """A world with two unused networks and a used one."""
    for name, labels in (("one", {"a": "1"}), ("two", {}), ("used", {})):
        command.world.create(name, labels=labels)
    command.world.call("ADD", command.world.network("used").list)
    return command


def test_unused_networks_are_removed_and_listed(networks: Command) -> None:
    assert networks.output("network", "prune", "--force") == "Deleted Networks:\none\ntwo\n\n"
    assert networks.world.names() == ["used"]


@pytest.mark.parametrize(
    ("answer", "names"), [("y\n", ["used"]), ("n\n", ["one", "two", "used"]), ("", ["one", "two", "used"])]
)
def test_without_force_it_asks(networks: Command, answer: str, names: list[str]) -> None:
    done = networks("network", "prune", input=answer)
    assert "WARNING! This will remove all custom networks" in done.stderr
    assert networks.world.names() == names


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("label=a", ["two", "used"]),
        ("label!=a", ["one", "used"]),
        ("until=1h", ["one", "two", "used"]),
        ("until=2199-01-01", ["used"]),
    ],
)
def test_filters_limit_it(networks: Command, word: str, names: list[str]) -> None:
    networks.output("network", "prune", "--force", "--filter", word)
    assert networks.world.names() == names


def test_nothing_to_remove_prints_nothing(command: Command) -> None:
    assert command.output("network", "prune", "--force") == ""


@pytest.mark.parametrize("word", ["until=soon", "dangling=true"])
def test_an_invalid_filter_is_a_matter_of_usage(networks: Command, word: str) -> None:
    assert networks("network", "prune", "--force", "--filter", word).exit_code == 2
