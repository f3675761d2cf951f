"""`linkspan network ls`: Docker's columns and formats, for every program's lists."""

from __future__ import annotations

import json

import pytest
import yaml

from linkspan.runtime.names import network_id
from tests.unit.cli.conftest import Command


@pytest.fixture
def networks(command: Command) -> Command:
    """A world with a network of ours that has a container, and one that was written by hand."""
    command.world.create("custom", labels={"env": "prod"})
    command.world.write("20-hand.conflist", {"name": "hand", "plugins": [{"type": "ptp"}]})
    command.world.call("ADD", command.world.network("custom").list)
    return command


def test_all_networks_are_listed_in_dockers_columns(networks: Command) -> None:
    assert networks.output("network", "ls").splitlines() == [
        "NETWORK ID     NAME      DRIVER    SCOPE",
        "6cdfd271da63   custom    bridge    local",
        f"{network_id('hand')[:12]}   hand      ptp       local",
        "4740ae6347b0   host      host      local",
        "140bedbf9c3f   none      null      local",
    ]


def test_quiet_prints_ids_only(networks: Command) -> None:
    assert networks.output("ls", "-q", "-f", "name=^custom$") == "6cdfd271da63\n"
    assert len(networks.output("ls", "-q", "--no-trunc", "-f", "name=custom").strip()) == 64


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("-f", "driver=null"), ["none"]),
        (("-f", "type=custom"), ["custom", "hand"]),
        (("-f", "label=env=prod"), ["custom"]),
        (("-f", "dangling=true"), ["hand"]),
        (("-f", "dangling=false"), ["custom", "host", "none"]),
        (("-f", "name=host", "-f", "name=none"), ["host", "none"]),
    ],
)
def test_filters_select(networks: Command, options: tuple[str, ...], names: list[str]) -> None:
    assert networks.output("ls", "--format", "{{.Name}}", *options).split() == names


def test_format_json_is_an_object_on_each_line(networks: Command) -> None:
    lines = networks.output("ls", "--format", "json").splitlines()
    assert [json.loads(each)["Name"] for each in lines] == ["custom", "hand", "host", "none"]


def test_a_template_may_ask_for_one_label(networks: Command) -> None:
    template = r'table {{.Name}}\t{{.Label "env"}}'
    printed = networks.output("ls", "--format", template, "-f", "name=custom")
    assert printed == "NAME      env\ncustom    prod\n"


def test_wide_shows_addresses_use_and_names(networks: Command) -> None:
    header, row = networks.output("ls", "--output", "wide", "-f", "name=custom").splitlines()
    assert header.split()[5:] == ["SUBNET", "GATEWAY", "BRIDGE", "DNS", "USED", "PORTS"]
    assert row.split()[4:] == ["172.17.0.0/16", "172.17.0.1", "br-6cdfd271da63", "off", "1/65533", "-"]


def test_documents_have_values(networks: Command) -> None:
    found = json.loads(networks.output("ls", "-o", "json"))
    assert found == yaml.safe_load(networks.output("ls", "-o", "yaml"))
    assert (found[0]["Containers"], found[0]["IPv6"]) == (["c1"], False)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--format", "{{.Nme}}"), "no field 'Nme'; one of CreatedAt, Driver, ID"),
        (("--format", "{{.Name"), "unclosed action"),
        (("--filter", "colour=red"), "it should be one of dangling, driver, id"),
    ],
)
def test_an_invalid_format_or_filter_is_a_matter_of_usage(
    networks: Command, options: tuple[str, ...], text: str
) -> None:
    done = networks("ls", *options)
    assert (done.exit_code, done.stdout, text in done.stderr) == (2, "", True)


def test_a_file_that_is_not_a_list_is_a_warning(networks: Command) -> None:
    (networks.world.path / "30-bad.conflist").write_text("{")
    done = networks("ls", "-q")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 4)
    assert "warning: " in done.stderr
