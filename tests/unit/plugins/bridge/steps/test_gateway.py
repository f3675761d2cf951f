"""The gateway's addresses, and forwarding."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.harness.bridge import PLAIN, links, masquerading
from tests.harness.memory import Answer, Desk


@pytest.mark.parametrize("force", [False, True])
def test_another_gateway_address_is_replaced_only_with_force(desk: Desk, force: bool) -> None:
    host = links(desk)
    host.create_bridge("br0")
    host.add_address("br0", "192.168.1.1/24")
    answer = desk.call("ADD", {**PLAIN, "forceAddress": force})
    assert answer.code == (0 if force else 7)
    assert ("192.168.1.1/24" in host.addresses("br0")) == (not force)


TWO_SUBNETS = [{"subnet": "192.0.2.0/29"}, {"subnet": "192.0.2.64/29"}]
WIDENED = {**PLAIN, "ipam": {"type": "host-local", "ranges": [TWO_SUBNETS]}}


def add(desk: Desk, container_id: str, config: dict[str, Any]) -> Answer:
    netns = f"/run/netns/{container_id}"
    desk.host.add_netns(netns)
    return desk.call("ADD", config, container_id=container_id, netns=netns)


@pytest.mark.parametrize("force", [False, True])
def test_a_second_subnet_of_a_range_set_gets_its_gateway_beside_the_first_ones(
    desk: Desk, force: bool
) -> None:
    config = {**WIDENED, "forceAddress": force}
    for number in range(6):
        assert add(desk, f"c{number}", config).code == 0
    desk.call("DEL", config, container_id="c0", netns="/run/netns/c0")
    assert add(desk, "again", config).code == 0
    assert set(links(desk).addresses("br0")) == {"192.0.2.1/29", "192.0.2.65/29"}


@pytest.mark.parametrize(
    "present",
    ["10.9.0.1/24", "192.0.2.3/29", "192.0.2.66/29", "192.0.2.65/28"],
    ids=["network", "first", "second", "prefix"],
)
def test_an_address_that_is_not_the_gateway_of_a_subnet_of_the_list_is_an_error(
    desk: Desk, present: str
) -> None:
    links(desk).create_bridge("br0")
    links(desk).add_address("br0", present)
    answers = [add(desk, f"c{number}", WIDENED).code for number in range(6)]
    assert 7 in answers


EDITED = {**PLAIN, "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}


def test_an_edited_list_replaces_the_address_of_its_bridge_once_no_container_is_left(desk: Desk) -> None:
    add(desk, "c1", PLAIN)
    assert add(desk, "c2", EDITED).code == 7
    desk.call("DEL", PLAIN, container_id="c1", netns="/run/netns/c1")
    assert add(desk, "c2", EDITED).code == 0
    assert [each for each in links(desk).addresses("br0") if ":" not in each] == ["10.9.0.1/24"]


def test_the_address_of_a_bridge_that_an_administrator_made_is_not_replaced(desk: Desk) -> None:
    links(desk).create_bridge("br0", mac="02:00:00:00:00:77")
    links(desk).add_address("br0", "10.5.0.1/24")
    assert add(desk, "c2", EDITED).code == 7


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
