"""A network in Docker's terms, whichever program wrote its list. The lists are those of real programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.runtime.lists import parse
from linkspan.runtime.network import Network, Subnet, first_address, without_list
from tests.harness import ours

NERDCTL: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "n1",
    "nerdctlID": "676b8bb84ce7267dd520deca4811c8f10a53e636352f06987f42fe425acedd80",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "br-676b8bb84ce7",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "ranges": [
                    [
                        {
                            "gateway": "10.6.0.254",
                            "ipRange": "10.6.0.128/25",
                            "rangeEnd": "10.6.0.255",
                            "rangeStart": "10.6.0.129",
                            "subnet": "10.6.0.0/24",
                        }
                    ]
                ],
                "routes": [{"dst": "0.0.0.0/0"}],
                "type": "host-local",
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall", "ingressPolicy": "same-bridge"},
        {"type": "tuning"},
    ],
}
PODMAN: dict[str, Any] = {
    "cniVersion": "0.4.0",
    "name": "rtdual",
    "args": {"podman_labels": {"a": "b"}, "podman_options": {"mtu": "1400"}},
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni-podman2",
            "isGateway": True,
            "mtu": 1400,
            "ipam": {
                "type": "host-local",
                "ranges": [
                    [{"subnet": "10.90.0.0/24"}],
                    [{"subnet": "fd00:90::/64", "gateway": "fd00:90::1"}],
                ],
            },
        },
        {"type": "dnsname", "domainName": "dns.podman"},
    ],
}


def network(document: dict[str, Any], **first: Any) -> Network:
    plugins = [{**document["plugins"][0], **first}, *document["plugins"][1:]]
    return Network(parse(json.dumps({**document, "plugins": plugins}).encode(), "/net/x.conflist", changed=7))


def test_a_list_of_nerdctls_has_its_subnet_range_and_gateway() -> None:
    assert network(NERDCTL).subnets == (
        Subnet(subnet="10.6.0.0/24", gateway="10.6.0.254", ip_range="10.6.0.128/25"),
    )


def test_a_list_of_podmans_has_both_families_labels_and_names() -> None:
    found = network(PODMAN)
    assert [(each.subnet, each.gateway) for each in found.subnets] == [
        ("10.90.0.0/24", "10.90.0.1"),
        ("fd00:90::/64", "fd00:90::1"),
    ]
    assert (found.ipv4, found.ipv6, found.dns, found.labels) == (True, True, True, {"a": "b"})


def test_the_options_of_a_podman_network_are_podmans_and_what_the_list_amounts_to() -> None:
    assert network({**PODMAN, "args": {"podman_options": {"vlan": "7"}}}).options == {
        "vlan": "7",
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.name": "cni-podman2",
    }


def test_the_id_is_nerdctls_or_what_podman_derives_from_the_name() -> None:
    from hashlib import sha256

    assert network(NERDCTL).id == NERDCTL["nerdctlID"]
    assert network(PODMAN).id == sha256(b"rtdual").hexdigest()


def test_a_network_without_a_gateway_is_internal_as_nerdctl_and_podman_write_it() -> None:
    assert not network(NERDCTL).internal
    assert network(NERDCTL, isGateway=False).internal


@pytest.mark.parametrize("name", ours.LISTS)
def test_a_sample_list_is_described_by_its_keys(name: str) -> None:
    document = ours.conflist(name)
    found = network(document)
    assert found.internal == (name == "internal")
    assert found.dns == any(each["type"] == "dns" for each in document["plugins"])
    assert found.ipv6 == (name == "dual-stack")
    assert found.bridge == document["plugins"][0].get("bridge", "")


def test_options_that_a_list_amounts_to_have_dockers_names() -> None:
    assert network(NERDCTL, mtu=1400, bridge="br7").options == {
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.name": "br7",
    }


def test_the_options_that_were_given_are_kept_with_the_list() -> None:
    document = {**NERDCTL, "linkspan": {"created": 5, "options": {"a": "b"}}}
    assert network(document).options == {"a": "b"}


def test_the_time_of_creation_is_that_of_the_file_unless_it_is_noted() -> None:
    assert network(NERDCTL).created == 7
    assert network({**NERDCTL, "linkspan": {"created": 5}}).created == 5


def test_an_ipam_of_one_range_in_the_short_form_counts() -> None:
    found = network(NERDCTL, ipam={"type": "host-local", "subnet": "10.1.0.0/16"})
    assert [each.subnet for each in found.subnets] == ["10.1.0.0/16"]


def test_ranges_of_one_subnet_are_one_subnet() -> None:
    ranges = [[{"subnet": "10.1.0.0/16", "rangeEnd": "10.1.0.9"}, {"subnet": "10.1.0.0/16"}]]
    assert len(network(NERDCTL, ipam={"type": "host-local", "ranges": ranges}).subnets) == 1


@pytest.mark.parametrize(
    ("ipam", "driver"),
    [({"type": "dhcp"}, "dhcp"), ({"type": ""}, "default"), (None, "default"), ([], "default")],
)
def test_another_ipam_has_no_subnets(ipam: object, driver: str) -> None:
    found = network(NERDCTL, ipam=ipam)
    assert (found.ipam_driver, found.subnets) == (driver, ())


@pytest.mark.parametrize(("name", "driver"), [("host", "host"), ("none", "null")])
def test_host_and_none_are_networks_without_a_list(name: str, driver: str) -> None:
    found = without_list(name)
    assert (found.driver, found.is_builtin, found.subnets, found.ipv4) == (driver, True, (), True)


def test_nerdctls_and_podmans_default_networks_are_predefined() -> None:
    default = {**NERDCTL, "name": "bridge", "nerdctlLabels": {"nerdctl/default-network": "true"}}
    assert network(default).is_builtin
    assert network({**PODMAN, "name": "podman"}).is_builtin
    assert not network(NERDCTL).is_builtin


@pytest.mark.parametrize("value", ["10.5.0.0/33", "x", ""])
def test_an_invalid_subnet_has_no_first_address(value: str) -> None:
    assert first_address(value) == ""
