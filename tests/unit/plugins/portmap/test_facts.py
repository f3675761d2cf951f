"""What portmap knows before planning, and what a record keeps of it."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from typing import Any

import pytest

from cni_portmap.config import Config, PortMapping
from cni_portmap.facts import Facts, Publication, read_facts
from linkspan.cni.model import Attachment, Request
from linkspan.cni.result import decode_result
from linkspan.netfilter.rules import Flow
from tests.harness.portmap import ATTACHMENT, WEB, PortmapDesk, portmap, publication

ATTACHMENT_ON_NET = Attachment("net", "c1", "eth0")


def test_a_record_gives_the_publication_back() -> None:
    local = PortMapping(host_port=53, container_port=53, protocol="udp", host_ip="192.0.2.1")
    made = publication(WEB, local, drop_direct_access=True, conditions_v4=("-s", "10.0.0.0/8"))
    record = json.loads(json.dumps(made.to_record()))
    assert Publication.from_record(ATTACHMENT, record) == made


@pytest.mark.parametrize(
    "record",
    [
        {"backend": "ebtables"},
        {"config": 3},
        {"config": {"mappings": [{}]}},
        {"config": {"mappings": [{"host_port": 0, "container_port": 80, "protocol": "tcp"}]}},
        {
            "config": {
                "mappings": [{"host_port": 80, "container_port": 80, "protocol": "tcp", "host_ip": "x"}]
            }
        },
        {"config": {"mappings": [], "unknown": 1}},
        {"address4": "nonsense"},
        {"address4": "fd00::1/64"},
        {"address6": None},
        {"hostLink": 7},
    ],
)
def test_a_damaged_record_gives_nothing(record: dict[str, Any]) -> None:
    whole = publication(WEB).to_record()
    assert Publication.from_record(ATTACHMENT, whole) is not None
    assert Publication.from_record(ATTACHMENT, {**whole, **record}) is None
    assert Publication.from_record(ATTACHMENT, record) is None


def test_only_flows_that_never_end_by_themselves_are_to_be_forgotten() -> None:
    made = publication(WEB, PortMapping(host_port=53, container_port=5353, protocol="udp", host_ip="0.0.0.0"))
    assert list(made.flows(of_container=True)) == [
        Flow(family=4, protocol="udp", to_port=53, reply_from="10.1.0.2")
    ]


def test_only_tcp_and_udp_ports_that_reach_loopback_addresses_are_relayed() -> None:
    made = publication(
        WEB,
        replace(WEB, host_port=81, host_ip="127.0.0.1", protocol="udp"),
        replace(WEB, host_port=82, host_ip="192.0.2.1"),
        replace(WEB, host_port=83, protocol="sctp"),
        localhost="relay",
    )
    assert [(each.family, each.protocol, each.host_ip, each.host_port) for each in made.relayed_ports()] == [
        (4, "udp", "127.0.0.1", 81),
        (4, "tcp", "", 8080),
        (6, "tcp", "", 8080),
    ]


def test_what_is_relayed_is_not_routed_and_only_that_is_not_translated() -> None:
    local = replace(WEB, host_port=81, host_ip="127.0.0.1")
    routed, made = publication(WEB, local), publication(WEB, local, localhost="relay")
    assert (routed.routes_loopback(), made.routes_loopback()) == (True, False)
    assert [each.host_port for each in routed.translated(4)] == [81, 8080]
    assert [each.host_port for each in made.translated(4)] == [8080]


def test_relayed_port_of_one_loopback_address_may_lead_to_an_address_of_the_other_family() -> None:
    made = replace(publication(WEB, replace(WEB, host_ip="::1"), localhost="relay"), address6="")
    assert [(each.host_ip, each.address) for each in made.relayed_ports()] == [
        ("", "10.1.0.2"),
        ("::1", "10.1.0.2"),
    ]
    assert (made.without_address(), made.rule_families) == ((), (4, 6))


def test_flows_to_the_relay_of_a_udp_port_are_to_be_forgotten_too() -> None:
    made = publication(replace(WEB, protocol="udp", host_ip="0.0.0.0"), localhost="relay")
    assert [each.reply_from for each in made.flows(of_container=True)] == ["10.1.0.2", "127.0.0.1"]


def test_a_port_of_a_family_that_the_container_lacks_has_no_address() -> None:
    six = replace(WEB, host_ip="2001:db8::1")
    assert replace(publication(six, WEB), address6="").without_address() == (six,)
    assert replace(publication(six, WEB), address4="", address6="").without_address() == (six, WEB)


def facts_of(desk: PortmapDesk, **keys: Any) -> Facts:
    """What an ADD of the desk's container would read."""
    document = portmap(desk.backend, **keys)
    result = decode_result(desk.attached, "1.1.0")
    request = Request(
        verb="ADD",
        plugin="portmap",
        cni_version="1.1.0",
        network="net",
        container_id="c1",
        ifname="eth0",
        config=document,
        prev_result=result,
    )
    return read_facts(request, Config.from_request(request), desk.host)


