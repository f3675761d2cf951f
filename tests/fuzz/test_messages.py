"""Whatever number or text reaches the kernel's messages: it fits, or is refused as the kernel refuses (OSError)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from linkspan.host.contract import PortVlans
from linkspan.host.linux.netlink import rtnl_link, rtnl_route
from linkspan.host.linux.netlink.client import Request
from tests.fuzz.strategies import numbers, texts, variables
from tests.harness.scale import SEED, scaled

pytestmark = pytest.mark.soak
EXAMPLES = scaled(short=200, whole=5000)

whole = numbers.filter(lambda each: isinstance(each, int))
maybe = st.none() | whole
words = texts | variables
macs = st.sampled_from(("02:00:00:00:00:01", "00:00:00:00:00:00:00:01", ""))
interfaces = st.sampled_from(("10.5.0.2/24", "10.5.0.2/32", "fd00::2/64", "::/0")).map(ipaddress.ip_interface)
destinations = st.sampled_from(("0.0.0.0/0", "10.9.3.4/16", "fd00:9::1/48"))
gateways = st.sampled_from(("", "10.5.0.1", "fe80::1"))
#: What makes a message -> strategies of its arguments.
MESSAGES: dict[Callable[..., Request], dict[str, st.SearchStrategy[object]]] = {
    rtnl_route.new_route: {
        "dst": destinations,
        "index": st.just(2),
        "gw": gateways,
        "mtu": maybe,
        "advmss": maybe,
        "priority": maybe,
        "table": maybe,
        "scope": maybe,
    },
    rtnl_route.new_address: {"index": st.just(2), "interface": interfaces, "nodad": st.booleans()},
    rtnl_link.new_bridge: {"name": words, "mac": macs, "mtu": whole, "vlan_filtering": st.booleans()},
    rtnl_link.new_vlan: {"name": words, "link": st.just(2), "vlan": whole},
    rtnl_link.new_veth: {
        "name": words,
        "mac": macs,
        "peer": words,
        "peer_mac": macs,
        "peer_netns": st.just(7),
        "mtu": whole,
    },
    rtnl_link.set_link: {"index": st.just(2), "mtu": maybe, "mac": macs, "txqlen": maybe},
    rtnl_link.add_port_vlans: {"index": st.just(2), "vlans": st.builds(PortVlans, whole, whole)},
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda it: it.__name__)
def test_a_message_is_made_or_refused(message: Callable[..., Request]) -> None:
    def claim(arguments: dict[str, object]) -> None:
        with suppress(OSError):
            assert isinstance(message(**arguments), Request)

    chosen = settings(max_examples=EXAMPLES, deadline=None, database=None)
    seed(SEED)(chosen(given(arguments=st.fixed_dictionaries(MESSAGES[message]))(claim)))()
