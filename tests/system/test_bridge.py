"""bridge on a real kernel: concurrent attachments, edited lists, spoofed frames, hosts with IPv6 routers."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from tests.harness import ours
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.privatehost import HOST_V4, OUTSIDE, OUTSIDE_V4, PrivateHost
from tests.harness.talk import advertise, ask, serve

pytestmark = pytest.mark.root


def network(host: PrivateHost, number: int = 1, **keys: Any) -> Chain:
    """Network `net<number>` on bridge `br<number>`, 10.<number>.0.0/24 and fd00:<number>::/64.

    Keys that are None are omitted.
    """
    ranges = [[{"subnet": f"10.{number}.0.0/24"}], [{"subnet": f"fd00:{number}::/64"}]]
    bridge = {
        "type": "bridge",
        "bridge": f"br{number}",
        "isDefaultGateway": True,
        "ipMasq": True,
        "ipMasqBackend": "nftables",
        "ipam": {"type": "host-local", "ranges": ranges},
        **keys,
    }
    plugins = [{key: value for key, value in bridge.items() if value is not None}]
    return Chain(
        {"cniVersion": "1.1.0", "name": f"net{number}", "plugins": plugins},
        ours.BIN,
        host=host,
        env=ours.STANDALONE,
    )


@pytest.fixture(autouse=True)
def installed(host: PrivateHost) -> None:
    """Our executables in the host."""
    ours.install(host)


def outside_answers(host: PrivateHost, netns: str) -> bool:
    done = host.run(["ping", "-c1", "-W1", OUTSIDE_V4], netns=netns, check=False)
    return done.returncode == 0


def test_a_container_attached_to_two_networks_at_once_has_two_default_routes(host: PrivateHost) -> None:
    """A runtime may attach in parallel; the second default route has a worse metric than the first."""
    netns = host.add_netns("box")
    chains = [network(host, 1), network(host, 2)]
    attachments = [Attachment("box", netns, f"eth{number}") for number in (0, 1)]
    failures: list[ChainError] = []

    def attach(chain: Chain, attachment: Attachment) -> None:
        try:
            chain.add(attachment)
        except ChainError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=attach, args=each) for each in zip(chains, attachments, strict=True)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    metrics = sorted(
        line.partition("metric")[2]
        for line in host.run(["ip", "route", "show", "default"], netns="box").stdout.splitlines()
    )
    assert [each.strip() for each in metrics] == ["", "100"]
    for chain, attachment in zip(chains, attachments, strict=True):
        chain.check(attachment)


def test_a_network_that_was_internal_forwards_again_after_the_next_add(host: PrivateHost) -> None:
    """Removing `internal` from the list is enough; restoring it isolates the network again."""
    netns = host.add_netns("box")
    attachment = Attachment("box", netns)
    for internal in (True, False, True):
        keys = (
            {"internal": True, "isDefaultGateway": None, "isGateway": True, "ipMasq": None}
            if internal
            else {}
        )
        chain = network(host, 1, **keys)
        chain.add(attachment)
        chain.check(attachment)
        assert outside_answers(host, "box") is not internal
        chain.delete(attachment)


def test_check_finds_an_internal_network_that_is_no_longer_isolated(host: PrivateHost) -> None:
    netns = host.add_netns("box")
    chain, attachment = (
        network(host, 1, internal=True, isDefaultGateway=None, isGateway=True),
        Attachment("box", netns),
    )
    chain.add(attachment)
    host.run(["nft", "delete", "element", "inet", "linkspan", "internal", "{ br1 }"])
    with pytest.raises(ChainError, match="not isolated"):
        chain.check(attachment)


def test_a_container_with_macspoofchk_sends_from_its_own_mac_only(host: PrivateHost) -> None:
    """Frames from another MAC address are dropped; CHECK finds a flushed filter."""
    netns = host.add_netns("box")
    chain, attachment = network(host, 1, macspoofchk=True), Attachment("box", netns)
    chain.add(attachment)
    assert outside_answers(host, "box")
    host.run(["ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"], netns="box")
    assert not outside_answers(host, "box")
    host.run(["ip", "link", "set", "eth0", "address", "02:42:0a:01:00:02"], netns="box")
    chain.check(attachment)
    host.run(["nft", "flush", "ruleset"])
    with pytest.raises(ChainError):
        chain.check(attachment)
    ours.linkspan(host, "reload")
    chain.check(attachment)
    chain.delete(attachment)
    assert "netdev" not in host.run(["nft", "list", "ruleset"]).stdout


#: A frame from the MAC address in argv[1]: EtherType argv[2], to everybody.
FRAME = """
import socket, sys
mac, kind = bytes.fromhex(sys.argv[1].replace(":", "")), bytes.fromhex(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind(("eth0", 0))
    sock.send(bytes([255] * 6) + mac + kind + bytes(46))
"""


@pytest.mark.parametrize("kind", ["0806", "8100", "88a8", "88cc", "0800", "86dd"])
def test_macspoofchk_keeps_another_s_mac_address_out_of_the_bridge_s_table(
    host: PrivateHost, kind: str
) -> None:
    """ARP, VLAN, QinQ, LLDP, IP: with one such frame a container would get the other's traffic."""
    chain = network(host, 1, macspoofchk=True)
    ports = {}
    for name in ("victim", "attacker"):
        result = chain.add(Attachment(name, host.add_netns(name)))
        ports[name] = (result["interfaces"][1]["name"], result["interfaces"][2]["mac"])
    port, mac = ports["victim"]
    host.run([sys.executable, "-c", FRAME, mac, "0800"], netns="victim")
    host.run([sys.executable, "-c", FRAME, mac, kind], netns="attacker")
    learned = [
        line for line in host.run(["bridge", "fdb", "show", "br", "br1"]).stdout.splitlines() if mac in line
    ]
    assert learned
    assert all(f"dev {port} " in line for line in learned)


def test_a_vlan_is_set_up_or_reported_as_unsupported_by_the_kernel(host: PrivateHost) -> None:
    netns = host.add_netns("box")
    host.run(["ip", "link", "add", "probe0", "type", "bridge"])
    supported = "vlan_default_pvid" in host.run(["ip", "-d", "link", "show", "probe0"]).stdout
    chain, attachment = (
        network(host, 1, vlan=7, isDefaultGateway=None, isGateway=None, ipMasq=None),
        Attachment("box", netns),
    )
    if supported:
        chain.add(attachment)
        assert " 7 PVID Egress Untagged" in host.run(["bridge", "vlan", "show"]).stdout
    else:
        with pytest.raises(ChainError, match="does not support bridge VLAN filtering") as refused:
            chain.add(attachment)
        assert refused.value.error["code"] == 2


def test_a_host_keeps_its_advertised_default_route_when_it_becomes_a_router(host: PrivateHost) -> None:
    """With IPv6 forwarding the kernel drops advertised routes unless accept_ra is 2 (ip-sysctl)."""
    host.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_ra"])
    advertise(host, netns=OUTSIDE, device="eth0")
    assert "proto ra" in host.run(["ip", "-6", "route", "show", "default"]).stdout
    network(host).add(Attachment("box", host.add_netns("box")))
    assert host.run(["cat", "/proc/sys/net/ipv6/conf/all/forwarding"]).stdout == "1\n"
    assert "proto ra" in host.run(["ip", "-6", "route", "show", "default"]).stdout


def test_router_advertisements_of_a_container_do_not_reach_the_host(host: PrivateHost) -> None:
    """CVE-2020-10749: a container must not become the host's default gateway."""
    before = host.run(["ip", "-6", "route", "show", "default"]).stdout
    network(host).add(Attachment("box", host.add_netns("box")))
    advertise(host, netns="box", device="eth0")
    assert host.run(["ip", "-6", "route", "show", "default"]).stdout == before


def test_a_reused_address_is_reachable_at_once(host: PrivateHost) -> None:
    """It keeps its MAC address, so neighbour caches stay correct."""
    for name in ("first", "second"):
        chain = network(host, 1, ipam={"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/30"}]]})
        attachment = Attachment(name, host.add_netns(name))
        result = chain.add(attachment)
        assert result["ips"][0]["address"] == "10.1.0.2/30"
        with serve(host, name, port=80, address="0.0.0.0"):
            assert ask(host, "10.1.0.2", 80, wait=1.0) is not None
        chain.delete(attachment)
        host.del_netns(name)


