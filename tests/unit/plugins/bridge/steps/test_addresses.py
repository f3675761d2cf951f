"""Giving a link an IPv6 address: what keeps it from having one is named."""

from __future__ import annotations

from tests.harness.bridge import PLAIN, links
from tests.harness.memory import BOX, Desk


def test_a_bridge_of_somebody_else_stays_as_it_is_and_its_sysctl_is_named(desk: Desk) -> None:
    host = links(desk)
    host.create_bridge("br0")
    host.set_sysctl("ipv6/conf/br0/disable_ipv6", "1")
    answer = desk.call("ADD", PLAIN)
    assert answer.code == 101
    assert "set the sysctl net.ipv6.conf.br0.disable_ipv6 to 0" in answer.document["details"]


def test_a_kernel_without_ipv6_is_named(desk: Desk) -> None:
    box = desk.host.namespace(BOX)
    box.sysctls.clear()
    config = {"type": "bridge", "bridge": "br0", "ipam": {"type": "host-local", "subnet": "fd00:5::/64"}}
    assert "this kernel has no IPv6" in desk.call("ADD", config).document["details"]
