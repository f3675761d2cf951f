"""What an error advises is followed, and cures it. Every text that sources give as `details` is in one of three tables:
`ADVICE` (provoked and cured here, on the host in memory), `ELSEWHERE` (in another test), `STATEMENTS` (says how things
are, and advises nothing).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cni_firewall.steps import firewalld
from linkspan.call.reload import reload
from linkspan.cni import errors
from linkspan.cni.addresses import FAMILIES
from linkspan.host.contract import Finished
from linkspan.host.memory import MemoryHost
from linkspan.netfilter.rules import Change
from linkspan.paths import OWN_NETNS
from tests.harness.memory import BOX, OURS, Desk, SpyIpam
from tests.harness.nameserver import serve_names_of
from tests.layout import rules
from tests.layout.tree import ROOT, Tree

Config = dict[str, Any]
POOL = {"type": "host-local", "subnet": "10.5.0.0/24"}
PREV = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "br0", "mac": "02:00:00:00:00:01"},
        {"name": "veth0", "mac": "02:00:00:00:00:02"},
        {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": BOX},
    ],
    "ips": [
        {"address": "10.5.0.2/24", "gateway": "10.5.0.1", "interface": 2},
        {"address": "fd00:5::2/64", "interface": 2},
    ],
}
NO_BRIDGE = {**PREV, "interfaces": PREV["interfaces"][2:], "ips": []}


def bridge(**keys: Any) -> Config:
    return {"type": "bridge", "bridge": "br0", **keys}


def pool(*ranges: Config, **keys: Any) -> Config:
    """host-local with range sets of one range each."""
    sets = {"ranges": [[each] for each in ranges]} if ranges else {}
    return {"type": "host-local", "ipam": {"type": "host-local", **sets, **keys}}


def ports(*mappings: Config, **keys: Any) -> Config:
    mapped = [{"hostPort": 8080, "containerPort": 80, **each} for each in mappings or ({},)]
    runtime = {"portMappings": mapped}
    return {"type": "portmap", "backend": "iptables", "prevResult": PREV, "runtimeConfig": runtime, **keys}


def chained(cni_type: str, **keys: Any) -> Config:
    return {"type": cni_type, "prevResult": PREV, **keys}


def nothing(desk: Desk) -> None:
    del desk


@dataclass(frozen=True)
class Advice:
    """A text, a call that gets it, and the same call after it was followed.

    `fault` prepares the host, `cure` does what the text says to it. `call` are the other arguments of Desk.call, `cured`
    those that the text has changed.
    """

    text: str
    wrong: Config
    right: Config
    verb: str = "ADD"
    fault: Callable[[Desk], object] = nothing
    cure: Callable[[Desk], object] = nothing
    call: dict[str, Any] = field(default_factory=dict)
    cured: dict[str, Any] = field(default_factory=dict)


def added(config: Config, container_id: str = "c1", **call: Any) -> Callable[[Desk], object]:
    """An ADD that succeeds, for a container of its own if it is not c1."""

    def act(desk: Desk) -> None:
        if container_id != "c1":
            desk.host.add_netns(f"/run/netns/{container_id}")
            call.setdefault("netns", f"/run/netns/{container_id}")
        assert desk.call("ADD", config, container_id=container_id, **call).status == 0

    return act


def deleted(config: Config, container_id: str = "c1", **call: Any) -> Callable[[Desk], object]:
    return lambda desk: desk.call("DEL", config, container_id=container_id, **call)


def after(*acts: Callable[[Desk], object]) -> Callable[[Desk], object]:
    def act(desk: Desk) -> None:
        for each in acts:
            each(desk)

    return act


def itself_in_path(desk: Desk) -> None:
    desk.host.processes.own[f"{OURS}/bridge"] = "bridge"


def allowlist(lines: bytes) -> Callable[[Desk], object]:
    return lambda desk: desk.host.files.write("/etc/cni/tuning/allowlist.conf", lines)


def lo(*, up: bool) -> Callable[[Desk], object]:
    return lambda desk: desk.host.namespace(BOX).change("lo", up=up)


def without_gateway(desk: Desk) -> None:
    desk.host.namespace(OWN_NETNS).delete_address("br0", "10.5.0.1/24")


def lan(address: str) -> Callable[[Desk], object]:
    def act(desk: Desk) -> None:
        links = desk.host.namespace(OWN_NETNS)
        links.create_bridge("lan0")
        links.add_address("lan0", address)

    return act


def duplicates(*addresses: str) -> Callable[[Desk], object]:
    return lambda desk: setattr(desk.host.namespace(BOX), "duplicates", set(addresses))


def backends(*, iptables: bool, nftables: bool) -> Callable[[Desk], object]:
    def act(desk: Desk) -> None:
        desk.host.iptables.families = (4, 6) if iptables else ()
        desk.host.nftables.available = nftables

    return act


def mark_chain(desk: Desk) -> None:
    """The chain of somebody else that portmap is to use."""
    for family in FAMILIES:
        desk.host.iptables.apply(family, "nat", Change(own=(("MARK-IT", ()),)))


def no_address(run: Any) -> Finished:
    return Finished(0, b'{"cniVersion": "1.1.0"}' if run.env["CNI_COMMAND"] == "ADD" else b"")


GATEWAY = bridge(isGateway=True, ipam=POOL)
ADVICE = [
    # --- what is common to all plugins ---
    Advice("$.name is required", bridge(name=""), bridge()),
    Advice("$.name {}, 255 at most", bridge(name="a b"), bridge(name="a-b")),
    Advice("supported: {}", bridge(cniVersion="9.9.9"), bridge(cniVersion="1.1.0")),
    Advice("one of {}", bridge(), bridge(), call={"env": {"CNI_COMMAND": "add"}}, cured={"env": {}}),
    Advice(
        "CNI_CONTAINERID {}", bridge(), bridge(), call={"container_id": "a b"}, cured={"container_id": "a_b"}
    ),
    Advice(
        "1 to 15 bytes, not '.' or '..', without '/', ':', '%' and white space",
        bridge(),
        bridge(),
        call={"ifname": "eth0:1"},
        cured={"ifname": "eth0.1"},
    ),
    Advice(
        "CNI_NETNS is {}; set CNI_NETNS_OVERRIDE=1 if this is intended",
        {"type": "loopback"},
        {"type": "loopback"},
        call={"netns": OWN_NETNS},
        cured={"env": {"CNI_NETNS_OVERRIDE": "1"}},
    ),
    Advice(
        "list it after a plugin that creates an interface, such as bridge", ports(prevResult=None), ports()
    ),
    Advice(
        "CHECK needs the result of ADD as prevResult",
        bridge(prevResult=None),
        bridge(),
        verb="CHECK",
        fault=added(bridge()),
    ),
    Advice(
        "check whether its file system is read-only or full",
        bridge(),
        bridge(),
        verb="STATUS",
        fault=lambda desk: desk.host.files.write(desk.host.state_dir, b""),
        cure=lambda desk: desk.host.files.remove(desk.host.state_dir),
    ),
    Advice("cniVersion {} needs one", bridge(cniVersion="0.2.0"), bridge(cniVersion="0.2.0", ipam=POOL)),
    Advice(
        "name an IPAM plugin, such as host-local",
        bridge(ipam={"type": "bridge"}),
        bridge(ipam=POOL),
        fault=itself_in_path,
    ),
    Advice(
        "name the plugin; it is searched in CNI_PATH",
        bridge(ipam={**POOL, "type": "./host-local"}),
        bridge(ipam=POOL),
    ),
    Advice(
        "install it in a directory of CNI_PATH, which is {}",
        bridge(ipam={"type": "spy"}),
        bridge(ipam={"type": "spy"}),
        cure=lambda desk: desk.program("spy", SpyIpam()),
    ),
    Advice("for example 10.1.0.0/24", pool({"subnet": "10.1.0.0"}), pool({"subnet": "10.1.0.0/24"})),
    Advice("use a shorter prefix", pool({"subnet": "10.1.0.0/33"}), pool({"subnet": "10.1.0.0/24"})),
    Advice(
        "DEL and ADD it again",
        {"type": "loopback"},
        {"type": "loopback"},
        verb="CHECK",
        fault=after(added({"type": "loopback"}), lo(up=False)),
        cure=after(deleted({"type": "loopback"}), added({"type": "loopback"})),
    ),
    Advice('use "iptables" or "nftables"', bridge(ipMasq=True, ipMasqBackend="x"), bridge(ipMasq=True)),
    *(
        Advice(
            "{}, or remove the key",
            bridge(ipMasq=True, ipam=POOL, ipMasqBackend=name),
            right,
            fault=backends(iptables=name != "iptables", nftables=name != "nftables"),
            cure=cure,
        )
        for name in ("iptables", "nftables")
        for right, cure in (
            (bridge(ipMasq=True, ipam=POOL), nothing),
            (bridge(ipMasq=True, ipam=POOL, ipMasqBackend=name), backends(iptables=True, nftables=True)),
        )
    ),
    *(
        Advice(
            "{}, or {}",
            bridge(ipMasq=True, ipam=POOL),
            bridge(ipMasq=True, ipam=POOL),
            fault=backends(iptables=False, nftables=False),
            cure=backends(iptables=name == "iptables", nftables=name == "nftables"),
        )
        for name in ("iptables", "nftables")
    ),
    *(
        Advice(
            "{}, {}, or remove the key",
            bridge(isolated=True),
            right,
            fault=backends(iptables=False, nftables=False),
            cure=cure,
        )
        for right, cure in (
            (bridge(), nothing),
            (bridge(isolated=True), backends(iptables=True, nftables=False)),
            (bridge(isolated=True), backends(iptables=False, nftables=True)),
        )
    ),
    # --- bridge ---
    Advice("0, or 68 to 65535 bytes", bridge(mtu=67), bridge(mtu=68)),
    Advice("such as 02:42:0a:01:00:02", bridge(mac="01:00:5e:00:00:01"), bridge(mac="02:42:0a:01:00:02")),
    Advice("an integer from 1 to {}", bridge(vlan=7.0), bridge(vlan=7)),
    Advice("or give one VLAN as id", bridge(vlanTrunk=[{"minID": 5}]), bridge(vlanTrunk=[{"id": 5}])),
    Advice(
        "swap the two",
        bridge(vlanTrunk=[{"minID": 9, "maxID": 5}]),
        bridge(vlanTrunk=[{"minID": 5, "maxID": 9}]),
    ),
    *(
        Advice(
            "remove hairpinMode or promiscMode",
            bridge(hairpinMode=True, promiscMode=True),
            bridge(**{kept: True}),
        )
        for kept in ("hairpinMode", "promiscMode")
    ),
    *(
        Advice(
            "remove vlan, internal or isGateway",
            bridge(vlan=7, internal=True, isGateway=True, ipam=POOL),
            bridge(ipam=POOL, **kept),
        )
        for kept in (
            {"internal": True, "isGateway": True},
            {"vlan": 7, "isGateway": True},
            {"vlan": 7, "internal": True},
        )
    ),
    *(
        Advice(
            "remove ipam or disableContainerInterface",
            bridge(ipam=POOL, disableContainerInterface=True),
            bridge(**kept),
        )
        for kept in ({"ipam": POOL}, {"disableContainerInterface": True})
    ),
    *(
        Advice(
            "choose a subnet that this host does not use, or remove refuseOverlap: "
            "then it can lose the connection to these addresses",
            bridge(isGateway=True, refuseOverlap=True, ipam=POOL),
            bridge(isGateway=True, **right),
            fault=lan("10.5.0.7/24"),
        )
        for right in (
            {"ipam": POOL},
            {"ipam": {"type": "host-local", "subnet": "10.6.0.0/24"}, "refuseOverlap": True},
        )
    ),
    *(
        Advice("remove arpspoofchk, or add ipam", bridge(arpspoofchk=True), right)
        for right in (bridge(), bridge(arpspoofchk=True, ipam=POOL))
    ),
    *(
        Advice(
            "remove arpspoofchk or vlanTrunk",
            bridge(ipam=POOL, arpspoofchk=True, vlanTrunk=[{"id": 7}]),
            bridge(ipam=POOL, **kept),
        )
        for kept in ({"arpspoofchk": True}, {"vlanTrunk": [{"id": 7}]})
    ),
    *(
        Advice(
            "install the package libnftables1 (nftables elsewhere), or remove {}",
            bridge(ipam=POOL, arpspoofchk=True, macspoofchk=True),
            bridge(ipam=POOL, **kept),
            fault=backends(iptables=True, nftables=False),
            cure=backends(iptables=True, nftables="arpspoofchk" in kept),
        )
        for kept in ({}, {"arpspoofchk": True, "macspoofchk": True})
    ),
    *(
        Advice(
            "set isGateway instead of isDefaultGateway, or remove internal",
            bridge(ipam=POOL, isDefaultGateway=True, internal=True),
            bridge(ipam=POOL, **kept),
        )
        for kept in ({"isGateway": True, "internal": True}, {"isDefaultGateway": True})
    ),
    Advice("name a bridge, or a link that does not exist yet", bridge(bridge="lo"), bridge()),
    Advice("name a bridge, or a link that does not exist yet", bridge(bridge="lo"), bridge(), verb="STATUS"),
    *(
        Advice(
            "name another bridge, use that subnet, or set forceAddress to replace the address",
            bridge(isGateway=True, ipam={**POOL, "subnet": "10.9.0.0/24"}),
            right,
            fault=added(GATEWAY, "other"),
        )
        for right in (
            bridge(bridge="br1", isGateway=True, ipam={**POOL, "subnet": "10.9.0.0/24"}),
            GATEWAY,
            bridge(isGateway=True, forceAddress=True, ipam={**POOL, "subnet": "10.9.0.0/24"}),
        )
    ),
    *(
        Advice(
            "set mtu to {} or more, or remove the IPv6 range",
            bridge(mtu=1200, ipam={**POOL, "subnet": "fd00:5::/64"}),
            right,
        )
        for right in (
            bridge(mtu=1280, ipam={**POOL, "subnet": "fd00:5::/64"}),
            bridge(mtu=1200, ipam=POOL),
        )
    ),
    Advice(
        "remove ipam for a layer-2-only network",
        bridge(ipam={"type": "spy"}),
        bridge(),
        fault=lambda desk: desk.program("spy", no_address),
    ),
    Advice(
        "{} has the link {}; DEL it first", bridge(), bridge(), fault=added(bridge()), cure=deleted(bridge())
    ),
    *(
        Advice(
            "in {}; choose another CNI_IFNAME, or DEL the attachment that created it",
            bridge(),
            bridge(),
            fault=lambda desk: added(bridge())(desk.beside("other")),
            cure=cure,
            cured=cured,
        )
        for cure, cured in (
            (nothing, {"ifname": "eth1"}),
            (lambda desk: deleted(bridge())(desk.beside("other")), {}),
        )
    ),
    *(
        Advice(
            "remove the other owner, or request another address",
            bridge(enabledad=True, ipam={**POOL, "subnet": "fd00:5::/64"}),
            bridge(enabledad=True, ipam={**POOL, "subnet": "fd00:5::/64"}),
            fault=duplicates("fd00:5::2/64"),
            cure=cure,
            cured=cured,
        )
        for cure, cured in ((duplicates(), {}), (nothing, {"args": "IP=fd00:5::9"}))
    ),
    Advice(
        "`linkspan reload` restores it",
        GATEWAY,
        GATEWAY,
        verb="CHECK",
        fault=after(added(GATEWAY), without_gateway),
        cure=lambda desk: reload(desk.host),
    ),
    # --- host-local ---
    Advice('such as [[{"subnet": "10.1.0.0/24"}]]', pool(), pool(ranges=[[{"subnet": "10.1.0.0/24"}]])),
    Advice("remove it, or add a range", pool(ranges=[[]], subnet="10.1.0.0/24"), pool(subnet="10.1.0.0/24")),
    Advice("write {}", pool(subnet="10.1.0.5/24"), pool(subnet="10.1.0.0/24")),
    Advice(
        "give an address inside {}",
        pool({"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.5"}),
        pool({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.5"}),
    ),
    Advice(
        "give an IPv{} address",
        pool({"subnet": "10.1.0.0/24", "gateway": "fe80::1"}),
        pool({"subnet": "10.1.0.0/24", "gateway": "10.1.0.9"}),
    ),
    Advice(
        "rangeStart comes before rangeEnd; network and broadcast addresses are never allocated",
        pool({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.5"}),
        pool({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.5", "rangeEnd": "10.1.0.9"}),
    ),
    Advice(
        "the gateway is its only address; use a larger range",
        pool({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1"}),
        pool({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.2"}),
    ),
    Advice(
        "use one set per address family",
        pool(ranges=[[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]]),
        pool({"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}),
    ),
    Advice(
        "use ranges that do not overlap",
        pool({"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/25"}),
        pool({"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/25"}),
    ),
    Advice(
        "use an integer",
        pool(subnet="10.1.0.0/24", routes=[{"dst": "10.9.0.0/16", "priority": 1.0}]),
        pool(subnet="10.1.0.0/24", routes=[{"dst": "10.9.0.0/16", "priority": 1}]),
    ),
    Advice(
        "request another address",
        pool(subnet="10.1.0.0/24"),
        pool(subnet="10.1.0.0/24"),
        call={"args": "IP=10.1.0.1"},
        cured={"args": "IP=10.1.0.2"},
    ),
    Advice(
        "request at most one address per range set",
        pool(subnet="10.1.0.0/24") | {"runtimeConfig": {"ips": ["10.1.0.2", "10.1.0.3"]}},
        pool(subnet="10.1.0.0/24") | {"runtimeConfig": {"ips": ["10.1.0.2"]}},
    ),
    *(
        Advice(
            "give the path of a resolv.conf, or remove the key",
            pool(subnet="10.1.0.0/24", resolvConf="/etc/none"),
            right,
            fault=lambda desk: desk.host.files.write("/etc/resolv.conf", b"nameserver 192.0.2.1\n"),
        )
        for right in (pool(subnet="10.1.0.0/24", resolvConf="/etc/resolv.conf"), pool(subnet="10.1.0.0/24"))
    ),
    Advice(
        "{} was added before; DEL it first",
        pool(subnet="10.1.0.0/24"),
        pool(subnet="10.1.0.0/24"),
        fault=added(pool(subnet="10.1.0.0/24")),
        cure=deleted(pool(subnet="10.1.0.0/24")),
    ),
    *(
        Advice(
            "remove containers, or use a larger range",
            pool({"subnet": "10.1.0.0/30"}),
            right,
            fault=added(pool({"subnet": "10.1.0.0/30"}), "other"),
            cure=cure,
        )
        for right, cure in (
            (pool({"subnet": "10.1.0.0/30"}), deleted(pool({"subnet": "10.1.0.0/30"}), "other")),
            (pool({"subnet": "10.1.0.0/24"}), nothing),
        )
    ),
    # --- portmap ---
    Advice("an integer from 1 to 65535", ports({"hostPort": 80.0}), ports({"hostPort": 80})),
    Advice("one of {}", ports({"protocol": "icmp"}), ports({"protocol": "udp"})),
    *(
        Advice(
            'set $.localhost to "relay", or publish on 127.0.0.1: the kernel cannot translate to ::1',
            ports({"hostIP": "::1"}),
            right,
        )
        for right in (ports({"hostIP": "::1"}, localhost="relay"), ports({"hostIP": "127.0.0.1"}))
    ),
    *(
        Advice('use "relay", or remove the key', ports(localhost="route"), right)
        for right in (ports(localhost="relay"), ports())
    ),
    *(
        Advice("remove one of the two", ports(localhost="relay", conditionsV4=["-s", "192.0.2.0/24"]), right)
        for right in (ports(localhost="relay"), ports(conditionsV4=["-s", "192.0.2.0/24"]))
    ),
    *(
        Advice(
            "remove one of the two",
            ports(externalSetMarkChain="MARK-IT", markMasqBit=5),
            right,
            fault=mark_chain,
        )
        for right in (ports(externalSetMarkChain="MARK-IT"), ports(markMasqBit=5))
    ),
    Advice("13 is the default", ports(markMasqBit=32), ports(markMasqBit=13)),
    Advice(
        'set $.backend to "iptables"',
        ports(backend="nftables", externalSetMarkChain="MARK-IT"),
        ports(backend="iptables", externalSetMarkChain="MARK-IT"),
        fault=mark_chain,
    ),
    Advice(
        "one list item for each word",
        ports(conditionsV4=["-s", "192.0.2.0/24\n"]),
        ports(conditionsV4=["-s", "192.0.2.0/24"]),
    ),
    *(
        Advice(
            "write the conditions for the backend in use, or set $.backend to the other one",
            ports(conditionsV4=["ip", "saddr", "192.0.2.0/24"]),
            right,
        )
        for right in (
            ports(conditionsV4=["-s", "192.0.2.0/24"]),
            ports(backend="nftables", conditionsV4=["ip", "saddr", "192.0.2.0/24"]),
        )
    ),
    Advice(
        "-s, -d, -i, -o with a value, or -m NAME and its options",
        ports(conditionsV4=["-x", "192.0.2.0/24"]),
        ports(conditionsV4=["-s", "192.0.2.0/24"]),
    ),
    *(
        Advice(
            "container {} uses it; choose another host port, or remove that container",
            ports(),
            right,
            fault=added(ports(), "other"),
            cure=cure,
        )
        for right, cure in ((ports({"hostPort": 8081}), nothing), (ports(), deleted(ports(), "other")))
    ),
    # --- firewall, tuning, dns ---
    Advice(
        "at most 28 letters, digits, - _ and .",
        chained("firewall", backend="iptables", iptablesAdminChainName="-x"),
        chained("firewall", backend="iptables", iptablesAdminChainName="x"),
    ),
    *(
        Advice(
            "list firewall after bridge, or remove ingressPolicy",
            chained("firewall", ingressPolicy="isolated", prevResult=NO_BRIDGE),
            right,
            fault=lambda desk: desk.host.namespace(OWN_NETNS).create_bridge("br0"),
        )
        for right in (
            chained("firewall", ingressPolicy="isolated"),
            chained("firewall", prevResult=NO_BRIDGE),
        )
    ),
    Advice(
        "start firewalld, or remove the key", chained("firewall", backend="firewalld"), chained("firewall")
    ),
    Advice(
        "Only the following sysctls are allowed ({}): [{}]",
        chained("tuning", sysctl={"net.ipv4.ip_forward": "1"}),
        chained("tuning", sysctl={"net.core.somaxconn": "500"}),
        fault=allowlist(b"^net.core"),
    ),
    Advice(
        "{}; correct that line",
        chained("tuning", sysctl={"net.core.somaxconn": "500"}),
        chained("tuning", sysctl={"net.core.somaxconn": "500"}),
        fault=allowlist(b"("),
        cure=allowlist(b"core"),
    ),
    Advice(
        "use names that begin with net.",
        chained("tuning", sysctl={"kernel.shmmax": "1"}),
        chained("tuning", sysctl={"net.core.somaxconn": "1"}),
    ),
    Advice(
        "set it once",
        chained("tuning", sysctl={"net.core.somaxconn": "1", "net/core/somaxconn": "2"}),
        chained("tuning", sysctl={"net.core.somaxconn": "1"}),
    ),
    Advice(
        "six bytes, such as 02:42:0a:00:00:02",
        chained("tuning", mac="02:42"),
        chained("tuning", mac="02:42:0a:00:00:02"),
        fault=added(bridge()),
    ),
    *(
        Advice(
            "set mtu to {} or more, or remove the IPv6 range",
            chained("tuning", mtu=1200),
            right,
            fault=added(bridge()),
        )
        for right in (
            chained("tuning", mtu=1280),
            chained("tuning", mtu=1200, prevResult={**PREV, "ips": PREV["ips"][:1]}),
        )
    ),
    Advice(
        "list dns after a plugin that creates an interface, such as bridge",
        chained("dns", prevResult={"cniVersion": "1.1.0"}),
        chained("dns"),
    ),
    Advice(
        "an IPv4 or IPv6 address of a DNS server, without port",
        chained("dns", upstreams=["192.0.2.1:53"]),
        chained("dns", upstreams=["192.0.2.1"]),
    ),
]
#: text -> the test that follows it
ELSEWHERE = {
    "`fuser -v {}` lists who has it open; end the one that hangs and repeat the call": "tests/unit/host/linux/test_patience.py::test_who_has_a_lock_is_found_as_the_error_says_and_ended",
    "find out why {} hangs, then repeat the call; after a failed ADD send DEL first": "tests/system/test_life_of_a_call.py::test_a_delegate_that_hangs_is_ended_and_named",
    "`linkspan reload` restores the rules": "tests/system/test_repair.py::test_check_names_what_a_flush_took_and_reload_brings_all_of_it_back_once",
    "`linkspan reload` restores the rules; otherwise DEL and ADD it again": "tests/system/test_repair.py::test_check_names_what_a_flush_took_and_reload_brings_all_of_it_back_once",
    "`linkspan reload` restores the rules; without its bridge, DEL and ADD the attachment again": "tests/system/test_repair.py::test_check_names_what_a_flush_took_and_reload_brings_all_of_it_back_once",
    "choose another host port, or stop that program": "tests/system/test_advice.py::test_a_port_that_cannot_be_held_is_held_once_it_is_free",
    "{} holds it; choose another host port, or remove that container": "tests/system/test_advice.py::test_a_port_that_cannot_be_held_is_held_once_it_is_free",
    "give a path like /run/netns/NAME": "tests/system/test_advice.py::test_a_namespace_is_given_by_its_path",
    "install the Python package dnspython": "tests/unit/test_advice.py::test_names_are_served_with_dnspython",
    "install the package libnftables1, called nftables on other distributions: {}": "tests/system/test_advice.py::test_a_library_that_is_missing_is_installed_or_not_needed",
    "install the package iptables": "tests/system/test_advice.py::test_programs_that_are_missing_are_installed_or_not_needed",
    'install the package iptables, or choose "nftables" as backend': "tests/system/test_advice.py::test_programs_that_are_missing_are_installed_or_not_needed",
    "firewalld is reached with it: install the package systemd": "tests/unit/test_advice.py::test_firewalld_is_reached_with_busctl",
    "keep that program off the gateways of container networks": "tests/system/test_advice.py::test_a_program_on_port_53_is_stopped_or_kept_off_the_gateways",
    "stop that program or keep it off this address, for example with dnsmasq's bind-interfaces and except-interface": "tests/system/test_advice.py::test_a_program_on_port_53_is_stopped_or_kept_off_the_gateways",
    "stop that process; the next ADD starts another": "tests/system/test_advice.py::test_a_process_of_ours_that_hangs_is_stopped",
    "stop that process; the next call starts another": "tests/system/test_advice.py::test_a_process_of_ours_that_hangs_is_stopped",
    "what ADD may have left is taken back by DEL; the resident's log is resident.log below {}": "tests/system/test_acceptance.py::test_worker_killed_anywhere_in_add_then_deleted_leaves_nothing",
}
#: Texts that say how things are.
STATEMENTS = {
    "CNI_COMMAND is {}",
    "CNI_NETNS is {}",
    "container {} holds it on network {}",
    "it does not use the lock of this directory",
    "it may be in use by {}; see {}",
    "it names the container's network namespace",
    "libiptc reports: {}",
    "nft reports: {}",
    "nft_ctx_new() failed",
    "nothing was changed",
    "nothing was removed",
    "output of busctl: {}",
    "see {}",
    "see {} for what it said",
    "the ADD was rolled back",
    "the container has ended, or the path is wrong",
    "there is no /proc/sys/net/{} in the container",
    "what it wrote to stderr may say why",
    "{}; what it had done was undone",
}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("one", ADVICE, ids=lambda one: one.text[:60])
def test_following_the_advice_cures(one: Advice, desk: Desk) -> None:
    with serve_names_of(desk.host):
        one.fault(desk)
        refused = desk.call(one.verb, one.wrong, **one.call)
        pattern = re.escape(one.text).replace(r"\{\}", ".*") + "(; also: .*)?"
        assert re.fullmatch(pattern, refused.document["details"], re.DOTALL), refused.document
        one.cure(desk)
        cured = desk.call(one.verb, one.right, **{**one.call, **one.cured})
        assert cured.status == 0, cured.document


def test_names_are_served_with_dnspython(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_names_of(desk.host):
        with monkeypatch.context() as without:
            without.setattr("cni_dns.check.find_spec", lambda _: None)
            refused = desk.call("STATUS", {"type": "dns"})
        assert (refused.code, refused.document["details"]) == (50, "install the Python package dnspython")
        assert desk.call("STATUS", {"type": "dns"}).status == 0


def test_firewalld_is_reached_with_busctl() -> None:
    host = MemoryHost()
    with pytest.raises(errors.ToolMissing) as caught:
        firewalld.add(host, "trusted", "10.5.0.2")
    assert caught.value.details == "firewalld is reached with it: install the package systemd"
    host.processes.programs["/usr/bin/busctl"] = lambda run: Finished(0, b"")
    assert firewalld.add(host, "trusted", "10.5.0.2")


# --- every text has its place -----------------------------------------------------------------------------------


def test_every_text_in_the_sources_has_its_place_and_none_is_idle() -> None:
    """A new text of `details`: give it a row in `ADVICE`, a test in `ELSEWHERE`, or say that it is a statement."""
    kinds = {
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.CniError)
    }
    found = rules.advice(Tree.of_project(), {each.__name__ for each in kinds})
    placed = {each.text for each in ADVICE} | ELSEWHERE.keys() | STATEMENTS
    assert (found - placed, placed - found) == (set(), set())


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_a_test_that_is_named_exists(test: str) -> None:
    path, name = test.split("::")
    assert f"def {name}(" in Path(ROOT, path).read_text(encoding="utf-8")
