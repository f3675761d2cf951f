"""`linkspan check`: CHECK of what is attached."""

from __future__ import annotations

import pytest

from tests.harness.memory import BOX
from tests.unit.cli.conftest import Command

OK = ["custom", "eth0", "ok"]


@pytest.fixture
def attached(command: Command) -> Command:
    """A world with a container on a network, and a network without."""
    command.world.create("custom")
    command.world.create("other")
    command.world.attach("custom", "web")
    return command


def check(command: Command, *words: str) -> tuple[int, list[list[str]]]:
    """The exit status and the rows below the header."""
    done = command("check", "--bin-dir", "/opt/cni/bin", *words)
    return done.exit_code, [each.split(maxsplit=3)[1:] for each in done.stdout.splitlines()[1:]]


@pytest.mark.parametrize("words", [(), ("custom",), ("netns/box",)])
def test_what_is_as_it_was_made_is_ok(attached: Command, words: tuple[str, ...]) -> None:
    attached.world.host.files.write(BOX, b"")
    assert check(attached, *words) == (0, [OK])


def test_a_network_without_containers_has_nothing_to_check(attached: Command) -> None:
    assert check(attached, "other") == (0, [])


def test_what_is_wrong_is_said_by_each_plugin_that_sees_it(attached: Command) -> None:
    attached.world.host.links(BOX).delete_address("eth0", "172.17.0.2/16")
    status, ((network, ifname, result),) = check(attached)
    assert (status, network, ifname) == (1, "custom", "eth0")
    assert result.startswith("bridge: ")
    assert "172.17.0.2/16" in result


def test_an_unknown_word_is_an_error(attached: Command) -> None:
    done = attached("check", "nowhere")
    assert (done.exit_code, "(LS-C001)" in done.stderr) == (3, True)
