"""C. The plugin that makes the interface."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance import configurations as conf
from tests.conformance.registry import Section, expect
from tests.conformance.spy import TYPE as SPY
from tests.conformance.world import World

C = Section("C", "Bridge", needs=("bridge", "ipam"))


def small(w: World, **keys: Any) -> conf.JsonObject:
    """A network with room for two containers."""
    ranges = [[{"subnet": conf.SUBNET, "rangeStart": "10.77.0.2", "rangeEnd": "10.77.0.3"}]]
    return w.conf("bridge", ipam={**conf.ipam(w.suite.type_of("ipam")), "ranges": ranges}, **keys)


def spied(w: World, **keys: Any) -> conf.JsonObject:
    """A network whose addresses come from the spy."""
    return w.conf("bridge", ipam={"type": SPY}, **keys)


def backed(w: World, **keys: Any) -> conf.JsonObject:
    """A network that masquerades with the backend of this variant."""
    return w.conf("bridge", ipMasqBackend=w.backend, **keys)


def ports(w: World) -> list[str]:
    """The host's veth links, its own eth0 apart."""
    kinds = {name: link.get("linkinfo", {}).get("info_kind") for name, link in w.links().items()}
    return [name for name, kind in kinds.items() if kind == "veth" and name != "eth0"]


def nothing_of_it(w: World, ifname: str = "eth0") -> None:
    """No link in container or host, and no address reserved."""
    expect(ifname not in w.links("a"), f"{ifname} stays in the container")
    expect(not ports(w), f"the host keeps {', '.join(ports(w))}")
    expect(not w.leases(), f"still reserved: {', '.join(w.leases())}")


# --- ADD ------------------------------------------------------------------------------------------------------


@C.case(
    60,
    "ADD makes bridge, gateway address, port, address and default route, and the result says what the kernel has",
)
def layer_3(w: World) -> None:
    result = w.attach("bridge")
    links, inside = w.links(), w.links("a")
    expect(f"{conf.GATEWAY}/24" in w.addresses(None, conf.BRIDGE), "the bridge lacks the gateway's address")
    names = [each["name"] for each in result["interfaces"]]
    expect(names[0] == conf.BRIDGE and names[2] == "eth0", f"interfaces {names}")
    expect(links[names[1]].get("master") == conf.BRIDGE, "the host's end is no port of the bridge")
    for name, place in ((names[0], links), (names[1], links), ("eth0", inside)):
        expect("UP" in place[name]["flags"], f"{name} is down")
        told = next(each["mac"] for each in result["interfaces"] if each["name"] == name)
        expect(
            told.lower() == place[name]["address"],
            f"mac of {name}: result {told}, kernel {place[name]['address']}",
        )
    expect(
        [ip["address"] for ip in result["ips"]] == w.addresses("a"), "result and kernel differ in addresses"
    )
    expect([each.get("gateway") for each in w.routes("a", "default")] == [conf.GATEWAY], "no default route")


@C.case(61, "a second ADD of the same attachment is an error and leaves the first as it was")
def repeated_add(w: World) -> None:
    document = w.ready("bridge")
    w.attach("bridge", document)
    with w.unchanged():
        w.call("bridge", "ADD", document).error()


@C.case(62, "an eth0 that is not ours in the container makes ADD fail, and nothing is changed or reserved")
def foreign_interface(w: World) -> None:
    w.settle("bridge")
    w.netns()
    w.sh("ip link add eth0 type veth peer name foreign0", netns="a")
    with w.unchanged():
        w.call("bridge", "ADD").error()


@C.case(63, "a CNI_NETNS that is missing or no namespace makes ADD fail before the bridge is made")
def no_namespace(w: World) -> None:
    w.sh("echo file >/run/plain")
    for netns in ("/run/netns/missing", "/run/plain", "/run"):
        w.call("bridge", "ADD", netns=netns).error(when=netns)
        expect(conf.BRIDGE not in w.links(), f"the bridge is made for CNI_NETNS {netns}")
        expect(not w.leases(), f"an address is reserved for CNI_NETNS {netns}")


@C.case(64, "an IPAM plugin that fails gets a DEL, and no link stays in container or host")
def ipam_fails(w: World) -> None:
    spy = w.spy()
    spy.fails("ADD", 11)
    w.netns()
    w.call("bridge", "ADD", spied(w)).error()
    nothing_of_it(w)
    expect("DEL" in spy.verbs, f"the IPAM plugin saw {spy.verbs}, no DEL")


