"""B. Results, and what comes in as prevResult."""

from __future__ import annotations

from typing import Any

from tests.conformance import configurations as conf
from tests.conformance.registry import CHAINED, ROLES, Section, expect
from tests.conformance.schemas import conforms
from tests.conformance.spy import TYPE as SPY
from tests.conformance.world import World

B = Section("B", "Results and prevResult", needs=("bridge", "ipam"))

#: Chained roles whose configuration can ask for nothing, and what it then says.
IDLE: dict[str, conf.JsonObject] = {
    "portmap": {"runtimeConfig": {}},
    "firewall": {},
    "tuning": {"sysctl": None, "mtu": None},
}


@B.case(44, "the result of an ADD in any version has that version's layout", needs=ROLES, each="role")
def layout_of_every_version(w: World) -> None:
    supported = w.call(w.role, "VERSION", {"cniVersion": "1.1.0"}).result["supportedVersions"]
    for version in conf.VERSIONS:
        document = w.ready(w.role, cniVersion=version)
        if version not in supported:
            continue
        conforms(w.attach(w.role, document), version)
        w.call(w.role, "DEL", document).ok()


@B.case(45, "the result's cniVersion is the configuration's", needs=ROLES, each="role")
def version_of_result(w: World) -> None:
    for version in ("0.4.0", "1.0.0", "1.1.0"):
        document = w.ready(w.role, cniVersion=version)
        answered = w.attach(w.role, document).get("cniVersion")
        expect(answered == version, f"asked in {version}, answers in {answered}")
        w.call(w.role, "DEL", document).ok()


@B.case(
    46,
    "every address has its version in 0.3.0 to 0.4.0 and none from 1.0.0",
    needs=("bridge", "ipam", "loopback"),
    each="role",
)
def version_of_addresses(w: World) -> None:
    for version in ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"):
        document = w.ready(w.role, cniVersion=version)
        ips = w.attach(w.role, document).get("ips", [])
        expect(ips, f"no ips in {version}")
        wanted = not conf.at_least(version, "1.0.0")
        expect(all(("version" in ip) == wanted for ip in ips), f"{version}: {ips}")
        w.call(w.role, "DEL", document).ok()


@B.case(
    47,
    "up to 0.2.0 two families become ip4 and ip6 with their own routes, and two sets of one family are an error",
)
def old_results(w: World) -> None:
    kind = w.suite.type_of("ipam")
    both = conf.ipam(kind, conf.SUBNET, conf.SUBNET6, routes=("0.0.0.0/0", "::/0"))
    document = w.ready("bridge", cniVersion="0.2.0", ipam=both)
    result = w.attach("bridge", document)
    for family, route in (("ip4", "0.0.0.0/0"), ("ip6", "::/0")):
        routes = [each["dst"] for each in result.get(family, {}).get("routes", [])]
        expect(routes == [route], f"{family} has routes {routes}")
    w.call("bridge", "DEL", document).ok()
    twice = document | {"ipam": conf.ipam(kind, "10.77.0.0/24", "10.78.0.0/24")}
    w.call("bridge", "ADD", twice).error(when="two IPv4 range sets in 0.2.0")


@B.case(48, "in 1.1.0 the MTU of the container's interface and of its host side are in the result")
def mtu_in_result(w: World) -> None:
    interfaces = w.attach("bridge", w.conf("bridge", mtu=1400))["interfaces"]
    told = {each["name"]: each.get("mtu") for each in interfaces if each["name"] != conf.BRIDGE}
    expect(len(told) == 2 and set(told.values()) == {1400}, f"mtu of interfaces: {told}")


@B.case(
    49,
    "sandbox is CNI_NETNS to the letter and only on the container's interface, which every address points at",
)
def sandbox_and_index(w: World) -> None:
    netns = w.netns().replace("/run/", "/run/../run/")
    result = w.call("bridge", "ADD", netns=netns).result
    for each in result["interfaces"]:
        wanted = netns if each["name"] == "eth0" else None
        expect(
            (each.get("sandbox") or None) == wanted, f"sandbox of {each['name']} is {each.get('sandbox')!r}"
        )
    for ip in result["ips"]:
        expect(result["interfaces"][ip["interface"]]["name"] == "eth0", f"{ip} is not of eth0")


def _rich(netns: str = "a") -> conf.JsonObject:
    """A result with every field that 1.1.0 knows, zeros included."""
    result = conf.plumbed_result(netns)
    result["interfaces"][2] |= {"mtu": 1500, "socketPath": "/run/x.sock", "pciID": "0000:00:1f.6"}
    result["routes"] = [
        {
            "dst": "0.0.0.0/0",
            "gw": conf.PLUMBED_GATEWAY,
            "mtu": 1400,
            "advmss": 1360,
            "priority": 7,
            "table": 0,
            "scope": 0,
        }
    ]
    result["dns"] = {"nameservers": ["192.0.2.53"], "search": ["a.example"]}
    return result


@B.case(
    50,
    "a chained plugin with nothing to do answers prevResult, with every field it has",
    needs=tuple(IDLE),
    each="role",
)
def idle_plugin_echoes(w: World) -> None:
    rich = _rich()
    result = w.attach(w.role, w.ready(w.role, prevResult=rich, **IDLE[w.role]))
    changed = [key for key in rich if result.get(key) != rich[key]]
    expect(not changed, f"{changed} changed: {[result.get(key) for key in changed]}")


