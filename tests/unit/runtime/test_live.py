"""What is read of the host, on a host in memory."""

from __future__ import annotations

import errno
import json

import pytest

from linkspan.call.records import Records
from linkspan.cni.errors import IoFailure
from linkspan.host.memory import MemoryHost
from linkspan.runtime import live
from linkspan.runtime.lists import parse
from linkspan.runtime.live import Attachments
from linkspan.runtime.network import Network
from tests.unit.runtime.test_endpoints import WEB, cached

CUSTOM = Network(
    parse(b'{"name": "custom", "plugins": [{"type": "bridge", "bridge": "br0"}]}', "/net/c.conflist")
)


@pytest.fixture
def host() -> MemoryHost:
    """A LAN on eth0 with a default route, and an empty bridge."""
    made = MemoryHost()
    links = made.links()
    links.create_bridge("eth0", mtu=1420)
    links.change("eth0", up=True)
    links.add_address("eth0", "198.51.100.10/24")
    links.add_route("0.0.0.0/0", ifname="eth0", gw="198.51.100.1")
    links.create_bridge("br0")
    return made


def cache(host: MemoryHost, **fields: object) -> None:
    name = f"{fields.get('networkName', 'custom')}-{WEB.container_id}-eth0"
    host.files.write(f"{live.CACHE_DIR}/{name}", json.dumps(cached(**fields)).encode())


def test_a_container_that_only_the_cache_knows_is_attached_while_its_host_link_is_there(
    host: MemoryHost,
) -> None:
    cache(host)
    assert not Attachments(host).uses(CUSTOM)
    host.links().create_bridge("veth1")
    ((endpoint, owner),) = Attachments(host).of(CUSTOM)
    assert (endpoint.attachment, owner.name) == (WEB, "a" * 12)


def test_a_container_that_only_a_record_knows_is_attached_while_its_host_link_is_there(
    host: MemoryHost,
) -> None:
    Records(host, "bridge").write(WEB, {"bridge": "br0", "addresses": ["172.17.0.2/16"]})
    assert not Attachments(host).uses(CUSTOM)
    host.links().create_bridge(WEB.host_veth)
    assert Attachments(host).uses(CUSTOM)


def test_a_container_on_another_bridge_is_on_another_network_of_that_name(host: MemoryHost) -> None:
    host.links().create_bridge(WEB.host_veth)
    Records(host, "bridge").write(WEB, {"bridge": "br1", "addresses": []})
    assert not Attachments(host).uses(CUSTOM)


def test_a_nerdctl_container_has_its_name(host: MemoryHost) -> None:
    host.links().create_bridge("veth1")
    cache(host)
    host.files.write(f"{live.NERDCTL_DIR}/1935db59/names/default/web", b"a" * 64)
    ((_, owner),) = Attachments(host).of(CUSTOM)
    assert owner.name == "web"


def test_a_file_in_the_cache_that_is_not_json_is_left_out(host: MemoryHost) -> None:
    host.files.write(f"{live.CACHE_DIR}/custom-x-eth0", b"{")
    assert Attachments(host).all() == ()


def test_a_network_whose_list_is_gone_is_known_from_the_cache(host: MemoryHost) -> None:
    host.links().create_bridge("veth1")
    config = "eyJuYW1lIjogImxvc3QiLCAicGx1Z2lucyI6IFt7InR5cGUiOiAiYnJpZGdlIn1dfQ=="
    cache(host, networkName="lost", config=config)
    (found,) = Attachments(host).lists_without_file({"custom"})
    assert (found.name, found.maker) == ("lost", "cache")
    assert Attachments(host).lists_without_file({"custom", "lost"}) == ()


def test_who_may_not_read_the_state_is_told_so() -> None:
    failure = IoFailure("cannot list /run/linkspan/1/records/bridge: Permission denied")
    failure.__cause__ = PermissionError(errno.EACCES, "Permission denied")
    host = MemoryHost(refuse={"files.names": failure})
    attachments = Attachments(host)
    assert attachments.all() == ()
    assert attachments.hidden


def test_any_other_failure_is_not_taken_for_an_empty_network() -> None:
    with pytest.raises(IoFailure):
        Attachments(MemoryHost(refuse={"files.names": errno.EIO})).all()


def used(host: MemoryHost, except_link: str = "") -> dict[str, str]:
    return {str(each.network): each.by for each in live.used_by_host(host, except_link=except_link)}


def test_connected_networks_next_hops_routes_and_name_servers_are_used(host: MemoryHost) -> None:
    host.links().add_route("10.0.0.0/8", ifname="eth0", gw="198.51.100.7")
    host.files.write(live.RESOLV_CONF, b"# x\nnameserver 192.168.7.53\nnameserver fe80::1%eth0\nsearch a\n")
    assert used(host) == {
        "198.51.100.0/24": "link eth0",
        "198.51.100.1/32": "next hop of the route to 0.0.0.0/0",
        "198.51.100.7/32": "next hop of the route to 10.0.0.0/8",
        "10.0.0.0/8": "route through eth0",
        "192.168.7.53/32": "name server in /etc/resolv.conf",
        "fe80::1/128": "name server in /etc/resolv.conf",
    }


def test_only_a_route_may_be_wider_than_a_subnet(host: MemoryHost) -> None:
    host.links().add_route("10.0.0.0/8", ifname="eth0", gw="198.51.100.7")
    strict = {str(each.network) for each in live.used_by_host(host) if each.strict}
    assert "10.0.0.0/8" not in strict
    assert "198.51.100.0/24" in strict


def test_a_bridge_that_will_be_the_networks_own_is_no_obstacle(host: MemoryHost) -> None:
    host.links().add_address("br0", "10.5.0.1/24")
    assert "10.5.0.0/24" in used(host)
    assert "10.5.0.0/24" not in used(host, except_link="br0")


def test_the_mtu_is_that_of_the_default_routes_link(host: MemoryHost) -> None:
    assert live.default_mtu(host.links()) == 1420
    assert live.default_mtu(MemoryHost().links()) == 0


def test_of_two_default_routes_the_preferred_one_counts(host: MemoryHost) -> None:
    links = host.links()
    links.create_bridge("wg0", mtu=1280)
    links.change("wg0", up=True)
    links.add_route("0.0.0.0/0", ifname="wg0", priority=50)
    # eth0's has the priority 0
    assert live.default_mtu(links) == 1420


def test_a_machine_without_an_id_has_its_host_name() -> None:
    host = MemoryHost()
    assert live.machine_id(host)
    host.files.write(live.MACHINE_ID, b"abc\n")
    assert live.machine_id(host) == "abc"
