"""Networks in Docker's shapes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from linkspan.cni.model import Attachment
from linkspan.runtime import docker
from linkspan.runtime.endpoints import Endpoint, Port
from linkspan.runtime.lists import parse
from linkspan.runtime.network import Network, without_list
from linkspan.runtime.owners import Owner

CREATED = 1_700_000_000_123_456_789
DOCUMENT = {
    "name": "custom",
    "nerdctlLabels": {"b": "2", "a": "1"},
    "linkspan": {"created": CREATED, "options": {"x": "y"}},
    "plugins": [
        {
            "type": "bridge",
            "bridge": "br0",
            "isDefaultGateway": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "172.18.0.0/16"}], [{"subnet": "fd00::/64"}]],
            },
        },
        {"type": "dns"},
    ],
}
CUSTOM = Network(parse(json.dumps(DOCUMENT).encode(), "/net/custom.conflist"))


def attached(
    name: str = "web", ifname: str = "eth0", address: str = "172.18.0.2/16"
) -> tuple[Endpoint, Owner]:
    endpoint = Endpoint(
        attachment=Attachment("custom", f"default-{name}", ifname),
        host_links=("veth1",),
        mac="02:42:ac:12:00:02",
        addresses=(address, "fd00::2/64"),
        ports=(Port(host_ip="", host_port=8080, container_port=80, protocol="tcp"),),
    )
    return endpoint, Owner(id=name * 16, name=name, runtime="nerdctl", namespace="default")


def inspected(*containers: tuple[Endpoint, Owner]) -> dict[str, Any]:
    return docker.inspected(CUSTOM, containers)


def test_an_endpoint_has_what_the_plugins_warned_of() -> None:
    endpoint, owner = attached()
    warned = replace(endpoint, warnings=("portmap: nothing is published on ::",))
    shown = [each["Warnings"] for each in inspected((warned, owner), attached("db"))["Linkspan"]["Endpoints"]]
    assert shown == [["portmap: nothing is published on ::"], []]


def test_a_row_has_dockers_strings() -> None:
    assert docker.row(CUSTOM, truncated=True) == {
        "CreatedAt": "2023-11-14 22:13:20.123456789 +0000 UTC",
        "Driver": "bridge",
        "ID": CUSTOM.id[:12],
        "IPv4": "true",
        "IPv6": "true",
        "Internal": "false",
        "Labels": "a=1,b=2",
        "Name": "custom",
        "Scope": "local",
    }


def test_a_container_has_the_members_of_dockers_endpoint() -> None:
    endpoint, owner = attached()
    assert inspected((endpoint, owner))["Containers"] == {
        owner.id: {
            "Name": "web",
            "EndpointID": endpoint.id,
            "MacAddress": "02:42:ac:12:00:02",
            "IPv4Address": "172.18.0.2/16",
            "IPv6Address": "fd00::2/64",
        }
    }


def test_of_two_interfaces_on_one_network_the_first_is_shown_and_both_are_in_our_own_member() -> None:
    found = inspected(attached(), attached(ifname="eth1", address="172.18.0.3/16"))
    assert [each["IPv4Address"] for each in found["Containers"].values()] == ["172.18.0.2/16"]
    assert [each["Interface"] for each in found["Linkspan"]["Endpoints"]] == ["eth0", "eth1"]


def test_addresses_in_use_are_counted_as_docker_counts_them() -> None:
    subnets = inspected(attached())["Status"]["IPAM"]["Subnets"]
    assert subnets["172.18.0.0/16"] == {"IPsInUse": 4, "DynamicIPsAvailable": 65532}
    assert subnets["fd00::/64"]["DynamicIPsAvailable"] == 2**64 - 1


def test_a_time_is_in_rfc_3339_with_nanoseconds() -> None:
    assert inspected()["Created"] == "2023-11-14T22:13:20.123456789Z"


def test_a_time_that_is_not_known_is_gos_zero() -> None:
    assert docker.inspected(without_list("host"), ())["Created"] == "0001-01-01T00:00:00Z"


def test_a_network_without_a_list_has_empty_members() -> None:
    found = docker.inspected(without_list("none"), ())
    assert (found["Driver"], found["IPAM"]["Config"], found["Containers"]) == ("null", [], {})


def test_a_wide_row_shows_use_and_ports() -> None:
    found = docker.wide_row(CUSTOM, (attached(),), truncated=True)
    assert (found["Used"], found["Ports"], found["DNS"]) == ("1/65533", "8080", "on")


def test_a_summary_has_values_rather_than_strings() -> None:
    found = docker.summary(CUSTOM, (attached(),))
    assert (found["IPv6"], found["Ports"], found["Containers"]) == (True, [8080], ["web"])
    assert found["Subnets"] == ["172.18.0.0/16", "fd00::/64"]
