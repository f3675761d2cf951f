"""The kernel is asked for no more flows than may match, and those that match are found."""

from __future__ import annotations

import pytest

from linkspan.host.linux.netlink.attributes import number, parse
from linkspan.host.linux.netlink.conntrack import Tracked, list_flows, matches
from linkspan.netfilter.rules import Flow

DNS = Tracked(original=b"", protocol=17, to_port=53, to_address="10.0.0.1", reply_from="10.5.0.2")
FILTER, ORIGINAL, PROTO, PORT = 25, 1, 2, 3


@pytest.mark.parametrize(("ports", "narrowed"), [({53}, 53), ({0}, 0), ({53, 54}, 0), ({0, 53}, 0)], ids=str)
def test_a_dump_is_narrowed_to_a_port_only_if_it_is_the_only_one(ports: set[int], narrowed: int) -> None:
    attributes = parse(list_flows(4, "udp", ports).payload, 4)
    protocol = parse(parse(attributes[ORIGINAL])[PROTO])
    assert int.from_bytes(protocol.get(PORT, b""), "big") == narrowed
    by_port = number(parse(attributes[FILTER])[1]) & 1 << 5
    assert bool(by_port) == bool(narrowed)


@pytest.mark.parametrize(
    ("flow", "matched"),
    [
        (Flow(family=4, protocol="udp"), True),
        (Flow(family=4, protocol="udp", to_port=53, to_address="10.0.0.1", reply_from="10.5.0.2"), True),
        (Flow(family=4, protocol="tcp", to_port=53), False),
        (Flow(family=4, protocol="udp", to_port=54), False),
        (Flow(family=4, protocol="udp", to_address="10.0.0.2"), False),
        (Flow(family=4, protocol="udp", reply_from="10.0.0.1"), False),
    ],
)
def test_a_flow_matches_by_every_field_that_is_set(flow: Flow, matched: bool) -> None:
    assert matches(flow, DNS) == matched
