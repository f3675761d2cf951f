"""E. Published ports, with every backend that the suite has."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import Any

from tests.conformance import configurations as conf
from tests.conformance.registry import Section, expect
from tests.conformance.world import World
from tests.harness.privatehost import HOST_V4, OUTSIDE
from tests.harness.talk import ask, serve

E = Section("E", "Published ports (each backend)", needs=("portmap",), each="portmap")


def published(
    w: World, *mappings: conf.JsonObject, netns: str = "a", ifname: str = "eth0", **keys: Any
) -> conf.JsonObject:
    """A configuration that publishes these ports of a container that is there; none given: 8080 to 80."""
    wanted = list(mappings) or [conf.mapping()]
    return w.ready(
        "portmap", netns, ifname, backend=w.backend, runtimeConfig={"portMappings": wanted}, **keys
    )


def bare(document: conf.JsonObject, *without: str) -> conf.JsonObject:
    """A configuration without some of its keys."""
    return {key: value for key, value in document.items() if key not in without}


def answers(w: World, port: int, *, name: str = "a", kind: str = "tcp") -> None:
    """Somebody outside reaches the container `name` through the host's port."""
    found = ask(w.host, HOST_V4, port, netns=OUTSIDE, kind=kind)
    expect(
        (found or "").startswith(f"{name} "), f"port {port}/{kind} is answered by {found!r} instead of {name}"
    )


def silent(w: World, port: int) -> None:
    """Nobody answers on the host's port."""
    found = ask(w.host, HOST_V4, port, netns=OUTSIDE, wait=0.3)
    expect(found is None, f"port {port} is answered by {found!r}")


def settled(w: World, **keys: Any) -> None:
    """What is shared by all published ports is there, and container a has its link, as a bridge for published ports makes it."""
    w.settle("portmap", published(w, conf.mapping(host_port=9), netns="warm", **keys))
    w.plumb("a")


# --- mappings -------------------------------------------------------------------------------------------------


@E.case(123, "without mappings the answer is prevResult and no rule changes")
def no_mappings(w: World) -> None:
    runtimes: tuple[conf.JsonObject, ...] = ({}, {"portMappings": []})
    for runtime in runtimes:
        document = w.ready("portmap", backend=w.backend) | {"runtimeConfig": runtime}
        with w.unchanged():
            result = w.attach("portmap", document)
            expect(result == document["prevResult"], f"answers {result}")
            w.call("portmap", "DEL", document, prev=result).silent()


@E.case(124, "keys in camel case and in capitals, with an empty HostIP, make the same rules")
def spelling_of_keys(w: World) -> None:
    settled(w)
    capitals = {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}
    made = []
    for mapping in (conf.mapping(), capitals):
        document = published(w, mapping)
        w.attach("portmap", document)
        made.append(w.rules())
        with serve(w.host, "a", port=80):
            answers(w, 8080)
        w.call("portmap", "DEL", document).ok()
    expect(made[0] == made[1], "the rules differ")


@E.case(125, "protocol TCP, or none, is tcp")
def default_protocol(w: World) -> None:
    without = {"hostPort": 8080, "containerPort": 80}
    for mapping in (conf.mapping(protocol="TCP"), without, {**without, "protocol": ""}):
        document = published(w, mapping)
        w.attach("portmap", document)
        with serve(w.host, "a", port=80):
            answers(w, 8080)
        w.call("portmap", "DEL", document).ok()


@E.case(126, 'ports 0, -1, 65536 and "80" are code 7 and leave no rule')
def impossible_ports(w: World) -> None:
    settled(w)
    with w.unchanged():
        for port in (0, -1, 65536, "80"):
            for mapping in (
                {"hostPort": port, "containerPort": 80},
                {"hostPort": 8080, "containerPort": port},
            ):
                w.call("portmap", "ADD", published(w, {**mapping, "protocol": "tcp"})).error(
                    7, when=str(mapping)
                )


@E.case(127, "an unknown protocol is code 7, and sctp is translated")
def protocols(w: World) -> None:
    w.call("portmap", "ADD", published(w, conf.mapping(protocol="icmp"))).error(7, when="icmp")
    before = w.rules()
    document = published(w, conf.mapping(protocol="sctp"))
    w.attach("portmap", document)
    made = [line for line in w.rules() if line not in before and "sctp" in line]
    expect(made, "there is no rule for sctp")
    w.call("portmap", "CHECK", document, prev=document["prevResult"]).silent()


@E.case(128, "a hostIP that is no address is code 7")
def host_ip_is_an_address(w: World) -> None:
    w.call("portmap", "ADD", published(w, conf.mapping(hostIP="notanip"))).error(7)


@E.case(
    129, "a hostIP of a family that the container lacks is an error or a warning, and CHECK agrees with ADD"
)
def host_ip_of_other_family(w: World) -> None:
    document = published(w, conf.mapping(hostIP="2001:db8:100::10"))
    answer = w.call("portmap", "ADD", document)
    if not answer.succeeded:
        answer.error()
        return
    expect(answer.stderr.strip(), "neither error nor warning")
    w.call("portmap", "CHECK", document, prev=answer.result).silent()


