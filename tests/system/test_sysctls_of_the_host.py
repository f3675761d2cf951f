"""Hosts whose /proc/sys is read-only or whose IPv6 is switched off: containers are attached, and what is missing is named."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import ours
from tests.harness.chain import Chain, ChainError
from tests.harness.networks import box
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

READ_ONLY = ["mount", "--bind", "-o", "ro", "/proc/sys", "/proc/sys"]


@pytest.fixture(autouse=True)
def installed(host: PrivateHost) -> None:
    """Our executables in the host."""
    ours.install(host)


def chain(host: PrivateHost, *subnets: str, **keys: Any) -> Chain:
    ipam = {"type": "host-local", "ranges": [[{"subnet": each}] for each in subnets]}
    plugin = {"type": "bridge", "bridge": "br0", "isGateway": True, "ipam": ipam, **keys}
    return Chain(
        {"cniVersion": "1.1.0", "name": "n", "plugins": [plugin]}, ours.BIN, host=host, env=ours.STANDALONE
    )


def test_with_a_read_only_proc_sys_hardening_is_a_warning_and_what_is_needed_is_named(
    host: PrivateHost,
) -> None:
    one, two = box(host, "one"), box(host, "two")
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    host.run(READ_ONLY)
    routed = chain(host, "10.5.0.0/24", acceptRA=False)
    with pytest.raises(ChainError) as refused:
        routed.add(one)
    assert "net.ipv4.ip_forward to 1" in refused.value.error["details"]
    routed.delete(one)
    host.run(["umount", "/proc/sys"])
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    host.run(READ_ONLY)
    routed.add(two)
    assert "net.ipv6.conf.eth0.accept_ra is not set to 0" in routed.calls[-1].stderr
    host.run(["ping", "-c1", "-W2", "10.5.0.1"], netns="two")


def test_a_new_bridge_has_ipv6_on_a_host_that_has_it_switched_off(host: PrivateHost) -> None:
    for key in ("all", "default"):
        host.run(["sysctl", "-qw", f"net.ipv6.conf.{key}.disable_ipv6=1"])
    dual = chain(host, "10.5.0.0/24", "fd00:5::/64")
    dual.add(box(host, "one"))
    host.run(["ping", "-6", "-c1", "-W2", "fd00:5::1"], netns="one")


def test_a_bridge_of_somebody_else_without_ipv6_is_named(host: PrivateHost) -> None:
    host.run(["ip", "link", "add", "br0", "type", "bridge"])
    host.run(["sysctl", "-qw", "net.ipv6.conf.br0.disable_ipv6=1"])
    dual = chain(host, "10.5.0.0/24", "fd00:5::/64")
    one = box(host, "one")
    with pytest.raises(ChainError) as refused:
        dual.add(one)
    assert "set the sysctl net.ipv6.conf.br0.disable_ipv6 to 0" in refused.value.error["details"]
    dual.delete(one)
    host.run(["sysctl", "-qw", "net.ipv6.conf.br0.disable_ipv6=0"])
    dual.add(one)


def test_a_router_that_is_link_local_is_the_way_out(host: PrivateHost) -> None:
    one = box(host, "one")
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": "fd00:7::/64", "gateway": "fe80::1"}]],
        "routes": [{"dst": "::/0"}, {"dst": "fd00:9::1/48"}],
    }
    routed = chain(host, ipam=ipam)
    routed.add(one)
    routed.check(one)
    shown = host.run(["ip", "-6", "route"], netns="one").stdout
    assert "default via fe80::1 dev eth0" in shown
    assert "fd00:9::/48 via fe80::1 dev eth0" in shown
    host.run(["ping", "-6", "-c1", "-W2", "fe80::1%eth0"], netns="one")
