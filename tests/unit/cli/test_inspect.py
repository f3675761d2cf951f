"""`linkspan network inspect`: an array of Docker's objects, or a template."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.unit.cli.conftest import Command


@pytest.fixture
def networks(command: Command) -> Command:
    """A world with a network that has a container."""
    command.world.create("custom")
    command.world.call("ADD", command.world.network("custom").list)
    return command


def test_networks_are_an_array_in_the_order_of_the_command_line(networks: Command) -> None:
    found = json.loads(networks.output("network", "inspect", "none", "custom"))
    assert [each["Name"] for each in found] == ["none", "custom"]
    (container,) = found[1]["Containers"].values()
    assert (container["Name"], container["IPv4Address"]) == ("c1", "172.17.0.2/16")


@pytest.mark.parametrize("word", ["6cdf", "6cdfd271da63", "default/custom"])
def test_a_network_is_found_by_id_and_namespace(networks: Command, word: str) -> None:
    assert networks.output("inspect", "--format", "{{.Name}}", word) == "custom\n"


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("{{(index .IPAM.Config 0).Subnet}}", "172.17.0.0/16\n"),
        ("{{range $k, $v := .Containers}}{{$v.Name}}={{$v.IPv4Address}} {{end}}", "c1=172.17.0.2/16 \n"),
        ("{{.ID}}", "6cdfd271da635d491e37a2b4a1044b306e6e9e039aeadee95bb355efadf8cb33\n"),
        ('{{index .Options "absent"}}', "\n"),
        ("{{.Linkspan.Bridge}}", "br-6cdfd271da63\n"),
    ],
)
def test_a_template_is_applied_to_each(networks: Command, template: str, printed: str) -> None:
    assert networks.output("inspect", "-f", template, "custom") == printed


def test_json_may_be_compact_and_yaml(networks: Command) -> None:
    pretty = json.loads(networks.output("inspect", "custom"))
    assert networks.output("inspect", "-f", "json", "custom").count("\n") == 1
    assert yaml.safe_load(networks.output("inspect", "-o", "yaml", "custom")) == pretty


def test_a_network_that_is_not_found_keeps_no_other_from_being_shown(networks: Command) -> None:
    done = networks("inspect", "custum", "custom")
    assert (done.exit_code, [each["Name"] for each in json.loads(done.stdout)]) == (3, ["custom"])
    assert done.stderr.splitlines() == [
        "error: network custum not found (LS-N002)",
        "  fix: did you mean custom?",
    ]


def test_nothing_found_is_an_empty_array(command: Command) -> None:
    done = command("inspect", "nope")
    assert (done.exit_code, done.stdout) == (3, "[]\n")


def test_an_unknown_field_is_a_matter_of_usage(networks: Command) -> None:
    done = networks("inspect", "-f", "{{.IPAM.Confg}}", "custom")
    assert (done.exit_code, "one of Driver, Options, Config" in done.stderr) == (2, True)