@E.case(
    130, "40 mappings of two families are all reachable, and if IPv6 cannot be done nothing of IPv4 stays"
)
def many_mappings(w: World) -> None:
    w.netns("a")
    for place in (None, "a"):
        # While a link-local address is tentative the host looks for no neighbour.
        w.sh("echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad", netns=place)
    settled(w)
    w.sh("ip address add fd99::1/64 dev plumb0 nodad; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    w.sh("ip address add fd99::9/64 dev eth0 nodad; ip -6 route add default via fd99::1", netns="a")
    mappings = [conf.mapping(host_port=8000 + number, container_port=80 + number % 2) for number in range(40)]
    document = published(w, *mappings)
    document["prevResult"]["ips"].append({"address": "fd99::9/64", "interface": 2})
    w.attach("portmap", document)
    with ExitStack() as servers:
        for port in (80, 81):
            servers.enter_context(serve(w.host, "a", port=port, name=f"at{port}"))
        for number in (0, 14, 15, 29, 30, 39):
            answers(w, 8000 + number, name=f"at{80 + number % 2}")
            found = ask(w.host, "2001:db8:100::10", 8000 + number, netns=OUTSIDE)
            expect((found or "").startswith("at"), f"port {8000 + number} on IPv6 is answered by {found!r}")
    w.call("portmap", "DEL", document).silent()
    _six_fails(w, document)


def _six_fails(w: World, document: conf.JsonObject) -> None:
    """With conditions of IPv6 that no tool takes, an ADD must leave nothing of IPv4."""
    wrong = ["--no-such-option"] if w.backend == "iptables" else ["no", "such", "words"]
    before = w.rules()
    w.call("portmap", "ADD", {**document, "conditionsV6": wrong}).error()
    expect(w.rules() == before, "a failing IPv6 leaves rules of IPv4")


@E.case(
    131, "a second container that wants the same address, protocol and port gets an error, 7, 11 or 100 up"
)
def port_is_taken(w: World) -> None:
    w.attach("portmap", published(w))
    code = w.call("portmap", "ADD", published(w, netns="b"), cid="c2", netns="b").error()["code"]
    expect(code in (7, 11) or (code >= 100 and code != 999), f"code {code}")
    with serve(w.host, "a", port=80), serve(w.host, "b", port=80):
        answers(w, 8080, name="a")


# --- DEL ------------------------------------------------------------------------------------------------------


@E.case(132, "DEL without runtimeConfig removes the rules")
def delete_without_ports(w: World) -> None:
    settled(w)
    before = w.rules()
    document = published(w)
    w.attach("portmap", document)
    w.call("portmap", "DEL", bare(document, "runtimeConfig")).silent()
    expect(w.rules() == before, _left(w, before))


def _left(w: World, before: list[str]) -> str:
    left = [line for line in w.rules() if line not in before]
    lost = [line for line in before if line not in w.rules()]
    return f"{len(left)} rules stay, {len(lost)} are lost: {(left or lost)[:2]}"


@E.case(133, "DEL without prevResult, or with a mapping that is none, succeeds and removes the rules")
def delete_with_little(w: World) -> None:
    settled(w)
    before = w.rules()
    document = published(w)
    invalid = {"runtimeConfig": {"portMappings": [conf.mapping(host_port=-1)]}}
    for what, given in {
        "no prevResult": bare(document, "prevResult"),
        "an invalid mapping": document | invalid,
    }.items():
        w.attach("portmap", document)
        w.call("portmap", "DEL", given).silent(what)
        expect(w.rules() == before, f"{what}: {_left(w, before)}")


@E.case(134, "a container on two networks keeps the ports of one when the other is deleted")
def two_networks(w: World) -> None:
    first, second = published(w), published(w, conf.mapping(host_port=8081), ifname="eth1", name="net2")
    w.attach("portmap", first)
    alone = w.rules()
    w.attach("portmap", second, ifname="eth1")
    w.call("portmap", "DEL", second, ifname="eth1").silent()
    expect(w.rules() == alone, _left(w, alone))
    with serve(w.host, "a", port=80):
        answers(w, 8080)


@E.case(135, "a container with eth0 and eth1 on one network keeps the ports of eth0 when eth1 is deleted")
def two_interfaces(w: World) -> None:
    first = published(w)
    second = published(w, conf.mapping(host_port=8081), ifname="eth1")
    w.attach("portmap", first)
    alone = w.rules()
    w.attach("portmap", second, ifname="eth1")
    w.call("portmap", "DEL", second, ifname="eth1").silent()
    expect(w.rules() == alone, _left(w, alone))


@E.case(136, "ADD twice makes no rule twice")
def repeated_add(w: World) -> None:
    document = published(w)
    w.attach("portmap", document)
    once = w.rules()
    w.call("portmap", "ADD", document).sane()
    expect(
        sorted(w.rules()) == sorted(once), _left(w, once) + f", {len(w.rules())} lines instead of {len(once)}"
    )


# --- CHECK ----------------------------------------------------------------------------------------------------


@E.case(137, "CHECK fails when the jump from the hook to the rules is gone")
def lost_jump(w: World) -> None:
    document = published(w)
    before = w.rules()
    w.attach("portmap", document)
    w.call("portmap", "CHECK", document).silent("right after ADD")
    w.leave_unattended()
    w.sh(_flush_new_hooks(w, before))
    w.call("portmap", "CHECK", document).error()


def _flush_new_hooks(w: World, before: list[str]) -> str:
    """A script that empties what hooks into prerouting: of iptables, and of each nftables table that is new."""
    if w.backend == "iptables":
        return "iptables -t nat -F PREROUTING"
    shown = json.loads(w.sh("nft --json list chains"))["nftables"]
    chains = [
        each["chain"] for each in shown if "chain" in each and each["chain"].get("hook") == "prerouting"
    ]
    words = [f"{each['family']} {each['table']} {each['name']}" for each in chains]
    fresh = [each for each in words if not any(line.startswith(f"chain {each} ") for line in before)]
    return "; ".join(f"nft flush chain {each}" for each in fresh)


@E.case(138, "CHECK fails when the port leads to another address than the container's")
def wrong_target(w: World) -> None:
    document = published(w)
    w.attach("portmap", document)
    elsewhere = json.loads(json.dumps(document))
    elsewhere["prevResult"]["ips"][0]["address"] = "10.99.0.250/16"
    w.call("portmap", "CHECK", elsewhere).error()


@E.case(139, "the conditions of one network's ports are not changed by an ADD on another")
def conditions_stay(w: World) -> None:
    words = ["-s", "198.51.100.0/24"] if w.backend == "iptables" else ["ip", "saddr", "198.51.100.0/24"]
    never = ["-s", "192.0.2.0/24"] if w.backend == "iptables" else ["ip", "saddr", "192.0.2.0/24"]
    w.attach("portmap", published(w, conditionsV4=words))
    other = published(w, conf.mapping(host_port=8081), netns="b", name="net2", conditionsV4=never)
    w.attach("portmap", other, cid="c2", netns="b")
    with serve(w.host, "a", port=80), serve(w.host, "b", port=80):
        answers(w, 8080, name="a")
        silent(w, 8081)


@E.case(140, "old UDP flows are forgotten on ADD and on DEL, so that a datagram finds who has the port now")
def udp_flows(w: World) -> None:
    w.need("conntrack", "test -e /proc/sys/net/netfilter/nf_conntrack_count")
    settled(w)
    with ExitStack() as servers:
        for netns in ("a", "b"):
            w.plumb(netns)
            servers.enter_context(serve(w.host, netns, port=80, kind="udp"))
        for cid, netns in (("c1", "a"), ("c2", "b")):
            document = published(w, conf.mapping(protocol="udp"), netns=netns)
            w.attach("portmap", document, cid=cid, netns=netns)
            found = _from_one_port(w)
            expect(found.startswith(f"{netns} "), f"after ADD of {netns}: {found!r}")
            w.call("portmap", "DEL", document, cid=cid, netns=netns).ok()
            found = _from_one_port(w)
            expect(not found, f"after DEL of {netns} an old flow still leads to {found!r}")


_ONE_PORT = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(0.4)
    client.bind(("0.0.0.0", 40000))
    client.connect((sys.argv[1], 8080))
    try:
        client.send(b"?")
        print(client.recv(2048).decode(), end="")
    except OSError:
        pass
"""


def _from_one_port(w: World) -> str:
    """What answers a datagram from the same port of the same client each time: one flow for conntrack."""
    return w.host.outside([sys.executable, "-ISc", _ONE_PORT, HOST_V4]).stdout


@E.case(
    141,
    "GC removes the ports of what is not valid any more and keeps the living; STATUS is 50 without a usable backend",
)
def collects_and_tells(w: World) -> None:
    settled(w)
    living = published(w)
    w.attach("portmap", living)
    alone = w.rules()
    w.attach("portmap", published(w, conf.mapping(host_port=8081), netns="b"), cid="c2", netns="b")
    w.kill("b")
    w.call(
        "portmap", "GC", conf.with_valid(bare(living, "prevResult", "runtimeConfig"), ("c1", "eth0"))
    ).silent()
    expect(w.rules() == alone, _left(w, alone))
    w.call("portmap", "CHECK", living).silent("the living one")
    _status_without_backends(w)


def _status_without_backends(w: World) -> None:
    """Hide tools and library, as on a machine that has neither."""
    document = w.conf("portmap", backend=w.backend)
    w.call("portmap", "STATUS", document).silent("with the backend")
    hidden = "for tool in /usr/sbin/*tables* /sbin/*tables* /usr/sbin/nft /sbin/nft; do [ ! -e $tool ] || mount --bind /dev/null $tool; done"
    library = (
        "for file in /usr/lib/*/libnftables.so*; do [ ! -e $file ] || mount --bind /dev/null $file; done"
    )
    w.sh(hidden)
    w.sh(library)
    w.restart()
    w.call("portmap", "STATUS", document).error(50, when="neither backend usable")
