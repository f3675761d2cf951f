"""What is read of the host, on a host in memory."""

from __future__ import annotations

import errno
import json

import pytest

from linkspan.call.records import Records
from linkspan.cni.errors import IoFailure
from linkspan.host.memory import MemoryHost
from linkspan.runtime import containers
from linkspan.runtime.attachments import Attachments
from linkspan.runtime.cache import CACHE_DIR
from linkspan.runtime.lists import parse
from linkspan.runtime.network import Network
from tests.unit.runtime.test_endpoints import WEB, cached

CUSTOM = Network(
    parse(b'{"name": "custom", "plugins": [{"type": "bridge", "bridge": "br0"}]}', "/net/c.conflist")
)


@pytest.fixture
def host() -> MemoryHost:
    """A host with an empty bridge."""
    made = MemoryHost()
    made.links().create_bridge("br0")
    return made


def cache(host: MemoryHost, **fields: object) -> None:
    name = f"{fields.get('networkName', 'custom')}-{WEB.container_id}-eth0"
    host.files.write(f"{CACHE_DIR}/{name}", json.dumps(cached(**fields)).encode())


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


def test_a_container_has_what_the_plugins_warned_of(host: MemoryHost) -> None:
    Records(host, "bridge").write(WEB, {"bridge": "br0", "addresses": []})
    Records(host, "warnings/portmap").write(WEB, {"ADD": ["portmap: nothing is published"]})
    host.links().create_bridge(WEB.host_veth)
    ((endpoint, _),) = Attachments(host).of(CUSTOM)
    assert endpoint.warnings == ("portmap: nothing is published",)


def test_a_container_on_another_bridge_is_on_another_network_of_that_name(host: MemoryHost) -> None:
    host.links().create_bridge(WEB.host_veth)
    Records(host, "bridge").write(WEB, {"bridge": "br1", "addresses": []})
    assert not Attachments(host).uses(CUSTOM)


def test_a_nerdctl_container_has_its_name(host: MemoryHost) -> None:
    host.links().create_bridge("veth1")
    cache(host)
    host.files.write(f"{containers.NERDCTL_DIR}/1935db59/names/default/web", b"a" * 64)
    ((_, owner),) = Attachments(host).of(CUSTOM)
    assert owner.name == "web"


def test_a_file_in_the_cache_that_is_not_json_is_left_out(host: MemoryHost) -> None:
    host.files.write(f"{CACHE_DIR}/custom-x-eth0", b"{")
    assert Attachments(host).all() == ()


def test_a_network_whose_list_is_gone_is_known_from_the_cache(host: MemoryHost) -> None:
    host.links().create_bridge("veth1")
    config = "eyJuYW1lIjogImxvc3QiLCAicGx1Z2lucyI6IFt7InR5cGUiOiAiYnJpZGdlIn1dfQ=="
    cache(host, networkName="lost", config=config)
    (found,) = Attachments(host).lists_without_file({"custom"})
    assert (found.name, found.creator) == ("lost", "cache")
    assert Attachments(host).lists_without_file({"custom", "lost"}) == ()


def test_who_may_not_read_the_state_is_told_so() -> None:
    failure = IoFailure("cannot list /run/linkspan/1/records/bridge: Permission denied")
    failure.__cause__ = PermissionError(errno.EACCES, "Permission denied")
    host = MemoryHost(refuse={"files.names": failure})
    found = Attachments(host)
    assert found.all() == ()
    assert found.incomplete


def test_any_other_failure_is_not_taken_for_an_empty_network() -> None:
    with pytest.raises(IoFailure):
        Attachments(MemoryHost(refuse={"files.names": errno.EIO})).all()
