"""`refuseOverlap` on a real kernel: which subnets would cut the host off, and what remains after the refusal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import ours
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.privatehost import OUTSIDE_V4, OUTSIDE_V6, PrivateHost

pytestmark = pytest.mark.root

LAN_V4, LAN_V6 = "198.51.100.0/24", "2001:db8:100::/64"


@pytest.fixture(autouse=True)
def installed(host: PrivateHost) -> None:
    """Our executables in the host."""
    ours.install(host)


def network(host: PrivateHost, *subnets: str, name: str = "over", **keys: Any) -> Chain:
    """The sample list `bridge` with other subnets, and keys of the plugin bridge."""
    conflist = {**ours.conflist("bridge"), "name": name}
    bridge = {**conflist["plugins"][0], "bridge": f"br-{name}", **keys}
    bridge["ipam"] = {"type": "host-local", "ranges": [[{"subnet": each}] for each in subnets]}
    return Chain({**conflist, "plugins": [bridge]}, ours.BIN, host=host, env=ours.STANDALONE)


def attach(host: PrivateHost, chain: Chain, name: str = "box") -> str:
    """Attach a container; what the plugin printed as warnings."""
    chain.add(Attachment(name, host.add_netns(name)))
    return chain.calls[-1].stderr


def leases(host: PrivateHost) -> list[str]:
    """The addresses that host-local has leased for the network."""
    names = host.run(["ls", "/var/lib/cni/networks/over"]).stdout.split()
    return [each for each in names if each[0].isdigit()]


def reaches_the_router(host: PrivateHost) -> bool:
    argv = (["ping", "-c1", "-W1", each] for each in (OUTSIDE_V4, OUTSIDE_V6))
    return all(host.run(each, check=False).returncode == 0 for each in argv)


@pytest.mark.parametrize(
    ("subnet", "words"),
    [
        (LAN_V4, "link eth0"),
        ("198.51.0.0/16", "link eth0"),
        ("198.51.100.0/28", "link eth0"),
        (LAN_V6, "link eth0"),
        ("192.0.2.0/24", "next hop of the route to 203.0.113.0/24"),
        ("203.0.113.0/24", "route through eth0"),
    ],
)
def test_a_subnet_of_the_host_is_refused_and_the_host_keeps_its_router(
    host: PrivateHost, subnet: str, words: str
) -> None:
    host.run(["ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.1", "dev", "eth0", "onlink"])
    before = set(host.links())
    with pytest.raises(ChainError) as refused:
        attach(host, network(host, subnet))
    assert (refused.value.error["code"], words in refused.value.error["msg"]) == (7, True)
    assert set(host.links()) == before
    assert leases(host) == []
    assert reaches_the_router(host)


def test_a_network_of_another_program_is_refused(host: PrivateHost) -> None:
    host.run(["ip", "link", "add", "docker0", "type", "bridge"])
    host.run(["ip", "address", "add", "10.7.0.1/16", "dev", "docker0"])
    with pytest.raises(ChainError, match=r"10\.7\.3\.0/24 overlaps 10\.7\.0\.0/16 \(link docker0\)"):
        attach(host, network(host, "10.7.3.0/24"))


def test_a_vpn_s_route_is_a_warning(host: PrivateHost) -> None:
    host.run(["ip", "route", "add", "10.0.0.0/8", "via", OUTSIDE_V4])
    assert "10.7.0.0/24 is part of 10.0.0.0/8 (route through eth0)" in attach(
        host, network(host, "10.7.0.0/24")
    )


def test_a_second_network_of_ours_with_the_same_subnet_is_a_warning(host: PrivateHost) -> None:
    assert attach(host, network(host, "10.7.0.0/24", name="one"), "a") == ""
    assert attach(host, network(host, "10.7.0.0/24", name="one"), "b") == ""
    assert "(link br-one), another network of containers" in attach(
        host, network(host, "10.7.0.0/24", name="two"), "c"
    )


def test_the_host_s_own_networks_do_not_hinder_a_free_subnet(host: PrivateHost) -> None:
    assert attach(host, network(host, "10.7.0.0/24", "fd00:7::/64")) == ""


def test_without_the_key_the_lan_s_subnet_is_taken_as_by_the_reference(host: PrivateHost) -> None:
    attach(host, network(host, LAN_V4, refuseOverlap=False))
    assert host.links()["br-over"]["addr_info"][0]["local"] == OUTSIDE_V4