@C.case(
    65,
    "after an exhausted pool ADD works once there is room, with or without a DEL between, also as the bridge's first",
)
def after_exhaustion(w: World) -> None:
    document = small(w)
    ipam = {**document, "type": w.suite.type_of("ipam")}
    w.netns()
    for cid in ("x1", "x2"):
        w.call("ipam", "ADD", ipam, cid=cid).ok()
    w.call("bridge", "ADD", document).error(when="the pool is full")
    w.call("ipam", "DEL", ipam, cid="x1").ok()
    w.call("bridge", "ADD", document).ok("again, without DEL")
    w.call("bridge", "DEL", document).ok()
    w.call("ipam", "ADD", ipam, cid="x1").ok()
    w.call("bridge", "ADD", document).error(when="the pool is full again")
    w.call("bridge", "DEL", document).ok("after the failure")
    w.call("ipam", "DEL", ipam, cid="x1").ok()
    w.call("bridge", "ADD", document).ok("again, after DEL")


@C.case(66, "an IPAM plugin that is not installed is named in the error, and nothing stays")
def ipam_is_missing(w: World) -> None:
    w.netns()
    told = w.call("bridge", "ADD", w.conf("bridge", ipam={"type": "no-such-ipam"})).error()
    expect("no-such-ipam" in told["msg"] + str(told.get("details")), f"it is not named: {told}")
    nothing_of_it(w)


@C.case(67, "an IPAM plugin that answers no address is an error, gets a DEL, and no link stays")
def no_address(w: World) -> None:
    spy = w.spy()
    spy.answers("ADD", {"cniVersion": "1.1.0", "ips": []})
    w.netns()
    w.call("bridge", "ADD", spied(w)).error()
    expect("DEL" in spy.verbs, "the IPAM plugin saw no DEL")
    nothing_of_it(w)


@C.case(68, "the IPAM plugin gets the whole configuration and the environment unchanged")
def delegate_sees_all(w: World) -> None:
    spy = w.spy()
    document = spied(w, extra={"deep": [1, {"a": None}]})
    w.attach("bridge", document, args="IgnoreUnknown=1;K8S_POD_NAME=p", env={"EXTRA": "x y"})
    call = spy.calls[0]
    expect(call.document == document, f"stdin differs: {call.stdin[:120]}")
    wanted = {
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": "/run/netns/a",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=p", "EXTRA": "x y", "CNI_PATH": ":".join(w.cni_path),
    }  # fmt: skip
    wrong = {key: call.env.get(key) for key in wanted if call.env.get(key) != wanted[key]}
    expect(not wrong, f"environment differs: {wrong}")


@C.case(69, "an IPAM plugin's error keeps its code, message and details, on ADD and on DEL")
def delegate_errors(w: World) -> None:
    spy = w.spy()
    document = w.ready("bridge", ipam={"type": SPY})
    spy.fails("ADD", 123, "the msg", "the details")
    told = w.call("bridge", "ADD", document).error(123)
    w.kill("a")
    expect("the msg" in told["msg"] and "the details" in str(told.get("details")), f"told {told}")
    spy.answers("ADD", {"cniVersion": "1.1.0", "ips": [{"address": "10.77.0.9/24"}]})
    result = w.attach("bridge", document)
    spy.fails("DEL", 124, "the msg", "the details")
    told = w.call("bridge", "DEL", document, prev=result).error(124)
    expect("the msg" in told["msg"], f"told {told}")


@C.case(70, "an ipam.type that is a path is refused before anything is made")
def ipam_type_is_no_path(w: World) -> None:
    w.netns()
    for kind in ("../x", "/bin/true", "a/b"):
        w.call("bridge", "ADD", w.conf("bridge", ipam={"type": kind})).error(when=kind)
        nothing_of_it(w)


# --- DEL ------------------------------------------------------------------------------------------------------


@C.case(71, "DEL succeeds any number of times, and for what was never added")
def delete_is_repeatable(w: World) -> None:
    document = w.ready("bridge")
    result = w.attach("bridge", document)
    for number in (1, 2, 3):
        w.call("bridge", "DEL", document, prev=result).silent(f"DEL {number}")
    w.call("bridge", "DEL", document, cid="never").silent("never added")


