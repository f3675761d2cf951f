"""`linkspan ps`: the containers of every runtime with their networks."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.harness.layouts import fake_id, load, placed
from tests.unit.cli.conftest import Command


@pytest.fixture
def containers(command: Command) -> Command:
    """A world with nerdctl's containers, of which `web` is on a network of ours."""
    world = command.world
    placed(load("nerdctl"), world.host)
    world.create("custom")
    world.call("ADD", world.network("custom").list, container_id=f"default-{fake_id('web')}")
    return command


def test_every_container_that_runs_is_listed_with_its_network(containers: Command) -> None:
    lines = containers.output("ps").splitlines()
    assert lines[0].split("  ")[0] == "CONTAINER"
    assert [each.split()[:4] for each in lines[1:]] == [
        ["host-mode", "nerdctl", "host", "-"],
        ["none-mode", "nerdctl", "none", "-"],
        ["shares", "nerdctl", "container:web", "-"],
        ["web", "nerdctl", "custom", "eth0"],
    ]


def test_all_shows_stopped_containers_too(containers: Command) -> None:
    names = containers.output("ps", "--all", "--format", "{{.Names}} {{.State}}").splitlines()
    assert names == [
        "created stopped",
        "host-mode running",
        "none-mode running",
        "shares running",
        "stopped stopped",
        "web running",
    ]


def test_a_network_shows_only_its_containers(containers: Command) -> None:
    assert containers.output("ps", "custom", "--format", "{{.Names}} {{.Addresses}}") == "web 172.17.0.2/16\n"
    assert containers.output("ps", "none", "--quiet") == f"{fake_id('none-mode')[:12]}\n"


def test_an_unknown_network_is_an_error_with_a_suggestion(containers: Command) -> None:
    done = containers("ps", "custon")
    assert (done.exit_code, "did you mean custom?" in done.stderr) == (3, True)


def test_quiet_prints_ids_only(containers: Command) -> None:
    printed = containers.output("ps", "-q", "--no-trunc", "-f", "name=^web$")
    assert printed == f"{fake_id('web')}\n"


def test_documents_have_values(containers: Command) -> None:
    found = json.loads(containers.output("ps", "custom", "-o", "json"))
    assert found == yaml.safe_load(containers.output("ps", "custom", "-o", "yaml"))
    assert (found[0]["Addresses"], found[0]["MacAddress"]) == (["172.17.0.2/16"], "02:42:ac:11:00:02")


def test_wide_has_ids_and_processes(containers: Command) -> None:
    header, row = containers.output("ps", "custom", "-o", "wide").splitlines()
    assert header.split()[-4:] == ["NAMESPACE", "STATE", "PID", "NETNS"]
    assert row.split()[-5:-2] == [fake_id("web")[:12], "default", "running"]


def test_a_template_may_ask_for_one_label(containers: Command) -> None:
    template = '{{.Label "nerdctl/networks"}}'
    assert containers.output("ps", "custom", "--format", template) == '["custom"]\n'


@pytest.mark.parametrize("options", [("--format", "{{.Nme}}"), ("--filter", "colour=red")])
def test_an_invalid_format_or_filter_is_a_matter_of_usage(
    containers: Command, options: tuple[str, ...]
) -> None:
    assert containers("ps", *options).exit_code == 2


def test_host_and_none_have_their_containers_in_inspect(containers: Command) -> None:
    (none,) = json.loads(containers.output("inspect", "none"))
    (entry,) = none["Containers"].items()
    assert entry[0] == fake_id("none-mode")
    assert entry[1]["Name"] == "none-mode"
    assert {entry[1][key] for key in ("MacAddress", "IPv4Address", "IPv6Address")} == {""}
    assert len(entry[1]["EndpointID"]) == 64
