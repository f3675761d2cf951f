"""portmap's configuration: what it accepts, how it reads it, and what it says of what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from cni_portmap.config import Config, PortMapping
from linkspan.cni.errors import CniError, InvalidConfig, UnsupportedField
from linkspan.cni.model import Request


def config(ports: list[dict[str, Any]] | None = None, **keys: Any) -> Config:
    document = {"type": "portmap", **keys, "runtimeConfig": {"portMappings": ports or []}}
    request = Request(verb="ADD", plugin="portmap", cni_version="1.1.0", network="net", config=document)
    return Config.from_request(request)


def port(**keys: Any) -> dict[str, Any]:
    return {"hostPort": 8080, "containerPort": 80, **keys}


def test_defaults_are_the_references() -> None:
    made = config()
    assert (made.backend, made.snat, made.masq_all, made.mark_bit) == ("", True, False, 13)


def test_without_ports_and_without_a_shield_there_is_nothing_to_do() -> None:
    assert config().is_empty
    assert not config([port()]).is_empty
    assert not config(dropDirectAccess=True).is_empty


@pytest.mark.parametrize(
    ("said", "meant"),
    [({}, "tcp"), ({"protocol": ""}, "tcp"), ({"protocol": "UDP"}, "udp"), ({"protocol": "sctp"}, "sctp")],
)
def test_protocols_are_lower_case_and_tcp_unless_said(said: dict[str, str], meant: str) -> None:
    assert config([port(**said)]).mappings[0].protocol == meant


@pytest.mark.parametrize(
    ("host_ip", "families", "one_address"),
    [
        ("", (4, 6), ""),
        ("0.0.0.0", (4,), ""),
        ("::", (6,), ""),
        ("192.0.2.1", (4,), "192.0.2.1"),
        ("2001:DB8::0001", (6,), "2001:db8::1"),
    ],
)
def test_a_host_ip_says_family_and_address(host_ip: str, families: tuple[int, ...], one_address: str) -> None:
    mapping = config([port(hostIP=host_ip)]).mappings[0]
    assert (mapping.families, mapping.one_address) == (families, one_address)


def test_one_mapping_said_twice_is_one() -> None:
    assert len(config([port(), port(protocol="TCP")]).mappings) == 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (port(hostPort=0), "portMappings[0].hostPort: 0"),
        (port(containerPort=65536), "portMappings[0].containerPort: 65536"),
        (port(hostPort=True), "portMappings[0].hostPort: True"),
        (port(protocol="icmp"), "portMappings[0].protocol: 'icmp'"),
        (port(hostIP="notanip"), "portMappings[0].hostIP: 'notanip'"),
    ],
)
def test_a_wrong_mapping_is_named_with_its_place_and_value(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        config([wrong])
    assert named in refused.value.msg


def test_of_several_entries_for_one_host_port_the_first_counts() -> None:
    assert config([port(), port(containerPort=81)]).mappings == config([port()]).mappings


def test_ipv6_loopback_cannot_be_published_on() -> None:
    with pytest.raises(UnsupportedField):
        config([port(hostIP="::1")])


@pytest.mark.parametrize(
    "keys",
    [
        {"markMasqBit": 32},
        {"markMasqBit": -1},
        {"markMasqBit": 3, "externalSetMarkChain": "MINE"},
        {"conditionsV4": ["-s", "10.0.0.0/8\n-j ACCEPT"]},
        {"conditionsV6": ["ip6 saddr ::1; drop"]},
    ],
)
def test_keys_that_make_no_sense_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig):
        config([port()], **keys)


@pytest.mark.parametrize(
    ("keys", "backend"),
    [
        ({"conditionsV4": ["-s", "10.0.0.0/8"]}, "nftables"),
        ({"conditionsV6": ["ip6", "saddr", "::1"]}, "iptables"),
        ({"externalSetMarkChain": "MINE"}, "nftables"),
    ],
)
def test_what_a_back_end_cannot_do_is_refused(keys: dict[str, Any], backend: str) -> None:
    with pytest.raises(InvalidConfig):
        config([port()], **keys).check_backend(backend)


def test_messages_are_short_enough_to_stand_alone() -> None:
    with pytest.raises(CniError) as refused:
        PortMapping.from_json(port(hostIP="x" * 500), "$.runtimeConfig.portMappings[0]")
    assert len(refused.value.msg) <= 120


def test_localhost_is_routed_unless_it_is_to_be_relayed() -> None:
    assert (config().localhost, config(localhost="").localhost, config(localhost="relay").localhost) == (
        "",
        "",
        "relay",
    )


def test_unknown_way_to_localhost_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"\$\.localhost: 'proxy' is unknown"):
        config(localhost="proxy")


def test_ipv6_loopback_can_be_published_on_if_it_is_relayed() -> None:
    assert config([port(hostIP="::1")], localhost="relay").mappings[0].host_ip == "::1"
    with pytest.raises(UnsupportedField) as raised:
        config([port(hostIP="::1")])
    assert 'set $.localhost to "relay"' in raised.value.details


@pytest.mark.parametrize("key", ["conditionsV4", "conditionsV6"])
def test_what_is_relayed_has_no_conditions(key: str) -> None:
    with pytest.raises(InvalidConfig, match=f"excludes {key}"):
        config([port()], localhost="relay", **{key: ["-s", "10.0.0.0/8"]})