@C.case(
    72,
    "DEL without CNI_NETNS of a container that lives takes nothing from it; a DEL after its end leaves nothing",
    each="masquerade",
)
def delete_without_netns(w: World) -> None:
    document = backed(w)
    w.settle("bridge", document)
    before = w.snapshot()
    result = w.attach("bridge", document)
    w.call("bridge", "DEL", document, prev=result, netns="").silent("while it lives")
    expect(ports(w), "the host's end of the link is gone")
    w.call("bridge", "CHECK", document, prev=result).silent("CHECK after it")
    w.kill("a")
    w.call("bridge", "DEL", document, prev=result, netns="").silent("after its end")
    w.same_as(before)


@C.case(73, "its address is not given to another after such a DEL while a container still has it")
def no_duplicate_address(w: World) -> None:
    document = small(w)
    result = w.attach("bridge", document, cid="c1", netns="a")
    w.call("bridge", "DEL", document, prev=result, cid="c1", netns="").ok()
    for cid, netns in (("c2", "b"), ("c3", "c")):
        w.netns(netns)
        w.call("bridge", "ADD", document, cid=cid, netns=netns)
    held = [
        address
        for netns in ("a", "b", "c")
        for address in w.addresses(netns)
        if "UP" in w.links(netns)["eth0"]["flags"]
    ]
    expect(len(held) == len(set(held)), f"two containers have {held}")


@C.case(
    74,
    "DEL of a container whose namespace is gone removes its rules, with and without prevResult",
    each="masquerade",
)
def delete_after_death(w: World) -> None:
    document = backed(w, **({"macspoofchk": True} if _can_check_spoofing(w) else {}))
    w.settle("bridge", document)
    before = w.snapshot()
    for keep in (True, False):
        result = w.attach("bridge", document)
        w.kill("a")
        w.call("bridge", "DEL", document, prev=result if keep else None).silent()
        w.same_as(before, when="with prevResult" if keep else "without prevResult")


def _can_check_spoofing(w: World) -> bool:
    return bool(w.sh("nft add table bridge probe && nft delete table bridge probe && echo yes", check=False))


@C.case(75, "DEL with a CNI_NETNS that is a plain file or a directory succeeds and frees the address")
def delete_with_odd_netns(w: World) -> None:
    w.sh("echo file >/run/plain; mkdir /run/folder")
    document = w.conf("bridge")
    for netns in ("/run/plain", "/run/folder"):
        result = w.attach("bridge", document)
        w.kill("a")
        w.call("bridge", "DEL", document, prev=result, netns=netns).silent(netns)
        expect(not w.leases(), f"{', '.join(w.leases())} stays reserved with CNI_NETNS {netns}")


@C.case(
    76,
    "a DEL whose IPAM plugin fails still removes link and masquerading, and reports the failure",
    each="masquerade",
)
def delete_goes_on(w: World) -> None:
    spy = w.spy()
    document = backed(w, ipam={"type": SPY})
    w.settle("bridge", document)
    w.netns()
    before = w.snapshot()
    rules = w.rules()
    result = w.attach("bridge", document)
    spy.fails("DEL", 11)
    w.call("bridge", "DEL", document, prev=result).error(11)
    expect(not ports(w), "the link stays")
    expect(w.rules() == rules, "rules stay")
    spy.answers("DEL", None)
    w.call("bridge", "DEL", document, prev=result).silent("again")
    w.same_as(before)


@C.case(77, "DEL through a recycled path leaves the other container's eth0 alone")
def recycled_path(w: World) -> None:
    document = w.conf("bridge")
    result = w.attach("bridge", document, cid="old")
    w.kill("a")
    w.attach("bridge", document, cid="new")
    address = w.addresses("a")
    w.call("bridge", "DEL", document, prev=result, cid="old").silent()
    expect(w.addresses("a") == address, "the new container lost its eth0")


@C.case(78, "with eth0 and eth1 on one network, DEL of eth1 leaves eth0 masqueraded", each="masquerade")
def two_interfaces(w: World) -> None:
    document = backed(w)
    w.settle("bridge", document)
    w.attach("bridge", document, ifname="eth0")
    alone = w.rules()
    result = w.attach("bridge", document, ifname="eth1")
    w.call("bridge", "DEL", document, prev=result, ifname="eth1").silent()
    lost = [rule for rule in alone if rule not in w.rules()]
    expect(not lost, f"eth0 lost {lost[:2]}")


# --- CHECK ----------------------------------------------------------------------------------------------------


@C.case(79, "CHECK straight after ADD succeeds")
def check_after_add(w: World) -> None:
    document = w.ready("bridge")
    w.call("bridge", "CHECK", document, prev=w.attach("bridge", document)).silent()


