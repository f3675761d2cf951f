"""Containers on networks as `ps` and `port` show them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from linkspan.runtime import rows
from linkspan.runtime.attached import Attached
from linkspan.runtime.endpoints import Endpoint, Port
from linkspan.runtime.labels import PS_KEYS, parse_filters
from tests.unit.runtime.test_attached import ETH0, WEB

HTTP = Port(host_ip="", host_port=8081, container_port=80, protocol="tcp")
DNS = Port(host_ip="127.0.0.1", host_port=53, container_port=53, protocol="udp")
V6 = Port(host_ip="::1", host_port=8082, container_port=80, protocol="tcp")
BOTH = replace(
    ETH0,
    mac="02:42:0a:05:00:02",
    addresses=("10.5.0.2/24", "fd00::2/64"),
    ports=(V6, DNS, HTTP),
    host_links=("veth1",),
)
ON_CUSTOM = Attached(
    container=replace(WEB, labels={"a": "b"}), network="custom", endpoint=BOTH, dns_names=("web", "www")
)
ON_HOST = Attached(container=replace(WEB, host_network=True), network="host")


def test_a_row_has_strings_only() -> None:
    assert rows.row(ON_CUSTOM, truncated=True) == {
        "ID": "a" * 12,
        "Names": "web",
        "Runtime": "nerdctl",
        "Namespace": "default",
        "State": "running",
        "PID": "7",
        "Netns": "/proc/7/ns/net",
        "Network": "custom",
        "Interface": "eth0",
        "Addresses": "10.5.0.2/24,fd00::2/64",
        "MacAddress": "02:42:0a:05:00:02",
        "DNSNames": "web,www",
        "Ports": "127.0.0.1:53->53/udp, 0.0.0.0:8081->80/tcp, [::]:8081->80/tcp, [::1]:8082->80/tcp",
        "HostLink": "veth1",
        "Labels": "a=b",
    }


def test_no_cell_of_a_table_is_empty() -> None:
    found = rows.cells(ON_HOST, truncated=True)
    assert (found["Interface"], found["Ports"], found["Network"]) == ("-", "-", "host")
    assert "" not in found.values()


def test_a_document_has_values() -> None:
    found = rows.document(ON_CUSTOM)
    assert (found["ID"], found["PID"], found["Labels"]) == ("a" * 64, 7, {"a": "b"})
    assert found["Ports"][0] == {"HostIp": "::1", "HostPort": 8082, "ContainerPort": 80, "Protocol": "tcp"}
    assert rows.document(ON_HOST)["Ports"] == []


def test_every_column_has_a_header() -> None:
    headers = {**rows.HEADERS, **rows.WIDE_HEADERS, **rows.FURTHER_HEADERS}
    assert headers.keys() == rows.row(ON_HOST, truncated=True).keys()


@pytest.mark.parametrize(
    ("port", "protocol", "lines"),
    [
        (
            0,
            "",
            [
                "53/udp -> 127.0.0.1:53",
                "80/tcp -> 0.0.0.0:8081",
                "80/tcp -> [::]:8081",
                "80/tcp -> [::1]:8082",
            ],
        ),
        (80, "tcp", ["0.0.0.0:8081", "[::]:8081", "[::1]:8082"]),
        (53, "udp", ["127.0.0.1:53"]),
        (80, "udp", []),
    ],
)
def test_ports_have_dockers_form(port: int, protocol: str, lines: list[str]) -> None:
    assert rows.port_lines([BOTH], port, protocol) == lines


def test_a_port_that_is_published_on_two_networks_is_one_line() -> None:
    one = replace(BOTH, ports=(DNS,))
    assert rows.port_lines([one, one]) == ["53/udp -> 127.0.0.1:53"]


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        (["id=aaa"], True),
        (["id=b"], False),
        (["name=^web$"], True),
        (["name=x", "name=we"], True),
        (["label=a"], True),
        (["label=a=b", "label=c"], False),
        (["network=custom"], True),
        (["network=cust"], False),
        (["runtime=podman"], False),
        (["namespace=default", "status=running"], True),
        (["status=stopped"], False),
    ],
)
def test_filters_select(words: list[str], passes: bool) -> None:
    assert rows.matches(ON_CUSTOM, parse_filters(words, PS_KEYS)) is passes


def test_an_endpoint_without_ports_publishes_nothing() -> None:
    assert rows.published(Endpoint(attachment=ETH0.attachment)) == []
