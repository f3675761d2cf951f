"""Whom the name server answers: judged by where a query came in, whatever its source address says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness import ours
from tests.harness.chain import Attachment, Chain
from tests.harness.patience import until
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, OUTSIDE_V4, OUTSIDE_V6, PrivateHost

pytestmark = pytest.mark.root

_ASK = r"""
import socket, struct, sys
kind, server, source, name = sys.argv[1:]
family = socket.AF_INET6 if ":" in server else socket.AF_INET
question = b"".join(bytes([len(each)]) + each.encode() for each in name.split(".")) + b"\0\0\1\0\1"
query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + question
with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as sock:
    sock.settimeout(1)
    try:
        if source:
            address, _, device = source.partition("%")
            scope = (0, socket.if_nametoindex(device)) if device else ()
            sock.bind((address, 0, *scope))
        sock.connect((server, 53))
        sock.sendall(struct.pack("!H", len(query)) + query if kind == "tcp" else query)
        reply = sock.recv(4096)[2 if kind == "tcp" else 0:]
    except OSError:
        print("nobody")
    else:
        print(socket.inet_ntoa(reply[-4:]) if reply[7] else "rcode %d" % (reply[3] & 15))
"""

_UPSTREAM = r"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("198.51.100.1", 53))
    print("ready", flush=True)
    while True:
        query, client = sock.recvfrom(4096)
        sock.sendto(query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\7\7\7\7", client)
"""

NOBODY, REFUSED, NO_NAME = "nobody", "rcode 5", "rcode 3"
ELSEWHERE = "7.7.7.7"


def network(host: PrivateHost, number: int, **keys: Any) -> Chain:
    """Network `net<number>` on bridge `br<number>`, 10.<number>.0.0/24 and fd00:<number>::/64, with names."""
    ranges = [[{"subnet": f"10.{number}.0.0/24"}], [{"subnet": f"fd00:{number}::/64"}]]
    bridge = {"type": "bridge", "bridge": f"br{number}", "isDefaultGateway": True}
    bridge |= {"ipam": {"type": "host-local", "ranges": ranges}, **keys}
    plugins = [
        {key: value for key, value in bridge.items() if value is not None},
        {"type": "dns", "upstreams": [OUTSIDE_V4]},
    ]
    conflist = {"cniVersion": "1.1.0", "name": f"net{number}", "plugins": plugins}
    return Chain(conflist, ours.BIN, host=host, env=ours.STANDALONE)


def internal(host: PrivateHost, number: int) -> Chain:
    return network(host, number, isDefaultGateway=None, isGateway=True, internal=True)


def attach(
    host: PrivateHost, chain: Chain, name: str, ifname: str = "eth0", netns: str = ""
) -> dict[str, Any]:
    """A container whose name is that of its namespace."""
    path = netns or host.add_netns(name)
    return dict(chain.add(Attachment(name, path, ifname, args=f"K8S_POD_NAME={name}")))


def ask(
    host: PrivateHost, netns: str | None, server: str, name: str, *, source: str = "", kind: str = "udp"
) -> str:
    """The first address of the answer, or why there is none."""
    argv = [sys.executable, "-ISc", _ASK, kind, server, source, name]
    return str(host.run(argv, netns=netns).stdout.strip())


def link_local(host: PrivateHost, netns: str | None, ifname: str) -> str:
    shown = host.run(["ip", "-6", "-o", "address", "show", "dev", ifname, "scope", "link"], netns=netns)
    return str(shown.stdout.split()[3].partition("/")[0])


@contextmanager
def upstream(host: PrivateHost) -> Iterator[None]:
    """A server on the LAN that knows every name: 7.7.7.7."""
    server = host.popen([sys.executable, "-ISc", _UPSTREAM], netns=OUTSIDE, stderr=None)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    yield
    server.kill()
    server.wait()


@pytest.fixture(autouse=True)
def served(host: PrivateHost) -> Iterator[None]:
    """`web` on net1, `far` on net2, and an upstream server."""
    ours.install(host)
    with upstream(host):
        attach(host, network(host, 1), "web")
        attach(host, network(host, 2), "far")
        yield


KINDS = pytest.mark.parametrize("kind", ["udp", "tcp"])
GATEWAYS = pytest.mark.parametrize("gateway", ["10.1.0.1", "fd00:1::1"])


@KINDS
@GATEWAYS
def test_a_container_is_answered_at_each_gateway_of_its_network(
    host: PrivateHost, gateway: str, kind: str
) -> None:
    assert ask(host, "web", gateway, "web", kind=kind) == "10.1.0.2"
    assert ask(host, "web", gateway, "example.org") == ELSEWHERE