@C.case(80, "CHECK without prevResult is code 7")
def check_needs_prev_result(w: World) -> None:
    document = w.ready("bridge")
    w.attach("bridge", document)
    w.call("bridge", "CHECK", document).error(7)


@C.case(81, "CHECK finds a lost address, a lost route, a link that is down, and a changed MAC address")
def check_finds_damage(w: World) -> None:
    document = w.ready("bridge")
    damages = {
        "address": "ip address flush dev eth0",
        "route": "ip route delete default",
        "link down": "ip link set eth0 down",
        "MAC": "ip link set eth0 address 02:00:00:00:00:99",
    }
    for damage, script in damages.items():
        result = w.attach("bridge", document)
        w.sh(script, netns="a")
        w.call("bridge", "CHECK", document, prev=result).error(when=f"{damage} is damaged")
        w.call("bridge", "DEL", document, prev=result).sane()
        w.kill("a")


@C.case(82, "CHECK finds flushed masquerading", each="masquerade")
def check_finds_lost_masquerade(w: World) -> None:
    document = backed(w)
    w.netns()
    result = w.attach("bridge", document)
    w.leave_unattended()
    w.sh("nft flush ruleset")
    w.call("bridge", "CHECK", document, prev=result).error(when="nft flush ruleset")


@C.case(83, "CHECK finds a bridge that is down and one without the gateway's address")
def check_finds_bridge_down(w: World) -> None:
    document = w.ready("bridge")
    result = w.attach("bridge", document)
    w.sh(f"ip link set {conf.BRIDGE} down")
    w.call("bridge", "CHECK", document, prev=result).error(when="the bridge is down")
    w.sh(f"ip link set {conf.BRIDGE} up; ip address flush dev {conf.BRIDGE}")
    w.call("bridge", "CHECK", document, prev=result).error(when="no gateway address")


@C.case(84, "CHECK of a network without ipam succeeds")
def check_layer_2(w: World) -> None:
    document = w.ready("bridge", ipam=None, isGateway=None, ipMasq=None)
    w.call("bridge", "CHECK", document, prev=w.attach("bridge", document)).silent()


@C.case(85, "CHECK of the first container succeeds after others joined a bridge that is no gateway")
def check_after_others(w: World) -> None:
    document = w.conf("bridge", isGateway=None, ipMasq=None)
    result = w.attach("bridge", document)
    w.attach("bridge", document, cid="c2", netns="b")
    # A bridge takes the lowest MAC address of its ports unless it was given one.
    w.sh(
        f"ip link add low0 address 02:00:00:00:00:01 type veth peer name low1; ip link set low0 master {conf.BRIDGE} up"
    )
    w.call("bridge", "CHECK", document, prev=result).silent()


@C.case(86, "CHECK succeeds with a route in table 100, and with an address of length 32")
def check_odd_routes(w: World) -> None:
    spy = w.spy()
    document = spied(w)
    ips = [{"address": "10.77.0.9/24", "gateway": conf.GATEWAY}]
    spy.answers("ADD", {"cniVersion": "1.1.0", "ips": ips, "routes": [{"dst": "192.0.2.0/24", "table": 100}]})
    result = w.attach("bridge", document)
    w.call("bridge", "CHECK", document, prev=result).silent("a route in table 100")
    w.call("bridge", "DEL", document, prev=result).ok()
    alone = w.conf("bridge", ipam={"type": SPY}, isGateway=None, ipMasq=None, bridge="cnt1")
    spy.answers("ADD", {"cniVersion": "1.1.0", "ips": [{"address": "10.77.0.9/32"}]})
    result = w.attach("bridge", alone)
    w.call("bridge", "CHECK", alone, prev=result).silent("an address of length 32")


@C.case(87, "CHECK succeeds when prevResult has addresses of other interfaces as well")
def check_other_interfaces(w: World) -> None:
    document = w.ready("bridge")
    result = w.attach("bridge", document)
    result["interfaces"].append({"name": "net1", "mac": "02:00:00:00:00:09", "sandbox": "/run/netns/a"})
    result["ips"].append({"address": "192.0.2.9/24", "interface": len(result["interfaces"]) - 1})
    w.call("bridge", "CHECK", document, prev=result).silent()


