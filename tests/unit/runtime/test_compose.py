"""The list of a new network: what runtimes read, what nerdctl reads, and what `inspect` says of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni_portmap.config import Config
from linkspan.cni.model import Request
from linkspan.runtime.compose import NewNetwork, changed, compose, encode
from linkspan.runtime.lists import NetworkList, parse
from linkspan.runtime.network import Network, Subnet
from tests.harness import ours

V4 = Subnet(subnet="10.89.0.0/24", gateway="10.89.0.1")
V6 = Subnet(subnet="fd00:90::/64", gateway="fd00:90::1")


def wanted(name: str = "web", *subnets: Subnet, **fields: Any) -> NewNetwork:
    fields = {"labels": {}, "options": {}, **fields}
    return NewNetwork(name=name, subnets=subnets or (V4,), created=5, **fields)


def composed(*arguments: Any, **fields: Any) -> NetworkList:
    return parse(encode(compose(wanted(*arguments, **fields))), "/net/default/nerdctl-web.conflist")


def first(**fields: Any) -> dict[str, Any]:
    return dict(composed(**fields).first)


@pytest.mark.parametrize(
    ("name", "subnets", "fields"),
    [
        ("bridge", ["10.88.0.0/16"], {"dns": False}),
        ("custom", ["10.89.0.0/24"], {}),
        ("dual-stack", ["10.90.0.0/24", "fd00:90::/64"], {}),
        ("internal", ["10.91.0.0/24"], {"internal": True}),
    ],
)
def test_a_new_list_has_the_keys_of_the_sample_list(
    name: str, subnets: list[str], fields: dict[str, Any]
) -> None:
    sample = ours.conflist(name)
    options = {"com.docker.network.bridge.name": sample["plugins"][0]["bridge"]}
    made = composed(name, *(Subnet(subnet=each) for each in subnets), options=options, **fields)
    assert list(made.plugins) == sample["plugins"]
    assert {key: made.document[key] for key in sample if key != "plugins"} == {
        key: sample[key] for key in sample if key != "plugins"
    }


def test_a_list_carries_nerdctls_identifier_and_labels() -> None:
    found = composed(labels={"env": "prod"})
    assert found.document["nerdctlID"] == Network(found).id
    assert found.document["nerdctlLabels"] == {"env": "prod"}


def test_only_the_network_that_nerdctl_would_create_has_the_label_that_keeps_it_from_that() -> None:
    """With the label on any other network nerdctl creates none, and finds none where none is named."""
    assert Network(composed("bridge")).labels == {"nerdctl/default-network": "true"}
    assert Network(composed("web")).labels == {}


def test_the_bridge_has_nerdctls_name_unless_it_is_chosen() -> None:
    assert first()["bridge"] == f"br-{Network(composed()).id[:12]}"
    assert first(options={"com.docker.network.bridge.name": "br0"})["bridge"] == "br0"


def test_the_mtu_of_an_option_wins_over_that_of_the_host() -> None:
    assert first(mtu=1420)["mtu"] == 1420
    assert first(mtu=1420, options={"com.docker.network.driver.mtu": "1300"})["mtu"] == 1300
    assert "mtu" not in first()


def test_without_icc_ports_of_the_bridge_are_isolated() -> None:
    assert first(options={"com.docker.network.bridge.enable_icc": "false"})["portIsolation"] is True
    assert "portIsolation" not in first(options={"com.docker.network.bridge.enable_icc": "true"})


def test_without_masquerading_its_keys_are_absent() -> None:
    option = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    assert not {"ipMasq", "ipMasqBackend"}.intersection(first(options=option))


def test_ports_that_are_bound_to_an_address_have_it_as_a_condition() -> None:
    option = {"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}
    portmap = composed(options=option).plugin("portmap")
    assert portmap["conditionsV4"] == ["ip", "daddr", "127.0.0.1"]
    assert "conditionsV4" not in composed().plugin("portmap")


def test_portmap_accepts_what_its_lists_have() -> None:
    for address in ("0.0.0.0", "127.0.0.1"):
        option = {"com.docker.network.bridge.host_binding_ipv4": address}
        request = Request(
            verb="ADD",
            plugin="portmap",
            cni_version="1.0.0",
            network="web",
            config=composed(options=option).plugin("portmap"),
        )
        assert Config.from_request(request).refuse_taken_ports


def test_an_internal_network_has_no_default_route_and_no_published_ports() -> None:
    found = composed(internal=True)
    assert not found.plugin("portmap")
    assert "routes" not in found.first["ipam"]
    assert "isDefaultGateway" not in found.first


def ranges(**fields: Any) -> list[tuple[str, str]]:
    found = first_of(Subnet(subnet="10.5.0.0/24", gateway="10.5.0.1", **fields))
    return [(each["rangeStart"], each["rangeEnd"]) for each in found]


def first_of(subnet: Subnet) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = composed("web", subnet).first["ipam"]["ranges"][0]
    return found


def test_a_range_ends_before_the_broadcast_address() -> None:
    assert ranges(ip_range="10.5.0.128/25") == [("10.5.0.128", "10.5.0.254")]


def test_auxiliary_addresses_are_left_out_of_the_ranges() -> None:
    found = ranges(auxiliary={"a": "10.5.0.10", "b": "10.5.0.11", "c": "10.5.0.254"})
    assert found == [("10.5.0.1", "10.5.0.9"), ("10.5.0.12", "10.5.0.253")]


def test_what_was_asked_is_what_the_network_is_described_by() -> None:
    subnet = Subnet(
        subnet="10.5.0.0/24", gateway="10.5.0.9", ip_range="10.5.0.128/25", auxiliary={"a": "10.5.0.130"}
    )
    found = Network(composed("web", subnet, V6, options={"com.docker.network.driver.mtu": "1400"}))
    assert found.subnets == (subnet, V6)
    assert (found.created, found.options) == (5, {"com.docker.network.driver.mtu": "1400"})


# --- update
# -----------------------------------------------------------------------------------------------------------


def update(one: NetworkList, **fields: Any) -> dict[str, Any]:
    return changed(one, **{"labels": {}, "removed_labels": (), **fields})


def test_names_are_switched_on_and_off() -> None:
    with_names, without = composed(dns=True), composed(dns=False)
    assert update(with_names, dns=False)["plugins"] == list(without.plugins)
    assert update(without, dns=True)["plugins"] == list(with_names.plugins)


def test_names_that_are_on_stay_as_they_are() -> None:
    document = {"name": "x", "plugins": [{"type": "bridge"}, {"type": "dnsname", "domainName": "d"}]}
    one = parse(json.dumps(document).encode(), "/x.conflist")
    assert update(one, dns=True) == document


def test_labels_are_set_and_removed_and_everything_else_stays() -> None:
    one = composed(labels={"a": "1", "b": "2"})
    found = update(one, labels={"c": "3"}, removed_labels=("a", "absent"))
    assert found["nerdctlLabels"] == {"b": "2", "c": "3"}
    assert {**found, "nerdctlLabels": one.document["nerdctlLabels"]} == one.document


def test_labels_of_podmans_are_changed_where_podman_keeps_them() -> None:
    document = {
        "name": "x",
        "args": {"podman_labels": {"a": "1"}, "x": 1},
        "plugins": [{"type": "bridge", "bridge": "cni-podman1"}],
    }
    one = parse(json.dumps(document).encode(), "/x.conflist")
    found = update(one, labels={"b": "2"}, removed_labels=("a",))
    assert found == {**document, "args": {"podman_labels": {"b": "2"}, "x": 1}}
