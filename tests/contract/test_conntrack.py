"""Conntrack in memory and on the kernel delete the same flows."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from linkspan.cni.addresses import Family
from linkspan.host.contract import Conntrack
from linkspan.host.linux.netlink.conntrack import LinuxConntrack
from linkspan.host.memory.netfilter import MemoryConntrack
from linkspan.netfilter.rules import Flow
from tests.harness.privatehost import HOST_V4, OUTSIDE_V4, OUTSIDE_V6, PrivateHost

ADDRESS: dict[Family, str] = {4: OUTSIDE_V4, 6: OUTSIDE_V6}
TRACKED: tuple[tuple[Family, int], ...] = ((4, 1001), (4, 1002), (4, 53), (6, 1001), (6, 53))


@pytest.fixture(params=["memory", pytest.param("linux", marks=pytest.mark.root)])
def conntrack(request: pytest.FixtureRequest) -> Iterator[Conntrack]:
    """A conntrack that tracks a udp flow from the host to the outside for each of TRACKED."""
    if request.param == "memory":
        memory = MemoryConntrack()
        memory.flows = [
            Flow(
                family=family,
                protocol="udp",
                to_port=port,
                to_address=ADDRESS[family],
                reply_from=ADDRESS[family],
            )
            for family, port in TRACKED
        ]
        yield memory
        return
    host: PrivateHost = request.getfixturevalue("host")
    for command in (
        "add table inet watch",
        "add chain inet watch out { type filter hook output priority 0; }",
        "add rule inet watch out ct state new accept",
    ):
        host.run(["nft", command])
    with host.entered():
        for family, port in TRACKED:
            kind = socket.AF_INET6 if family == 6 else socket.AF_INET
            with socket.socket(kind, socket.SOCK_DGRAM) as asker:
                asker.sendto(b"?", (ADDRESS[family], port))
        yield LinuxConntrack()


@pytest.mark.parametrize(
    ("wanted", "deleted"),
    [
        ([Flow(family=4, protocol="udp", to_port=1001)], 1),
        ([Flow(family=4, protocol="udp", to_port=1001), Flow(family=4, protocol="udp", to_port=1002)], 2),
        ([Flow(family=4, protocol="udp", to_port=1001), Flow(family=6, protocol="udp", to_port=1001)], 2),
        ([Flow(family=4, protocol="udp")], 3),
        ([Flow(family=4, protocol="udp", to_port=53, to_address=OUTSIDE_V4)], 1),
        ([Flow(family=4, protocol="udp", to_port=53, to_address=HOST_V4)], 0),
        ([Flow(family=6, protocol="udp", reply_from=OUTSIDE_V6)], 2),
        ([Flow(family=4, protocol="udp", to_port=53, reply_from="10.0.0.1")], 0),
        ([Flow(family=4, protocol="sctp", to_port=53)], 0),
        ([Flow(family=4, protocol="tcp")], 0),
        ([], 0),
    ],
)
def test_flows_that_match_every_field_that_is_set_are_deleted(
    conntrack: Conntrack, wanted: list[Flow], deleted: int
) -> None:
    assert conntrack.flush(wanted) == deleted


def test_a_flow_is_deleted_once(conntrack: Conntrack) -> None:
    flow = Flow(family=6, protocol="udp", to_port=53)
    assert [conntrack.flush([flow]), conntrack.flush([flow])] == [1, 0]


@pytest.mark.root
def test_a_kernel_without_connection_tracking_has_nothing_to_delete(
    host: PrivateHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(93, "Protocol not supported")

    opened: Callable[..., object] = refused
    monkeypatch.setattr(socket, "socket", opened)
    assert LinuxConntrack().flush([Flow(family=4, protocol="udp")]) == 0