@C.case(88, "CHECK succeeds when a later plugin set the MAC address and wrote it in capitals")
def check_mac_in_capitals(w: World) -> None:
    document = w.ready("bridge")
    result = w.attach("bridge", document)
    w.sh("ip link set eth0 address 02:00:00:00:ab:cd", netns="a")
    result["interfaces"][2]["mac"] = "02:00:00:00:AB:CD"
    w.call("bridge", "CHECK", document, prev=result).silent()


# --- routes and addresses -------------------------------------------------------------------------------------


@C.case(89, "the mtu, advmss, priority and table of an IPAM plugin's route reach the kernel")
def route_attributes(w: World) -> None:
    spy = w.spy()
    routes = [
        {"dst": "192.0.2.0/24", "gw": conf.GATEWAY, "mtu": 1400, "advmss": 1350},
        {"dst": "198.18.0.0/15", "gw": conf.GATEWAY, "priority": 77, "table": 100},
    ]
    ips = [{"address": "10.77.0.9/24", "gateway": conf.GATEWAY}]
    spy.answers("ADD", {"cniVersion": "1.1.0", "ips": ips, "routes": routes})
    w.attach("bridge", spied(w))
    metrics = _metrics(w.routes("a", "192.0.2.0/24"))
    expect(metrics == {"mtu": 1400, "advmss": 1350}, f"kernel has {metrics}")
    other = w.routes("a", "table", "100")
    expect(other and other[0].get("metric") == 77, f"table 100 has {other}")


def _metrics(routes: list[conf.JsonObject]) -> conf.JsonObject:
    listed = routes[0].get("metrics", []) if routes else []
    return {key: value for each in listed for key, value in each.items()}


@C.case(90, "a route of scope 253 without gateway is installed on the link")
def route_on_link(w: World) -> None:
    spy = w.spy()
    routes = [{"dst": "192.0.2.0/24", "scope": 253}]
    ips = [{"address": "10.77.0.9/24", "gateway": conf.GATEWAY}]
    spy.answers("ADD", {"cniVersion": "1.1.0", "ips": ips, "routes": routes})
    w.attach("bridge", spied(w))
    found = w.routes("a", "192.0.2.0/24")
    expect(found and "gateway" not in found[0] and found[0].get("scope") == "link", f"kernel has {found}")


@C.case(
    91, "isDefaultGateway together with a default route of the IPAM plugin makes exactly one default route"
)
def one_default_route(w: World) -> None:
    w.attach("bridge", w.ready("bridge", isDefaultGateway=True))
    found = w.routes("a", "default")
    expect(len(found) == 1, f"{len(found)} default routes")


@C.case(92, "a second network with a default route can be added to a container that has one")
def second_default_route(w: World) -> None:
    w.attach("bridge")
    second = w.conf(
        "bridge", name="net2", bridge="cnt1", ipam=conf.ipam(w.suite.type_of("ipam"), "10.78.0.0/24")
    )
    result = w.attach("bridge", second, ifname="eth1")
    expect(w.addresses("a", "eth1"), "eth1 has no address")
    w.call("bridge", "DEL", second, prev=result, ifname="eth1").silent()
    expect(w.routes("a", "default"), "the first default route is gone")


@C.case(
    93, "with two families the IPv6 address is usable when ADD returns, both are forwarded, and DEL is clean"
)
def dual_stack(w: World) -> None:
    both = conf.ipam(w.suite.type_of("ipam"), conf.SUBNET, conf.SUBNET6, routes=("0.0.0.0/0", "::/0"))
    document = w.conf("bridge", ipam=both)
    w.settle("bridge", document)
    w.netns()
    before = w.snapshot()
    result = w.attach("bridge", document)
    shown = w.sh("ip -6 address show dev eth0 scope global", netns="a")
    expect("inet6 fd77:" in shown and "tentative" not in shown, f"IPv6 address: {shown}")
    for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        expect(w.sh(f"cat /proc/sys/net/{key}").strip() == "1", f"{key} is 0")
    w.call("bridge", "DEL", document, prev=result).silent()
    w.same_as(before)


@C.case(
    94,
    "a MAC address comes from runtimeConfig before args.cni before CNI_ARGS, and a bad one is code 7 and leaves nothing",
)
def mac_address(w: World) -> None:
    told = [f"02:00:00:00:00:0{number}" for number in (1, 2, 3)]
    document = w.ready("bridge", capabilities={"mac": True})
    by_args = document | {"args": {"cni": {"mac": told[1]}}}
    by_runtime = by_args | {"runtimeConfig": {"mac": told[2]}}
    for wanted, each in ((told[0], document), (told[1], by_args), (told[2], by_runtime)):
        result = w.attach("bridge", each, args=f"IgnoreUnknown=1;MAC={told[0]}")
        found = w.links("a")["eth0"]["address"]
        expect(found == wanted, f"MAC is {found} instead of {wanted}")
        w.call("bridge", "DEL", each, prev=result).ok()
    w.call("bridge", "ADD", document | {"runtimeConfig": {"mac": "no mac"}}).error(7)
    nothing_of_it(w)


