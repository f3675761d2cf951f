"""Endpoints from records and from libcni's cache."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from linkspan.cni.model import Attachment
from linkspan.runtime.endpoints import Endpoint, Port, from_cache, from_record, merged

WEB = Attachment("custom", "default-" + "a" * 64, "eth0")


def cached(**fields: Any) -> dict[str, Any]:
    """A file of libcni's cache, as nerdctl leaves it."""
    return {
        "kind": "cniCacheV1",
        "containerId": WEB.container_id,
        "ifName": "eth0",
        "networkName": "custom",
        "netns": "/proc/77/ns/net",
        "cniArgs": [["IgnoreUnknown", "1"], ["NERDCTL_CNI_DHCP_HOSTNAME", "web"]],
        "config": b64encode(b'{"name": "custom"}').decode(),
        "capabilityArgs": {
            "portMappings": [
                {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "0.0.0.0"},
                {"hostPort": 53, "containerPort": 53, "protocol": "udp"},
            ]
        },
        "result": {
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "br0", "mac": "02:00:00:00:00:01"},
                {"name": "veth1", "mac": "02:00:00:00:00:02"},
                {"name": "eth0", "mac": "02:42:ac:11:00:02", "sandbox": "/proc/77/ns/net"},
            ],
            "ips": [{"address": "172.17.0.2/16", "interface": 2}, {"address": "fd00::2/64", "interface": 2}],
        },
        **fields,
    }


def endpoint(**fields: Any) -> Endpoint:
    found = from_cache(cached(**fields))
    assert found is not None
    return found


def test_a_cache_entry_has_what_add_returned() -> None:
    found = endpoint()
    assert (found.attachment, found.bridge, found.host_links) == (WEB, "br0", ("veth1",))
    assert (found.mac, found.addresses) == ("02:42:ac:11:00:02", ("172.17.0.2/16", "fd00::2/64"))
    assert (found.args["NERDCTL_CNI_DHCP_HOSTNAME"], found.list_text) == ("web", b'{"name": "custom"}')


def test_published_ports_are_read_in_both_spellings() -> None:
    assert endpoint().ports == (
        Port(host_ip="0.0.0.0", host_port=8080, container_port=80, protocol="tcp"),
        Port(host_ip="", host_port=53, container_port=53, protocol="udp"),
    )


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"kind": "cniCacheV1"},
        cached(ifName="lo"),
        cached(networkName=3),
        cached(containerId=""),
    ],
)
def test_what_is_no_attachment_to_a_network_is_none(document: object) -> None:
    assert from_cache(document) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"result": None},
        {"result": {"cniVersion": "9"}},
        {"config": "not base64!"},
        {"cniArgs": "x", "capabilityArgs": [], "netns": None},
    ],
)
def test_an_entry_with_something_unreadable_is_still_an_endpoint(fields: dict[str, Any]) -> None:
    assert endpoint(**fields).attachment == WEB


def test_a_result_without_a_bridge_has_only_a_host_link() -> None:
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
    }
    found = endpoint(result=result)
    assert (found.bridge, found.host_links) == ("", ("veth1",))


def test_a_record_has_bridge_link_and_addresses() -> None:
    found = from_record(WEB, {"bridge": "br0", "addresses": ["172.17.0.2/16"]})
    assert (found.bridge, found.host_links) == ("br0", (WEB.host_veth,))
    assert (found.mac, found.addresses) == ("02:42:ac:11:00:02", ("172.17.0.2/16",))


def test_a_record_of_an_add_that_has_no_addresses_yet_is_an_endpoint() -> None:
    assert from_record(WEB, {"bridge": "br0", "addresses": None}).addresses == ()


def test_an_attachment_with_record_and_cache_entry_is_one_endpoint() -> None:
    recorded = from_record(WEB, {"bridge": "br9", "addresses": ["172.17.0.9/16"]})
    other = Endpoint(attachment=Attachment("custom", "b", "eth0"))
    one, two = merged([recorded, other], [endpoint()])
    assert (one.attachment, two) == (other.attachment, merged([recorded], [endpoint()])[0])
    assert (two.bridge, two.host_links, two.addresses) == ("br9", (WEB.host_veth,), ("172.17.0.9/16",))
    assert two.ports == endpoint().ports


@pytest.mark.parametrize(
    ("fields", "links", "exists"),
    [
        ({}, {"veth1"}, True),
        ({}, {"br0"}, False),
        ({"result": None}, set(), True),
        ({"result": None, "netns": "/gone"}, {"veth1"}, False),
    ],
)
def test_an_endpoint_exists_while_its_host_link_or_its_namespace_does(
    fields: dict[str, Any], links: set[str], exists: bool
) -> None:
    assert endpoint(**fields).exists(links, lambda path: path == "/proc/77/ns/net") == exists


def test_an_endpoints_id_is_64_digits_of_its_own() -> None:
    ids = {Endpoint(attachment=Attachment("n", "c", ifname)).id for ifname in ("eth0", "eth1")}
    assert {len(each) for each in ids} == {64}
    assert len(ids) == 2


def test_json_of_a_cache_file_is_enough() -> None:
    assert from_cache(json.loads(json.dumps(cached()))) == endpoint()
