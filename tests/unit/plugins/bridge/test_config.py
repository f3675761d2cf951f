"""What bridge reads from a configuration, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from cni_bridge.config import subnets_of
from linkspan.cni.model import Request
from tests.harness.bridge import PLAIN, TAGGED, links, own_objects
from tests.harness.memory import Desk


@pytest.mark.parametrize(
    ("config", "args"),
    [
        ({"runtimeConfig": {"mac": "02:11:22:33:44:55"}}, "MAC=02:00:00:00:00:01"),
        ({"args": {"cni": {"mac": "02:11:22:33:44:55"}}}, "MAC=02:00:00:00:00:01"),
        ({"mac": "02:00:00:00:00:02"}, "MAC=02:11:22:33:44:55"),
        ({"mac": "02-11-22-33-44-55"}, ""),
        ({"mac": "0211.2233.4455"}, ""),
    ],
    ids=["runtimeConfig", "args.cni", "CNI_ARGS", "config", "dots"],
)
def test_the_mac_address_is_taken_from_its_sources_in_their_order(
    desk: Desk, config: dict[str, Any], args: str
) -> None:
    answer = desk.call("ADD", {**PLAIN, **config}, args=args)
    assert answer.document["interfaces"][2]["mac"] == "02:11:22:33:44:55"


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ({"hairpinMode": True, "promiscMode": True}, 7, "$.hairpinMode"),
        ({"disableContainerInterface": True}, 7, "$.disableContainerInterface"),
        ({"internal": True}, 7, "$.internal"),
        ({"mtu": 67}, 7, "$.mtu"),
        ({"mac": "01:00:00:00:00:00"}, 7, "mac"),
        ({"bridge": "lo"}, 7, "$.bridge"),
        ({"bridge": "br%d"}, 7, "$.bridge"),
        ({"bridge": "a\0b"}, 7, "$.bridge"),
        ({"bridge": "\ud800"}, 7, "$.bridge"),
        ({"bridge": ".."}, 7, "$.bridge"),
        ({"ipMasq": True, "ipMasqBackend": "ebtables"}, 7, "$.ipMasqBackend"),
        ({"ipam": {"type": "nobody"}}, 106, "nobody"),
        ({"ipam": {"type": "../bin/sh"}}, 7, "$.ipam.type"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_invalid_configuration_is_refused_and_leaves_nothing(
    desk: Desk, config: dict[str, Any], code: int, words: str
) -> None:
    answer = desk.call("ADD", {**PLAIN, **config})
    assert answer.code == code
    assert words in answer.msg
    assert len(answer.msg) <= 120
    assert own_objects(desk) == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"vlan": 4095}, "$.vlan"),
        ({"vlan": -1}, "$.vlan"),
        ({"vlan": 1.5}, "$.vlan"),
        ({"vlanTrunk": [{"id": 4095}]}, "$.vlanTrunk[0]"),
        ({"vlanTrunk": [{"minID": 9}]}, "$.vlanTrunk[0]"),
        ({"vlanTrunk": [{"id": 5}, {"minID": 9, "maxID": 8}]}, "$.vlanTrunk[1]"),
    ],
    ids=str,
)
def test_an_invalid_vlan_is_refused_with_its_path(desk: Desk, config: dict[str, Any], words: str) -> None:
    answer = desk.call("ADD", {**TAGGED, **config})
    assert answer.code == 7
    assert words in answer.msg
    assert links(desk).get("br0") is None


@pytest.mark.parametrize(
    ("ipam", "capability", "subnets"),
    [
        (
            {"ranges": [[{"subnet": "10.1.0.0/24"}, {"Subnet": "10.2.0.0/24"}]]},
            None,
            ("10.1.0.0/24", "10.2.0.0/24"),
        ),
        ({"subnet": "10.1.0.0/24"}, None, ("10.1.0.0/24",)),
        ({}, [{"subnet": "10.1.0.0/24"}, [{"subnet": "fd00::/64"}]], ("10.1.0.0/24", "fd00::/64")),
        ({"ranges": [7, [7], {"subnet": 7}, [{"subnet": "10.1.0.0/99"}]], "subnet": []}, 7, ()),
        (7, None, ()),
    ],
    ids=str,
)
def test_subnets_are_those_of_the_ranges_wherever_they_are_configured(
    ipam: Any, capability: Any, subnets: tuple[str, ...]
) -> None:
    config = {"ipam": ipam, "runtimeConfig": {"ipRanges": capability}}
    assert (
        subnets_of(Request(verb="ADD", plugin="bridge", cni_version="1.1.0", network="n", config=config))
        == subnets
    )
