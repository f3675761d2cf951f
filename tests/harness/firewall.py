"""A host in memory with an attachment, and calls of firewall on it."""

from __future__ import annotations

import json
from typing import Any

from cni_firewall.facts import Admission
from cni_firewall.verbs import PLUGIN
from linkspan.call.dispatch import answer
from linkspan.host.contract import Finished
from linkspan.host.memory import MemoryHost
from linkspan.host.memory.processes import Run

NETNS = "/run/netns/a"
PREV = {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "veth1"}, {"name": "br1"}, {"name": "eth0", "sandbox": NETNS}],
    "ips": [{"address": "10.1.0.2/24", "interface": 2}, {"address": "fd00:1::2/64", "interface": 2}],
}
OPEN = Admission(backend="iptables", addresses=("10.1.0.2", "fd00:1::2"), bridge="br1", port="veth1")


def fenced(policy: Any, bridge: str = "br1") -> Admission:
    """An admission to a bridge with a policy, in iptables."""
    return Admission(
        backend="iptables", addresses=("10.1.0.2",), bridge=bridge, policy=policy, fence="iptables"
    )


def box(refuse: Any = None) -> MemoryHost:
    """A host whose bridge br1 has the port veth1; the port comes first in prevResult."""
    host = MemoryHost(refuse)
    host.add_netns(NETNS)
    links = host.links()
    links.create_bridge("br1")
    mac = "02:00:00:00:00:0{}".format
    links.create_veth("veth1", mac=mac(1), peer="eth0", peer_mac=mac(2), peer_netns=NETNS)
    links.change("veth1", master="br1", up=True)
    return host


def call(
    host: MemoryHost, verb: str, *, cid: str = "c1", prev: Any = PREV, valid: Any = None, **keys: Any
) -> dict[str, Any]:
    """What the plugin answers, {} for nothing. `valid` is GC's list, `prev` prevResult."""
    document = {"cniVersion": "1.1.0", "name": "n1", "type": "firewall", **keys}
    document |= {"prevResult": prev} if prev else {}
    document |= {} if valid is None else {"cni.dev/valid-attachments": valid}
    env = {"CNI_COMMAND": verb, "CNI_CONTAINERID": cid, "CNI_NETNS": NETNS, "CNI_IFNAME": "eth0"}
    _, stdout = answer(PLUGIN, json.dumps(document).encode(), env, host)
    return dict(json.loads(stdout)) if stdout else {}


def own(host: MemoryHost) -> frozenset[str]:
    """What is there but shared things, which stay by design."""
    return frozenset(
        line for line in host.state() if "10.1.0.2" in line or "fd00:1::2" in line or "records" in line
    )


def rules(host: MemoryHost) -> Any:
    """Every table of iptables with its chains and rules."""
    return {
        where: {chain: tuple(all_) for chain, all_ in table.items()}
        for where, table in host.iptables.tables.items()
    }


def with_firewalld(host: MemoryHost, *, error: str = "") -> list[tuple[str, ...]]:
    """firewalld on this host, holding nothing and refusing with `error`; returns the calls to come."""
    calls: list[tuple[str, ...]] = []
    held: set[str] = set()

    def busctl(run: Run) -> Finished:
        method, *words = run.argv[run.argv.index("--") + 4 :]
        calls.append((method, *words[1:]))
        if method == "NameHasOwner":
            return Finished(0, b"b true\n")
        if error:
            return Finished(1, f"Call failed: {error}\n".encode())
        if method == "querySource":
            return Finished(0, b"b true\n" if words[-1] in held else b"b false\n")
        (held.add if method == "addSource" else held.discard)(words[-1])
        return Finished(0, b's "trusted"\n')

    host.processes.programs["/usr/bin/busctl"] = busctl
    host.processes.programs["/usr/sbin/firewalld"] = busctl
    return calls
