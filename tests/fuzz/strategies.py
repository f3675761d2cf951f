"""What anybody may send to a plugin: configurations that are nearly right, environments, previous results, refusing hosts.

Documents are made from each plugin's own schema, so a new key is tried the day it is born. Every value is plausible most of the time
(a document that is all nonsense gets no further than the schema) and anything at all now and then.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import strategies as st

from linkspan.call.plugin import MODULES, load
from linkspan.cni.schema import load as load_schema
from tests.harness.memory import BOX, VERSIONS

#: A foreign IPAM plugin that answers what its configuration says.
ECHO = "echo-ipam"
OTHER_BOX = "/run/netns/other"
CONTAINERS = ("ctr-a", "ctr-b", "cnitool-77383ca0a0715733ca6f", "k8s-" + "ab" * 32)
SUBNETS = (
    "10.5.0.0/24",
    "10.5.0.0/30",
    "10.6.0.0/31",
    "10.7.0.9/32",
    "fd00:5::/64",
    "fd00:6::/127",
    "0.0.0.0/0",
    "10.5.0.1/24",
)
IPS = (
    "10.5.0.1",
    "10.5.0.2",
    "10.5.0.7",
    "fd00:5::1",
    "fd00:5::7",
    "::ffff:10.5.0.9",
    "fe80::1",
    "fe80::1%eth0",
    "192.0.2.1",
    "10.5.0.7/24",
    "0.0.0.0",
    "::",
    "127.0.0.1",
    "::1",
)
ROUTES = (
    "0.0.0.0/0",
    "::/0",
    "10.9.0.0/16",
    "fd00:9::/48",
    "10.5.0.7/32",
    "10.9.3.4/16",
    "fd00:9::1/48",
    "10.5.0.0/24",
    "10.9.0.0/255.255.0.0",
)
#: A key's plausible values, where its type alone says too little.
POOLS: Mapping[str, tuple[Any, ...]] = {
    "subnet": SUBNETS,
    "rangeStart": IPS,
    "rangeEnd": IPS,
    "gateway": IPS,
    "gw": IPS,
    "ips": IPS,
    "dst": ROUTES,
    "bridge": ("br0", "br1", "lo", "cni0", "fifteen-letters", "%d"),
    "mac": ("02:11:22:33:44:55", "02-11-22-33-44-55", "01:00:00:00:00:01", "00:00:00:00:00:00", "x"),
    "mtu": (0, 1, 68, 1280, 1500, 65535, 65536),
    "backend": ("iptables", "nftables", "", "firewalld", "ebtables"),
    "ipMasqBackend": ("iptables", "nftables", "", "ebtables"),
    "ingressPolicy": ("open", "same-bridge", "isolated", "other"),
    "dataDir": ("/srv/pool", "/run/pool", "pool", "/", "/etc/file", "/etc/file/below"),
    "resolvConf": ("/etc/resolv.conf", "/etc/none", "/etc/file", "resolv.conf", "/"),
    "protocol": ("tcp", "udp", "sctp", "TCP", "icmp"),
    "hostPort": (0, 80, 8080, 65535, 65536, -1),
    "containerPort": (0, 80, 8080, 65535, 65536),
    "hostIP": ("", *IPS),
    "domainName": ("example.org", "dns.podman.", "a b", "x" * 64),
    "upstreams": ("192.0.2.1", "fd00::53", "nobody"),
    "aliases": ("db", "a b", "x" * 64, "ä"),
    "conditionsV4": ("-d", "192.0.2.0/24", "!", "-s", "10.0.0.0/8", "--dport"),
    "conditionsV6": ("-d", "fd00::/8", "!", "-s"),
    "vlan": (0, 1, 100, 4094, 4095),
    "minID": (0, 1, 100),
    "maxID": (0, 1, 100, 4095),
    "sysctl": ({"net.core.somaxconn": "500"}, {"net.ipv4.conf.IFNAME.forwarding": "1"}, {"kernel.shmmax": "1"}, {"net.x": 1}, {}),
    "iptablesAdminChainName": ("CNI-ADMIN", "", "x" * 40),
}  # fmt: skip

#: Text of all kinds, NUL and lone surrogates among them: JSON can say both.
texts = st.one_of(
    st.text(max_size=8), st.sampled_from(("", " ", "\0", "\ud800", "a/b", "../x", "x" * 300, "-j", "%s", "é"))
)
#: What an environment can hold: any bytes but NUL, as Python reads them.
variables = st.binary(max_size=20).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))
numbers = st.one_of(st.integers(-2, 70_000), st.sampled_from((2**31, 2**64, 10**30, -1, 1.5, 1e300)))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)


@dataclass(frozen=True)
class Case:
    """One attachment's life: what is sent, to which plugin, on which host. `refuse` is a request that the host says no to."""

    plugin: str
    document: Any
    environment: Mapping[str, str]
    refuse: tuple[str, int, int] | None = None
    raw: bytes | None = field(default=None, repr=False)

    @property
    def stdin(self) -> bytes:
        """The document as it is sent."""
        return json.dumps(self.document).encode() if self.raw is None else self.raw