def test_port_53_is_published_beside_the_name_server_of_the_network(host: PrivateHost) -> None:
    """The sample lists refuse ports on which others listen; the name server is ours."""
    chain = Chain(ours.conflist("custom"), ours.BIN, host=host, env=ours.STANDALONE)
    chain.add(Attachment("asker", host.add_netns("asker")))
    publishing = {"portMappings": [{"hostPort": 53, "containerPort": 53, "protocol": "udp"}]}
    chain.add(Attachment("web", host.add_netns("web"), capabilities=publishing))
    with serve(host, "web", port=53, kind="udp", name="web"):
        assert ask(host, HOST_V4, 53, netns=OUTSIDE, kind="udp") == "web 198.51.100.1"


def test_the_name_server_keeps_port_53_though_a_container_publishes_it(host: PrivateHost) -> None:
    """A published 0.0.0.0:53 gets none of the queries to the network's own name server."""
    conflist = ours.conflist("custom")
    chain = Chain(conflist, ours.BIN, host=host, env=ours.STANDALONE)
    publishing = {"portMappings": [{"hostPort": 53, "containerPort": 53, "protocol": "udp"}]}
    chain.add(Attachment("web", host.add_netns("web"), capabilities=publishing))
    result = chain.add(Attachment("asker", host.add_netns("asker")))
    (server,) = result["dns"]["nameservers"]
    script = (
        "import dns.message, dns.query, sys; "
        "print(dns.query.udp(dns.message.make_query('web.custom', 'A'), sys.argv[1], timeout=2).answer[0])"
    )
    assert "web.custom." in host.run([sys.executable, "-c", script, server], netns="asker").stdout
