"""Who gets a host port, and what is left of a dead owner."""

from __future__ import annotations

from typing import Any

import pytest

from cni_portmap.rules_iptables import chain_name, shield_name
from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from tests.harness.portmap import BRIDGE, PortmapDesk, portmap


def test_a_second_container_is_told_who_has_the_port(desk: PortmapDesk) -> None:
    desk.call("ADD")
    desk.host.add_netns("/run/netns/other")
    other = desk.runtime.beside("other-net")
    other.call("ADD", {**BRIDGE, "bridge": "br1"}, container_id="c2", netns="/run/netns/other")
    config = portmap(desk.backend, [{"hostPort": 8080, "containerPort": 1}], prevResult=other.result)
    answer = other.call("ADD", config, container_id="c2", netns="/run/netns/other")
    assert answer.code == 104
    assert "c1" in answer.msg
    assert "net" in answer.msg


@pytest.mark.parametrize(
    ("theirs", "clash"),
    [
        ({"hostIP": "192.0.2.9"}, True),
        ({"hostIP": "0.0.0.0"}, True),
        ({"hostIP": "::"}, True),
        ({"protocol": "udp"}, False),
        ({"hostPort": 8081}, False),
    ],
)
def test_ports_clash_where_one_packet_could_be_for_both(
    desk: PortmapDesk, theirs: dict[str, Any], clash: bool
) -> None:
    desk.call("ADD")
    desk.host.add_netns("/run/netns/other")
    other = desk.runtime.beside("other-net")
    other.call("ADD", {**BRIDGE, "bridge": "br1"}, container_id="c2", netns="/run/netns/other")
    ports = [{"hostPort": 8080, "containerPort": 1, **theirs}]
    config = portmap(desk.backend, ports, prevResult=other.result)
    answer = other.call("ADD", config, container_id="c2", netns="/run/netns/other")
    assert answer.code == (104 if clash else 0)


def test_what_two_addresses_of_the_host_publish_does_not_clash(desk: PortmapDesk) -> None:
    desk.call("ADD", [{"hostPort": 8080, "containerPort": 80, "hostIP": "192.0.2.1"}])
    ports = [{"hostPort": 8080, "containerPort": 81, "hostIP": "192.0.2.2"}]
    config = portmap(desk.backend, ports, prevResult=desk.attached)
    assert desk.runtime.call("ADD", config, container_id="c2").status == 0


def test_a_port_of_a_container_that_is_gone_is_taken_over_with_all_it_left(desk: PortmapDesk) -> None:
    desk.call("ADD")
    gone = Attachment("net", "c1", "eth0")
    desk.host.namespace("/proc/self/ns/net").delete(gone.host_veth)
    config = portmap(desk.backend, [{"hostPort": 8080, "containerPort": 81}], prevResult=desk.attached)
    assert desk.runtime.call("ADD", config, container_id="c2").status == 0
    marks = ('"c1"', " c1 ", chain_name(gone), shield_name(gone))
    assert not [line for line in desk.own() if any(mark in line for mark in marks)]


def test_a_dead_owner_without_a_record_leaves_no_claim(desk: PortmapDesk) -> None:
    desk.call("ADD")
    gone = Attachment("net", "c1", "eth0")
    Records(desk.host, "portmap").remove(gone)
    desk.host.namespace("/proc/self/ns/net").delete(gone.host_veth)
    config = portmap(desk.backend, [{"hostPort": 8080, "containerPort": 81}], prevResult=desk.attached)
    assert desk.runtime.call("ADD", config, container_id="c2").status == 0
    assert not [line for line in desk.own() if gone.key in line]


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"[]", b'{"network": 1}'])
def test_a_damaged_claim_is_nobody_s(desk: PortmapDesk, content: bytes) -> None:
    path = f"{desk.host.state_dir}/ports/tcp/8080/any4.{'0' * 32}"
    desk.host.files.write(path, content)
    assert [desk.call(verb).status for verb in ("ADD", "CHECK", "DEL")] == [0, 0, 0]
