"""F. Letting traffic of containers through, and keeping networks apart."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance import configurations as conf
from tests.conformance import firewalld
from tests.conformance.registry import Section, expect
from tests.conformance.world import World

F = Section("F", "Firewall (each backend)", needs=("firewall",), each="firewall")


def guarded(w: World, netns: str = "a", **keys: Any) -> conf.JsonObject:
    """A configuration for a container that is there."""
    return w.ready("firewall", netns, backend=w.backend, **keys)


def bare(document: conf.JsonObject) -> conf.JsonObject:
    """The same without prevResult."""
    return {key: value for key, value in document.items() if key != "prevResult"}


def settled(w: World, **keys: Any) -> None:
    """The shared chains are there, and container a has its link."""
    w.settle("firewall", guarded(w, "warm", **keys))
    w.plumb("a")


@F.case(142, "DEL without prevResult removes the container's rules")
def delete_without_prev_result(w: World) -> None:
    settled(w)
    before = w.snapshot()
    document = guarded(w)
    w.attach("firewall", document)
    w.call("firewall", "DEL", bare(document)).silent()
    w.same_as(before)


@F.case(143, "a late DEL of a container leaves the rules of the one that has its address now")
def reused_address(w: World) -> None:
    settled(w)
    document = guarded(w)
    w.attach("firewall", document, cid="old")
    w.call("firewall", "DEL", document, cid="old").ok()
    w.attach("firewall", document, cid="new")
    with w.unchanged():
        w.call("firewall", "DEL", document, cid="old").silent()


@F.case(144, "CHECK changes no rule, whether it succeeds or fails")
def check_only_looks(w: World) -> None:
    document = guarded(w)
    with w.unchanged(when="CHECK before any ADD"):
        w.call("firewall", "CHECK", document).sane()
    w.attach("firewall", document)
    with w.unchanged(when="CHECK after ADD"):
        w.call("firewall", "CHECK", document).silent()


@F.case(145, "CHECK finds that what keeps networks apart is gone")
def check_covers_isolation(w: World) -> None:
    save, restore = _dump(w)
    for policy in ("same-bridge", "isolated"):
        document = guarded(w, ingressPolicy="open")
        w.attach("firewall", document)
        w.sh(save)
        w.call("firewall", "DEL", document).ok()
        document = guarded(w, ingressPolicy=policy)
        w.attach("firewall", document)
        w.call("firewall", "CHECK", document).silent(policy)
        w.leave_unattended()
        w.sh(restore)
        w.call("firewall", "CHECK", document).error(
            when=f"{policy}: only the rules of the open policy are there"
        )
        w.call("firewall", "DEL", document).ok()
        w.sh("nft flush ruleset")


def _dump(w: World) -> tuple[str, str]:
    """Scripts that save the rules of the backend, and that put them back in place of all others."""
    if w.backend == "iptables":
        return "iptables-save >/run/saved", "iptables-restore </run/saved"
    return "nft list ruleset >/run/saved", "nft flush ruleset; nft -f /run/saved"


@F.case(146, "DEL with an ingressPolicy that is none succeeds and removes the rules")
def delete_with_odd_policy(w: World) -> None:
    settled(w)
    before = w.snapshot()
    document = guarded(w)
    w.attach("firewall", document)
    w.call("firewall", "DEL", document | {"ingressPolicy": "whatever"}).silent()
    w.same_as(before)


@F.case(147, "same-bridge finds the bridge wherever it stands in prevResult's interfaces, or is code 7")
def finds_the_bridge(w: World) -> None:
    document = guarded(w, ingressPolicy="same-bridge")
    document["prevResult"]["interfaces"].reverse()
    document["prevResult"]["ips"][0]["interface"] = 0
    before = w.rules()
    answer = w.call("firewall", "ADD", document)
    if not answer.succeeded:
        answer.error(7)
        return
    made = [line for line in w.rules() if line not in before]
    expect(
        not any('"eth0"' in line or "-i eth0" in line or "-o eth0" in line for line in made),
        "isolates eth0 of the host",
    )
    expect(any(conf.PLUMBED_BRIDGE in line for line in made), f"no rule names {conf.PLUMBED_BRIDGE}")


@F.case(
    148,
    "an IPv4 container works on a host without ip6tables, and a firewalld that denies the address fails CHECK",
)
def lacking_tools(w: World) -> None:
    w.need("firewalld's bus", firewalld.PROBE)
    w.sh("rm -f /etc/alternatives/ip6tables*")
    expect(not w.sh("command -v ip6tables", check=False), "ip6tables cannot be hidden here")
    document = guarded(w)
    w.attach("firewall", document)
    w.call("firewall", "CHECK", document).silent("without ip6tables")
    w.call("firewall", "DEL", document).silent("without ip6tables")
    firewalld.start(w.host)
    document = w.ready("firewall", "b", backend="firewalld")
    w.attach("firewall", document, cid="c2", netns="b")
    w.call("firewall", "CHECK", document, cid="c2", netns="b").error(
        when="firewalld says that the address is in no zone"
    )


@F.case(149, "GC removes stale rules and keeps living ones, STATUS answers, and cniVersion 0.3.1 is accepted")
def collects(w: World) -> None:
    settled(w)
    w.call("firewall", "STATUS", bare(guarded(w))).silent()
    living = guarded(w)
    w.attach("firewall", living)
    alone = w.rules()
    w.attach("firewall", guarded(w, "b"), cid="c2", netns="b")
    w.kill("b")
    w.call("firewall", "GC", conf.with_valid(bare(living), ("c1", "eth0"))).silent()
    expect(w.rules() == alone, f"left: {[line for line in w.rules() if line not in alone][:2]}")
    w.call("firewall", "CHECK", living).silent("the living one")
    old = guarded(w, "c", cniVersion="0.3.1")
    expect(json.dumps(w.attach("firewall", old, cid="c3", netns="c")), "no result in 0.3.1")