def seldom(
    usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any], once_in: int = 12
) -> st.SearchStrategy[Any]:
    """`usual`, and once in a while `odd`."""
    return st.integers(1, once_in).flatmap(lambda number: odd if number == once_in else usual)


def spelt(key: str) -> st.SearchStrategy[str]:
    """A key as the schema has it, or in another case, as Go's decoder would take it too."""
    return seldom(st.just(key), st.sampled_from((key.upper(), key.lower(), key.capitalize())))


def of_schema(schema: Mapping[str, Any], root: Mapping[str, Any], key: str = "") -> st.SearchStrategy[Any]:
    """Values that a schema nearly allows."""
    reference = schema.get("$ref")
    if reference:
        return of_schema(root["$defs"][reference.rpartition("/")[2]], root, key)
    kinds = schema.get("type", "any")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    pool = st.sampled_from(POOLS[key]) if key in POOLS else None
    if "properties" in schema and kind in ("object", "any"):
        return seldom(of_object(schema, root), anything, 30)
    if kind == "array":
        items = schema.get("items", {})
        return seldom(st.lists(of_schema(items, root, key), max_size=3), anything, 30)
    if pool is not None:
        return seldom(pool, anything, 30)
    usual: st.SearchStrategy[Any] = {"boolean": st.booleans(), "integer": numbers, "string": texts}.get(
        kind, anything
    )
    return seldom(usual, anything, 30)


