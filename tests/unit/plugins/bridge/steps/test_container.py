"""The container's end of the pair."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from linkspan.host.memory import Killed, MemoryHost
from tests.harness.bridge import PLAIN
from tests.harness.memory import BOX, Desk


def test_with_an_ipv6_address_router_advertisements_are_ignored_before_the_interface_is_up() -> None:
    desk = Desk(MemoryHost(dies_at=("links.change", 3)))  # the bridge and the host's end are up before
    with pytest.raises(Killed):
        desk.call("ADD", PLAIN)
    box = desk.host.namespace(BOX)
    link = box.get("eth0")
    assert (link is not None and link.up) is False
    assert [box.sysctl(f"ipv6/conf/eth0/{key}") for key in ("accept_ra", "autoconf")] == ["0", "0"]


def test_without_an_ipv6_address_router_advertisements_are_accepted(desk: Desk) -> None:
    desk.call("ADD", {**PLAIN, "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"}})
    box = desk.host.namespace(BOX)
    assert [box.sysctl(f"ipv6/conf/eth0/{key}") for key in ("accept_ra", "autoconf")] == ["1", "1"]


def test_with_accept_ra_false_a_container_without_ipv6_ignores_them_too(desk: Desk) -> None:
    desk.call("ADD", {**PLAIN, "acceptRA": False, "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"}})
    box = desk.host.namespace(BOX)
    assert [box.sysctl(f"ipv6/conf/eth0/{key}") for key in ("accept_ra", "autoconf")] == ["0", "0"]


def test_neighbours_are_notified_of_the_addresses(desk: Desk) -> None:
    desk.call("ADD", PLAIN)
    assert desk.host.namespace(BOX).announced == [("eth0", "10.5.0.2/24"), ("eth0", "fd00:5::2/64")]


HARDENING = ("accept_ra", "autoconf", "accept_dad")


def test_hardening_that_cannot_be_had_is_said_and_the_container_is_attached(desk: Desk) -> None:
    """As in a container whose /proc/sys is read-only."""
    desk.host.refuse = {"links.set_sysctl": errno.EROFS}
    ipam = {"type": "host-local", "subnet": "10.5.0.0/24"}
    answer = desk.call("ADD", {"type": "bridge", "bridge": "br0", "acceptRA": False, "ipam": ipam})
    assert answer.status == 0
    for key in HARDENING:
        assert any(f"net.ipv6.conf.eth0.{key} is not set" in each for each in desk.host.warnings)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"ipam": {"type": "host-local", "subnet": "fd00:5::/64"}}, "net.ipv6.conf.eth0.disable_ipv6"),
        ({"isGateway": True, "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"}}, "net.ipv4.ip_forward"),
        (
            {"isGateway": True, "ipam": {"type": "host-local", "subnet": "fd00:5::/64"}},
            "net.ipv6.conf.br0.disable_ipv6",
        ),
    ],
)
def test_a_sysctl_without_which_the_container_does_not_work_is_named(
    desk: Desk, config: dict[str, Any], name: str
) -> None:
    desk.host.refuse = {"links.set_sysctl": errno.EROFS}
    answer = desk.call("ADD", {"type": "bridge", "bridge": "br0", **config})
    assert answer.code == 101
    assert name in answer.document["details"]