@KINDS
@GATEWAYS
def test_the_host_is_answered(host: PrivateHost, gateway: str, kind: str) -> None:
    assert ask(host, None, gateway, "web", kind=kind) == "10.1.0.2"


def test_a_container_is_answered_from_its_link_local_address(host: PrivateHost) -> None:
    source = f"{link_local(host, 'web', 'eth0')}%eth0"
    assert ask(host, "web", "fd00:1::1", "web", source=source) == "10.1.0.2"


@KINDS
def test_nobody_on_the_lan_is_answered(host: PrivateHost, kind: str) -> None:
    """With a route, and with link-local addresses, whose owners were taken for members of every network."""
    host.outside(["ip", "-6", "route", "add", "fd00::/16", "via", HOST_V6])
    host.outside(["ip", "route", "add", "10.0.0.0/8", "via", HOST_V4])
    host.outside(["ip", "address", "add", "169.254.7.7/16", "dev", "eth0"])
    host.run(["ip", "route", "add", "169.254.0.0/16", "dev", "eth0"])
    local = f"{link_local(host, OUTSIDE, 'eth0')}%eth0"
    asked = [
        ("10.1.0.1", OUTSIDE_V4),
        ("10.1.0.1", "169.254.7.7"),
        ("fd00:1::1", OUTSIDE_V6),
        ("fd00:1::1", local),
    ]
    said = [ask(host, OUTSIDE, gateway, "web", source=source, kind=kind) for gateway, source in asked]
    assert said == [NOBODY] * 4


@KINDS
def test_a_container_of_another_network_is_not_answered(host: PrivateHost, kind: str) -> None:
    local = f"{link_local(host, 'far', 'eth0')}%eth0"
    asked = [("10.1.0.1", ""), ("fd00:1::1", ""), ("fd00:1::1", local)]
    said = [ask(host, "far", gateway, "web", source=source, kind=kind) for gateway, source in asked]
    assert said == [NOBODY] * 3


def test_a_container_of_an_internal_network_has_no_tunnel(host: PrivateHost) -> None:
    """Through its own gateway other names do not exist, and no other gateway answers."""
    attach(host, internal(host, 3), "shut")
    assert ask(host, "shut", "10.3.0.1", "example.org") == NO_NAME
    via = link_local(host, None, "br3")
    host.run(["ip", "-6", "route", "add", "fd00:1::1/128", "via", via, "dev", "eth0"], netns="shut")
    host.run(["ip", "route", "add", "10.1.0.1/32", "via", "10.3.0.1"], netns="shut")
    local = f"{link_local(host, 'shut', 'eth0')}%eth0"
    for gateway, source in (("fd00:1::1", local), ("fd00:1::1", ""), ("10.1.0.1", "")):
        assert ask(host, "shut", gateway, "example.org", source=source) == NOBODY
    assert ask(host, "shut", "fd00:3::1", "example.org", source=local) == NO_NAME


def test_a_container_on_two_networks_is_answered_at_both_gateways_with_the_names_of_both(
    host: PrivateHost,
) -> None:
    attach(host, network(host, 2), "web", "eth1", "/run/netns/web")
    for gateway in ("10.1.0.1", "10.2.0.1", "fd00:2::1"):
        assert ask(host, "web", gateway, "far") == "10.2.0.2"


def test_names_are_answered_again_after_the_bridge_was_recreated(host: PrivateHost) -> None:
    """At once with the next container, and without one within some seconds."""
    host.run(["ip", "link", "delete", "br1"])
    attach(host, network(host, 1), "new")
    assert ask(host, "new", "10.1.0.1", "new") == "10.1.0.3"
    assert ask(host, None, "10.1.0.1", "new") == "10.1.0.3"
    port = attach(host, network(host, 1), "third")["interfaces"][1]["name"]
    host.run(["ip", "link", "delete", "br1"])
    for argv in (
        ["link", "add", "br1", "type", "bridge"],
        ["link", "set", "br1", "up"],
        ["address", "add", "10.1.0.1/24", "dev", "br1"],
        ["link", "set", port, "master", "br1"],
    ):
        host.run(["ip", *argv])
    until(lambda: ask(host, "third", "10.1.0.1", "third") == "10.1.0.4", "an answer on the new bridge")


def test_two_networks_with_one_subnet_have_a_name_server_each(host: PrivateHost) -> None:
    twin = network(host, 1)
    twin.conflist["plugins"][0]["bridge"] = "br9"
    attach(host, Chain({**twin.conflist, "name": "twin"}, ours.BIN, host=host, env=ours.STANDALONE), "tw")
    assert ask(host, "tw", "10.1.0.1", "tw") == "10.1.0.2"
    assert ask(host, "web", "10.1.0.1", "web") == "10.1.0.2"
    assert ask(host, "web", "10.1.0.1", "tw") == ELSEWHERE