def of_object(schema: Mapping[str, Any], root: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of a schema's keys, and all that it requires nearly always."""
    required = set(schema.get("required", ())) | ({"subnet"} & set(schema["properties"]))
    members = {
        key: st.tuples(spelt(key), of_schema(each, root, key))
        for key, each in schema["properties"].items()
        if key not in ("cniVersion", "name", "type", "prevResult", "dns")
    }
    must = {key: each for key, each in members.items() if key in required}
    may = {key: each for key, each in members.items() if key not in required}
    return st.fixed_dictionaries(must, optional=may).map(lambda found: dict(found.values()))


#: Elements of a result's `routes`.
routes = st.fixed_dictionaries(
    {"dst": st.sampled_from(ROUTES)},
    optional={
        "gw": st.sampled_from(IPS),
        **dict.fromkeys(("mtu", "advmss", "priority", "table", "scope"), numbers),
    },
)


@cache
def results(version: str) -> st.SearchStrategy[Any]:
    """A previous result as a chain would have it, or nearly."""
    texts_of_addresses = (
        *("10.5.0.2/24", "10.5.0.7/24", "fd00:5::2/64", "FD00:5::0002/64", "::ffff:10.5.0.9/120"),
        *("10.5.0.2", "10.5.0.2/255.255.255.0", "fe80::1%eth0/64", "127.0.0.1/8", "x"),
    )
    address = st.fixed_dictionaries(
        {"address": st.sampled_from(texts_of_addresses)},
        optional={
            "gateway": st.sampled_from(IPS),
            "interface": st.integers(-1, 3),
            "version": st.sampled_from(("4", "6")),
        },
    )
    interfaces = [
        {"name": "br0", "mac": "02:00:00:00:00:01"},
        {"name": "veth0", "mac": "02:00:00:00:00:02"},
        {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": BOX},
    ]
    new = st.fixed_dictionaries(
        {"cniVersion": st.just(version), "interfaces": st.sampled_from((interfaces, interfaces[2:], []))},
        optional={
            "ips": st.lists(address, max_size=3),
            "routes": st.lists(routes, max_size=2),
            "dns": st.just({"nameservers": ["10.5.0.1"], "search": ["net"]}),
        },
    )
    old = st.just({"cniVersion": version, "ip4": {"ip": "10.5.0.2/24", "gateway": "10.5.0.1"}})
    return seldom(old if version in ("0.1.0", "0.2.0") else new, anything, 20)


@cache
def configurations(plugin: str) -> st.SearchStrategy[dict[str, Any]]:
    """The plugin's own keys. Made once: Hypothesis takes longer to build a strategy than to draw from it."""
    root = load_schema(load(plugin).schema)
    return of_object(root, root)


@cache
def ipams() -> st.SearchStrategy[dict[str, Any] | None]:
    """What bridge leaves to the IPAM plugin: to host-local, to a foreign one that answers anything, or none at all."""
    root = load_schema(load("host-local").schema)
    kinds = st.sampled_from(("host-local", "host-local", "host-local", "nobody"))
    ipam = st.tuples(of_object(root["properties"]["ipam"], root), kinds).map(
        lambda two: {**two[0], "type": two[1]}
    )
    foreign = st.fixed_dictionaries({"type": st.just(ECHO), "answer": results("1.1.0")})
    return st.one_of(ipam, ipam, foreign, st.none())


@st.composite
def documents(draw: st.DrawFn, plugin: str) -> Any:
    """A configuration of a plugin."""
    version = draw(versions)
    document = draw(configurations(plugin))
    document |= {"cniVersion": version, "name": draw(names), "type": plugin}
    if plugin == "bridge":
        ipam = draw(ipams())
        document = {key: value for key, value in document.items() if key.lower() != "ipam"}
        document |= {} if ipam is None else {"ipam": ipam}
    if draw(st.booleans()) or load(plugin).chained or plugin == "tuning":
        document["prevResult"] = draw(results(version if version in VERSIONS else "1.0.0"))
    return draw(seldom(st.just(document), anything, 60))


versions = seldom(
    st.sampled_from(("1.1.0", "1.1.0", "1.0.0", "0.4.0")), st.sampled_from((*VERSIONS, "9.9", "", 7))
)
names = seldom(st.just("net"), texts, 30)
environments = st.fixed_dictionaries(
    {
        "CNI_CONTAINERID": seldom(st.sampled_from(CONTAINERS), variables, 40),
        "CNI_IFNAME": seldom(st.sampled_from(("eth0", "eth1", "net1")), variables, 40),
        "CNI_NETNS": seldom(
            st.sampled_from((BOX, OTHER_BOX)),
            st.sampled_from(("", "/run/netns/gone", "/proc/self/ns/net", "/etc/file", "\udcff")),
        ),
        "CNI_ARGS": st.sampled_from(
            ("", "IP=10.5.0.7", "IP=x", "MAC=02:99:00:00:00:01", "K8S_POD_NAME=web;IgnoreUnknown=1;", "A", "=;=", "K8S_POD_NAME=a b")
        ),
    }
)  # fmt: skip

#: A request of the host that is refused: (part.method, which, errno).
refusals = st.tuples(
    st.sampled_from(
        (
            "files.write",
            "files.read",
            "files.create",
            "files.remove",
            "files.lock",
            "files.make_folder",
            "links.get",
            "links.change",
            "links.create_veth",
            "links.create_bridge",
            "links.add_address",
            "links.add_route",
            "links.set_sysctl",
            "links.addresses",
            "nftables.apply",
            "nftables.chain",
            "iptables.apply",
            "iptables.apply_all",
            "iptables.rules",
            "conntrack.flush",
        )
    ),
    st.integers(1, 6),
    st.sampled_from((errno.ENOMEM, errno.EPERM, errno.EEXIST, errno.ENODEV)),
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One attachment's life with one of our plugins."""
    plugin = draw(st.sampled_from(sorted(MODULES)))
    document = draw(documents(plugin))
    raw = draw(seldom(st.none(), st.binary(max_size=20), 60))
    refuse = draw(seldom(st.none(), refusals, 4))
    return Case(plugin, document, draw(environments), refuse, raw)
