"""`linkspan network create`: Docker's options become a list, and only the ID is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Command


def dry_run(command: Command, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command.output("network", "create", "--dry-run", *options, "custom"))
    return found


def test_the_id_is_all_that_is_printed(command: Command) -> None:
    assert command.output("network", "create", "custom") == f"{command.world.network('custom').id}\n"


def test_the_verb_needs_no_network_in_front(command: Command) -> None:
    assert command.output("create", "custom") == f"{command.world.network('custom').id}\n"


def test_dockers_options_are_understood(command: Command) -> None:
    found = dry_run(
        command,
        *("--driver", "bridge", "--attachable", "--label", "a=b", "-o", "mtu=1400"),
        *("--subnet", "10.5.0.0/24,fd00:5::/64", "--gateway", "10.5.0.9", "--ip-range=10.5.0.128/25"),
        *("--aux-address", "router=10.5.0.130"),
    )
    bridge = found["plugins"][0]
    assert (found["nerdctlLabels"], bridge["mtu"]) == ({"a": "b"}, 1400)
    assert [each[0]["subnet"] for each in bridge["ipam"]["ranges"]] == ["10.5.0.0/24", "fd00:5::/64"]
    assert found["linkspan"]["auxiliary"] == {"10.5.0.0/24": {"router": "10.5.0.130"}}


@pytest.mark.parametrize(
    ("options", "families"),
    [
        (("--ipv6",), [4, 6]),
        (("--ipv6=true",), [4, 6]),
        (("--ipv6=false",), [4]),
        (("--ipv6", "--ipv4=false"), [6]),
        (("--ipv6", "--no-ipv4"), [6]),
    ],
)
def test_switches_are_taken_as_docker_takes_them(
    command: Command, options: tuple[str, ...], families: list[int]
) -> None:
    ranges = dry_run(command, *options)["plugins"][0]["ipam"]["ranges"]
    assert [6 if ":" in each[0]["subnet"] else 4 for each in ranges] == families


@pytest.mark.parametrize(
    ("options", "dns"),
    [((), True), (("--no-dns",), False), (("--default",), False), (("--default", "--dns"), True)],
)
def test_names_are_on_except_on_a_default_network(
    command: Command, options: tuple[str, ...], dns: bool
) -> None:
    assert ("dns" in [each["type"] for each in dry_run(command, *options)["plugins"]]) == dns


def test_a_dry_run_writes_nothing(command: Command) -> None:
    dry_run(command)
    assert command.world.names() == []


def test_a_warning_is_no_data(command: Command) -> None:
    done = command("network", "create", "--shared", "custom")
    assert (done.exit_code, done.stdout) == (0, f"{command.world.network('custom').id}\n")
    assert done.stderr.startswith("warning: custom is the only list")


def test_an_error_is_no_data_and_has_three_lines(command: Command) -> None:
    command.output("network", "create", "custom")
    done = command("network", "create", "custom")
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr.splitlines() == [
        "error: network with name custom already exists (LS-N001)",
        f"  by:  {command.world.path}/default/nerdctl-custom.conflist",
        "  fix: choose another name, or --ignore",
    ]


def test_the_namespace_is_containerds(command: Command) -> None:
    command.output("network", "create", "--namespace", "k8s.io", "custom")
    assert command.world.network("custom").namespace == "k8s.io"


@pytest.mark.parametrize("present", [False, True])
def test_who_has_not_installed_the_plugins_is_told_so(
    command: Command, tmp_path: Path, present: bool
) -> None:
    if present:
        (tmp_path / "bridge").write_bytes(b"\x7fELF of another suite")
    done = command("network", "create", "--bin-dir", str(tmp_path), "custom")
    assert (done.exit_code, "run `linkspan install`" in done.stderr) == (0, True)
