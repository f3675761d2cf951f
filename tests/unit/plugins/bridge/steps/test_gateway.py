"""The gateway's addresses, and forwarding."""

from __future__ import annotations

import errno

import pytest

from tests.harness.bridge import PLAIN, links, masquerading
from tests.harness.memory import Desk


@pytest.mark.parametrize("force", [False, True])
def test_another_gateway_address_is_replaced_only_with_force(desk: Desk, force: bool) -> None:
    host = links(desk)
    host.create_bridge("br0")
    host.add_address("br0", "192.168.1.1/24")
    answer = desk.call("ADD", {**PLAIN, "forceAddress": force})
    assert answer.code == (0 if force else 7)
    assert ("192.168.1.1/24" in host.addresses("br0")) == (not force)


@pytest.mark.parametrize("used", [False, True])
def test_a_failed_add_removes_its_gateway_address_unless_another_port_uses_it(desk: Desk, used: bool) -> None:
    host = links(desk)
    host.create_bridge("br0")
    if used:
        desk.host.add_netns("/run/netns/other")
        other = {"type": "bridge", "bridge": "br0"}
        desk.beside("plain").call("ADD", other, container_id="other", netns="/run/netns/other")
    desk.host.refuse = {"nftables.apply": errno.EBUSY}
    assert desk.call("ADD", masquerading("nftables")).code == 101
    assert set(host.addresses("br0")) == ({"10.5.0.1/24", "fd00:5::1/64"} if used else set())


def test_a_failed_add_restores_a_replaced_gateway_address(desk: Desk) -> None:
    host = links(desk)
    host.create_bridge("br0")
    host.add_address("br0", "192.168.1.1/24")
    desk.host.refuse = {"nftables.apply": errno.EBUSY}
    assert desk.call("ADD", {**masquerading("nftables"), "forceAddress": True}).code == 101
    assert host.addresses("br0") == ("192.168.1.1/24",)


def test_a_host_configured_by_router_advertisements_keeps_accepting_them(desk: Desk) -> None:
    host = links(desk)
    host.create_bridge("uplink")
    desk.call("ADD", PLAIN)
    assert host.sysctl("ipv6/conf/uplink/accept_ra") == "2"
    assert host.sysctl("ipv6/conf/br0/accept_ra") == "0"
