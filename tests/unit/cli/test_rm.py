"""`linkspan network rm`: what is removed is printed, what is not is told."""

from __future__ import annotations

from tests.unit.cli.conftest import Command


def test_what_was_removed_is_printed_as_it_was_typed(command: Command) -> None:
    command.world.create("one")
    command.world.create("two")
    identifier = command.world.network("two").id[:12]
    assert command.output("network", "rm", "one", identifier) == f"one\n{identifier}\n"
    assert command.world.names() == []


def test_a_network_in_use_is_told_with_its_containers_and_the_others_are_removed(command: Command) -> None:
    command.world.create("free")
    command.world.create("used")
    command.world.call("ADD", command.world.network("used").list, "default-c1")
    done = command("rm", "used", "free")
    assert (done.exit_code, done.stdout) == (4, "free\n")
    assert done.stderr.splitlines() == [
        "error: network used is in use: it has active endpoints (LS-N003)",
        "  by:  container c1 (eth0, 172.18.0.2/16)",
        "  fix: ctr --namespace default task kill --signal SIGKILL c1",
    ]


def test_an_absent_network_is_an_error_unless_forced(command: Command) -> None:
    assert command("rm", "nope").exit_code == 3
    assert command.output("rm", "--force", "nope") == ""


def test_a_predefined_network_is_a_conflict(command: Command) -> None:
    done = command("rm", "host")
    assert (done.exit_code, "host is a pre-defined network and cannot be removed" in done.stderr) == (4, True)
