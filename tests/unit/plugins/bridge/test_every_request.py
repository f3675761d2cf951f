"""ADD and DEL when a request fails or the process is killed at it."""

from __future__ import annotations

import errno
import re
from typing import Any

import pytest

from linkspan.host.memory import Killed, MemoryHost, Request
from tests.harness.bridge import IPAM, masquerading
from tests.harness.memory import Desk, SpyIpam

#: Configurations that between them take every step there is.
WHOLE: dict[str, dict[str, Any]] = {
    "iptables": {**masquerading("iptables"), "portIsolation": True},
    "nftables": {**masquerading("nftables"), "hairpinMode": True, "mtu": 1400},
    "guarded": {**masquerading("nftables"), "vlan": 100, "vlanTrunk": [{"id": 7}], "macspoofchk": True},
    "bound": {**masquerading("nftables"), "macspoofchk": True, "arpspoofchk": True, "refuseOverlap": True},
    "isolated": {**masquerading("nftables"), "isolated": True},
    "internal": {"type": "bridge", "bridge": "br0", "isGateway": True, "internal": True, "ipam": IPAM},
}


def requests_of(verb: str, config: dict[str, Any]) -> list[Request]:
    """All requests that a verb makes of a host where it succeeds."""
    desk = Desk()
    if verb == "DEL":
        desk.call("ADD", config)
        desk.host.revive()
    desk.host.requests.clear()
    assert desk.call(verb, config).status == 0
    return list(desk.host.requests)


def left(desk: Desk, config: dict[str, Any]) -> list[str]:
    """What is there besides what stays by design: the bridge, forwarding, the table's skeleton, cursors."""
    clean = Desk()
    clean.call("ADD", config)
    clean.call("DEL", config)
    fresh = desk.host.state() - clean.host.state() - Desk().host.state()
    return sorted(line for line in fresh if not SHARED.match(line) and "/released/" not in line)


SHARED = re.compile(
    r"/proc/self/ns/net ((link|address) br0(\.100)? |sysctl \S+/br0(\.100)?/|route .* ifname='br0(\.100)?')"
)


def sweep(verb: str) -> list[Any]:
    return [
        pytest.param(config, request, id=f"{name}-{request[0]}-{request[1]}")
        for name, config in WHOLE.items()
        for request in requests_of(verb, config)
    ]


@pytest.mark.parametrize(("config", "request_"), sweep("ADD"))
def test_add_leaves_nothing_of_its_own_if_any_request_fails(
    config: dict[str, Any], request_: Request
) -> None:
    desk = Desk(MemoryHost(refuse={request_: errno.ENOMEM}))
    answer = desk.call("ADD", config)
    assert answer.code != 199, answer.document
    if answer.status == 0:  # a request that ADD can do without
        assert desk.call("DEL", config).status == 0
    assert left(desk, config) == []


@pytest.mark.parametrize(("config", "request_"), sweep("ADD"))
def test_del_removes_everything_after_add_was_killed_at_any_request(
    config: dict[str, Any], request_: Request
) -> None:
    desk = Desk(MemoryHost(dies_at=request_))
    with pytest.raises(Killed):
        desk.call("ADD", config)
    desk.host.revive()
    assert desk.call("DEL", config).status == 0
    assert left(desk, config) == []


@pytest.mark.parametrize(("config", "request_"), sweep("DEL"))
def test_del_can_be_repeated_after_any_request_failed(config: dict[str, Any], request_: Request) -> None:
    desk = Desk()
    desk.call("ADD", config)
    desk.host.revive()
    desk.host.refuse = {request_: errno.ENOMEM}
    answer = desk.call("DEL", config)
    assert answer.code != 199, answer.document
    desk.host.revive()
    assert desk.call("DEL", config).status == 0
    assert left(desk, config) == []


@pytest.mark.parametrize("request_", requests_of("ADD", masquerading("nftables")), ids=str)
def test_the_address_is_released_if_any_request_fails(request_: Request) -> None:
    spy = SpyIpam()
    desk = Desk(MemoryHost(refuse={request_: errno.ENOMEM}))
    desk.program("spy", spy)
    answer = desk.call("ADD", {**masquerading("nftables"), "ipam": {"type": "spy"}})
    assert bool(spy.leases) == (answer.status == 0)