@B.case(51, "a vendor's key inside prevResult survives", needs=tuple(IDLE), each="role")
def vendor_keys_survive(w: World) -> None:
    rich = _rich()
    rich["interfaces"][2]["vendor.example/lane"] = 7
    rich["vendor.example/note"] = "kept"
    result = w.attach(w.role, w.ready(w.role, prevResult=rich, **IDLE[w.role]))
    expect(result.get("vendor.example/note") == "kept", "a key of the result is lost")
    expect(result["interfaces"][2].get("vendor.example/lane") == 7, "a key of an interface is lost")


@B.case(
    52,
    "a prevResult without cniVersion, or of the sister version, is accepted and answered in the configuration's",
    needs=CHAINED,
    each="role",
)
def version_of_prev_result(w: World) -> None:
    without = {key: value for key, value in conf.plumbed_result("a").items() if key != "cniVersion"}
    for version, previous in (
        ("1.1.0", without),
        ("1.1.0", conf.plumbed_result("a", version="1.0.0")),
        ("1.0.0", conf.plumbed_result("a")),
    ):
        document = w.ready(w.role, cniVersion=version, prevResult=previous)
        answered = w.attach(w.role, document)["cniVersion"]
        expect(answered == version, f"asked in {version}, answers in {answered}")
        w.call(w.role, "DEL", document).ok()


@B.case(
    53,
    "a prevResult of an older family of versions is converted, or is code 6 or 7",
    needs=CHAINED,
    each="role",
)
def older_prev_result(w: World) -> None:
    document = w.ready(w.role, cniVersion="1.0.0", prevResult=conf.plumbed_result("a", version="0.4.0"))
    answer = w.call(w.role, "ADD", document)
    if answer.succeeded:
        conforms(answer.result, "1.0.0")
    else:
        answer.error(6, 7)


@B.case(54, "a prevResult that is null is none, and one that is {} is accepted")
def empty_prev_result(w: World) -> None:
    document = w.ready("bridge")
    result = w.attach("bridge", document | {"prevResult": None})
    w.call("bridge", "DEL", document, prev=result).ok()
    w.attach("bridge", document | {"prevResult": {}})
    w.call("bridge", "DEL", document | {"prevResult": {}}).silent()


@B.case(
    55,
    "an ill-typed prevResult is code 6 or 7 on ADD and CHECK; DEL succeeds nevertheless and takes back its own",
    needs=(*CHAINED, "bridge"),
    each="role",
)
def ill_typed_prev_result(w: World) -> None:
    w.settle(w.role)
    document = w.ready(w.role)
    before = w.snapshot()
    w.attach(w.role, document)
    ill_typed: tuple[Any, ...] = ("x", [], {"interfaces": 1}, {"ips": [{"address": 5}]})
    for odd in ill_typed:
        for verb in ("ADD", "CHECK"):
            w.call(w.role, verb, document | {"prevResult": odd}).error(6, 7, when=f"{verb} with {odd}")
    w.call(w.role, "DEL", document | {"prevResult": {"ips": [{"address": 5}]}}).silent()
    w.same_as(before)


@B.case(
    56,
    "an address of an interface that is not in the list is code 7 on ADD",
    needs=("portmap", "firewall", "dns"),
    each="role",
)
def interface_out_of_range(w: World) -> None:
    previous = conf.plumbed_result("a")
    previous["ips"][0]["interface"] = 3
    w.call(w.role, "ADD", w.ready(w.role, prevResult=previous)).error(7)


@B.case(
    57,
    "a plugin that only works in a chain fails ADD and CHECK without prevResult with code 7",
    needs=CHAINED,
    each="role",
)
def chained_only(w: World) -> None:
    document = w.ready(w.role, prevResult=None)
    for verb in ("ADD", "CHECK"):
        w.call(w.role, verb, document).error(7, when=verb)


@B.case(58, "a bridge given a prevResult keeps its interfaces, addresses and dns in the answer")
def bridge_keeps_prev_result(w: World) -> None:
    previous = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "net0", "mac": "02:00:00:00:00:05", "sandbox": w.netns()}],
        "ips": [{"address": "192.0.2.7/24", "interface": 0}],
        "dns": {"nameservers": ["192.0.2.53"]},
    }
    result = w.attach("bridge", w.conf("bridge", prevResult=previous))
    expect("net0" in [each["name"] for each in result["interfaces"]], "its interface is gone")
    kept = [ip for ip in result["ips"] if ip["address"] == "192.0.2.7/24"]
    expect(kept, "its address is gone")
    expect(result["interfaces"][kept[0]["interface"]]["name"] == "net0", "its address is another interface's")
    expect(result.get("dns", {}).get("nameservers") == ["192.0.2.53"], "its dns is gone")


@B.case(59, "the configuration's dns goes before the IPAM plugin's, and an empty one is left out from 1.0.0")
def dns_of_result(w: World) -> None:
    spy = w.spy()
    ips = [{"address": "10.77.0.9/24", "gateway": "10.77.0.1"}]
    spy.answers("ADD", {"cniVersion": "1.1.0", "ips": ips, "dns": {"nameservers": ["192.0.2.1"]}})
    document = w.ready("bridge", ipam={"type": SPY}, dns={"nameservers": ["192.0.2.2"]})
    servers = w.attach("bridge", document).get("dns", {}).get("nameservers")
    expect(servers == ["192.0.2.2"], f"nameservers are {servers}")
    w.call("bridge", "DEL", document).ok()
    spy.answers("ADD", {"cniVersion": "1.1.0", "ips": ips})
    expect(
        "dns" not in w.attach("bridge", w.conf("bridge", ipam={"type": SPY})),
        "an empty dns is printed",
    )