@C.case(
    95,
    "vlan 4095, hairpin together with promiscuous mode, and a bridge name too long are code 7, and nothing is made",
)
def rules_of_bridge(w: World) -> None:
    w.netns()
    with w.unchanged():
        for keys in ({"vlan": 4095}, {"hairpinMode": True, "promiscMode": True}, {"bridge": "b" * 16}):
            w.call("bridge", "ADD", w.conf("bridge", **keys)).error(7, when=str(keys))


# --- STATUS and GC --------------------------------------------------------------------------------------------


@C.case(96, "STATUS is 50 when the IPAM plugin is not installed")
def status_without_ipam(w: World) -> None:
    w.call("bridge", "STATUS", w.conf("bridge", ipam={"type": "no-such-ipam"})).error(50)


@C.case(97, "STATUS is 50 when the pool is exhausted, and asking makes no file")
def status_of_exhausted_pool(w: World) -> None:
    document = small(w)
    ipam = {**document, "type": w.suite.type_of("ipam")}
    with w.unchanged():
        w.call("bridge", "STATUS", document).silent("a fresh pool")
    for cid in ("x1", "x2"):
        w.call("ipam", "ADD", ipam, cid=cid).ok()
    w.call("bridge", "STATUS", document).error(50)


@C.case(
    98, "GC removes address, rules and links of what is not valid any more, and only those", each="masquerade"
)
def collects_the_stale(w: World) -> None:
    document = backed(w)
    w.settle("bridge", document)
    living = w.attach("bridge", document, cid="c1", netns="a")
    alone = w.snapshot()
    for cid, netns in (("c2", "b"), ("c3", "c")):
        w.attach("bridge", document, cid=cid, netns=netns)
    w.kill("b")
    w.call("bridge", "GC", conf.with_valid(document, ("c1", "eth0"))).silent()
    w.kill("c")
    w.same_as(alone, when="after GC with one of three valid")
    w.call("bridge", "CHECK", document, cid="c1", prev=living).silent("the living one")


@C.case(99, "GC is forwarded to the IPAM plugin with the same document")
def gc_is_forwarded(w: World) -> None:
    spy = w.spy()
    document = conf.with_valid(spied(w), ("c1", "eth0"))
    w.call("bridge", "GC", document, cid=None, netns=None, ifname=None).silent()
    expect(spy.verbs == ["GC"], f"the IPAM plugin saw {spy.verbs}")
    expect(spy.calls[0].document == document, f"it got {spy.calls[0].stdin[:120]}")


@C.case(100, "GC takes the older key or null as a list, and without any list removes nothing")
def gc_keys(w: World) -> None:
    document = w.conf("bridge")
    w.settle("bridge", document)
    empty = w.snapshot()
    result = w.attach("bridge", document)
    living = [{"containerID": "c1", "ifname": "eth0"}]
    with w.unchanged(when="c1 is valid, or nothing is said"):
        for keys in (
            {"cni.dev/attachments": living},
            {"cni.dev/valid-attachments": living, "cni.dev/attachments": living},
            {},
        ):
            w.call("bridge", "GC", document | keys).silent(str(keys))
    expect(result, "no result")
    w.call("bridge", "GC", document | {"cni.dev/valid-attachments": None}).silent("null")
    w.kill("a")
    w.same_as(empty, when="after null, which is an empty list")


@C.case(
    101, "a GC whose IPAM plugin fails cleans up all the same, and reports the failure", each="masquerade"
)
def gc_goes_on(w: World) -> None:
    spy = w.spy()
    document = backed(w, ipam={"type": SPY})
    w.settle("bridge", document)
    before = w.snapshot()
    w.attach("bridge", document)
    w.kill("a")
    spy.fails("GC", 11, "the delegate's trouble")
    told = w.call("bridge", "GC", conf.with_valid(document)).error()
    expect("the delegate's trouble" in json.dumps(told), f"the delegate's error is not told: {told}")
    w.same_as(before)