def test_the_container_is_behind_its_bridge_and_lives_as_long_as_its_host_link(desk: PortmapDesk) -> None:
    facts = facts_of(desk)
    assert (facts.backend, facts.interface) == (desk.backend, "br0")
    assert (facts.host_link, facts.earlier) == (ATTACHMENT_ON_NET.host_veth, None)


@pytest.mark.parametrize(("sysctl", "needed"), [(None, False), ("0", False), ("1", True)])
def test_hairpin_mode_is_needed_where_bridged_packets_are_translated(
    desk: PortmapDesk, sysctl: str | None, *, needed: bool
) -> None:
    links = desk.host.namespace("/proc/self/ns/net")
    if sysctl is not None:
        links.sysctls["bridge/bridge-nf-call-iptables"] = sysctl
    assert facts_of(desk).needs_hairpin == needed
    assert not facts_of(desk, snat=False).needs_hairpin


def test_what_an_earlier_add_published_is_known(desk: PortmapDesk) -> None:
    desk.call("ADD")
    earlier = facts_of(desk).earlier
    assert earlier is not None
    assert [each.host_port for each in earlier.config.mappings] == [8080, 53]


def test_listeners_on_the_configured_ports_are_known_and_no_others(desk: PortmapDesk) -> None:
    for protocol, port in (("tcp", 8080), ("tcp", 53), ("udp", 54)):
        desk.host.listen(protocol, port, "192.0.2.1")
    assert [str(each) for each in facts_of(desk).occupants] == [
        "another program, which listens on 192.0.2.1:8080"
    ]


@pytest.mark.parametrize("refused", ["host.listening", "processes.with_sockets"])
def test_a_host_that_cannot_tell_who_listens_is_a_warning(desk: PortmapDesk, refused: str) -> None:
    desk.host.listen("tcp", 8080)
    desk.host.listen("udp", 53)
    desk.host.refuse = {refused: errno.EMFILE}
    assert facts_of(desk).occupants == ()
    assert len([each for each in desk.host.warnings if "listens" in each]) == 2


def test_a_record_of_an_earlier_build_is_read() -> None:
    """A resident is upgraded while containers run; the record has the words of linkspan before its first
    release.
    """
    config = {
        "mappings": [{"host_port": 53, "container_port": 53, "protocol": "udp", "host_ip": "192.0.2.1"}],
        "backend": "",
        "snat": True,
        "masq_all": False,
        "mark_bit": 13,
        "external_set_mark_chain": "",
        "conditions_v4": [],
        "conditions_v6": [],
        "drop_direct_access": True,
    }
    record = {
        "backend": "nftables",
        "config": config,
        "address4": "10.5.0.2/24",
        "address6": "",
        "hostLink": "veth1",
        "interface": "br0",
        "reflects": True,
    }
    dns = PortMapping(host_port=53, container_port=53, protocol="udp", host_ip="192.0.2.1")
    assert Publication.from_record(ATTACHMENT, record) == Publication(
        attachment=ATTACHMENT,
        backend="nftables",
        config=Config(mappings=(dns,), drop_direct_access=True),
        address4="10.5.0.2/24",
        host_link="veth1",
        interface="br0",
        hairpin=True,
    )
