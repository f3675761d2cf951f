"""I. Whole chains, as container runtimes are seen to call them.

The calls of containerd, nerdctl and podman are their recorded ones in shape: which variables they set, in which order and with what
they come, where they leave things out.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.conformance import configurations as conf
from tests.conformance.chain import Chain, conflist, full
from tests.conformance.registry import CASES, Failed, NotHere, Section, expect
from tests.conformance.spy import TYPE as SPY
from tests.conformance.suite import Suite
from tests.conformance.world import PATH, World
from tests.harness import tools
from tests.harness.cache import Unavailable
from tests.harness.cnitool import CniTool
from tests.harness.privatehost import HOST_V4, OUTSIDE, PrivateHost
from tests.harness.talk import ask, serve

I = Section("I", "Chains and runtimes", needs=("bridge", "ipam", "portmap", "firewall", "tuning"))  # noqa: E741

PORTS = {
    "portMappings": [
        conf.mapping(9001),
        {"HostPort": 9010, "ContainerPort": 53, "Protocol": "udp", "HostIP": "127.0.0.1"},
    ]
}
#: What cnitool keeps for itself, and nothing of the plugins'.
OF_CNITOOL = ("/var/lib/cni/results/*",)


def cnitool(w: World, chain: Chain, **keys: Any) -> CniTool:
    """The CNI project's own tool, with the chain as its network."""
    try:
        program = tools.cnitool(fetch=False)
    except Unavailable as reason:
        raise NotHere(f"cnitool: {reason}") from None
    tool = CniTool(w.host, program, w.cni_path, env={"PATH": PATH})
    tool.network(conflist(chain, **keys))
    return tool


def fine(answer: Any, what: str) -> None:
    """A run of cnitool that succeeded."""
    expect(
        answer.status == 0,
        f"cnitool {what}: status {answer.status}: {answer.stderr.strip() or answer.stdout.strip()}",
    )


@I.case(167, "cnitool add, check, del and del again all succeed, and all is as it was")
def life_by_cnitool(w: World) -> None:
    chain = full(w, version="1.1.0", capabilities=PORTS)
    tool = cnitool(w, chain)
    chain.settle()
    netns = w.netns()
    before = w.snapshot()
    fine(tool.add(chain.name, netns, capabilities=PORTS), "add")
    fine(tool.check(chain.name, netns, capabilities=PORTS), "check")
    fine(tool.delete(chain.name, netns, capabilities=PORTS), "del")
    fine(tool.delete(chain.name, netns, capabilities=PORTS), "del again, without a cached result")
    w.same_as(before, *OF_CNITOOL)


@I.case(
    168,
    "cnitool gc after three adds leaves all as it was, and cnitool status fails when a plugin is not ready",
)
def gc_by_cnitool(w: World) -> None:
    chain = full(w, version="1.1.0")
    tool = cnitool(w, chain)
    chain.settle()
    paths = [w.netns(name) for name in ("a", "b", "c")]
    before = w.snapshot()
    for path in paths:
        fine(tool.add(chain.name, path), "add")
    fine(tool.status(chain.name), "status")
    fine(tool.gc(chain.name), "gc")
    w.same_as(before, *OF_CNITOOL)
    spy = w.spy()
    spy.fails("STATUS", 50)
    ill = Chain(w, [("bridge", {"bridge": "cnt9", "ipam": {"type": SPY}})], name="ill", version="1.1.0")
    expect(
        cnitool(w, ill).status("ill").status != 0,
        "cnitool status succeeds although the IPAM plugin is not ready",
    )


@I.case(
    169,
    "whichever plugin of a chain stops an ADD, a DEL of the whole chain without prevResult leaves all as it was",
)
def stopped_anywhere(w: World) -> None:
    chain = full(w, capabilities={"portMappings": [conf.mapping(9001)]})
    chain.settle()
    w.netns()
    before = w.snapshot()
    for length in range(1, len(chain.plugins) + 1):
        Chain(w, chain.plugins[:length], capabilities=chain.capabilities).add()
        chain.delete(None)
        w.same_as(before, when=f"stopped after plugin {length}")


@I.case(170, "cnitool del succeeds and leaves all as it was when the cached results are lost")
def lost_cache(w: World) -> None:
    chain = full(w, version="1.1.0", capabilities=PORTS)
    tool = cnitool(w, chain)
    chain.settle()
    netns = w.netns()
    before = w.snapshot()
    fine(tool.add(chain.name, netns, capabilities=PORTS), "add")
    w.sh("rm /var/lib/cni/results/*")
    fine(tool.delete(chain.name, netns), "del")
    w.same_as(before, *OF_CNITOOL)


@I.case(
    171,
    "a list of 1.0.0 that allows 1.1.0 reaches plugins as 1.1.0; disableCheck, disableGC and drop-in files are honoured",
)
def best_version(w: World) -> None:
    spy = w.spy()
    chain = Chain(w, [("bridge", conf.working("bridge", {"ipam": w.suite.type_of("ipam")}))])
    w.host.write(f"/etc/cni/net.d/{chain.name}/10-spy.conf", json.dumps({"type": SPY}))
    tool = cnitool(w, chain, cniVersions=["1.0.0", "1.1.0"], disableCheck=True, disableGC=True)
    netns = w.netns()
    fine(tool.add(chain.name, netns), "add")
    seen = spy.calls[0].document
    expect(seen["cniVersion"] == "1.1.0", f"the plugin behind bridge sees {seen['cniVersion']}")
    expect(
        seen["prevResult"]["cniVersion"] == "1.1.0", f"bridge answers in {seen['prevResult']['cniVersion']}"
    )
    fine(tool.check(chain.name, netns), "check")
    fine(tool.gc(chain.name), "gc")
    expect(not {"CHECK", "GC"} & set(spy.verbs), f"the plugin saw {spy.verbs}")


@I.case(
    172,
    "containerd: loopback and chain at once, capital keys, DEL with all and again with nothing",
    needs=("bridge", "ipam", "portmap", "firewall", "tuning", "loopback"),
)
def containerd(w: World) -> None:
    capabilities = {
        "portMappings": [{"HostPort": 18080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}],
        "dns": {"Servers": ["10.0.0.53"], "Searches": ["svc.local"], "Options": ["ndots:5"]},
    }
    chain = full(w, capabilities=capabilities)
    chain.settle()
    lo = {"cniVersion": "0.3.1", "name": "cni-loopback", "type": w.suite.type_of("loopback")}
    before = w.snapshot()
    w.netns()
    cid = "507513fefafd3e0a50c1ab525e5aeeb3f5308fc93fa339229e1586d284d95c08"
    args = f"K8S_POD_NAME=rtpod;K8S_POD_INFRA_CONTAINER_ID={cid};K8S_POD_UID=a837d027;IgnoreUnknown=1;K8S_POD_NAMESPACE=default"
    who: dict[str, Any] = {"cid": cid, "args": args, "env": {"LD_LIBRARY_PATH": "/opt/containerd/lib:"}}
    with ThreadPoolExecutor(2) as threads:
        loopback = threads.submit(w.call, "loopback", "ADD", lo, ifname="lo", **who)
        result = threads.submit(chain.add, **who).result()
        loopback.result().ok()
    with serve(w.host, "a", port=80):
        expect(ask(w.host, HOST_V4, 18080, netns=OUTSIDE), "the pod's port does not answer")
    for kept, netns in ((result, "a"), (None, "")):
        chain.delete(kept, netns=netns, **who)
        w.call("loopback", "DEL", lo, ifname="lo", netns=netns, **who).silent()
    w.kill("a")
    w.same_as(before)


@I.case(
    173,
    "nerdctl: DEL before ADD, a path below /proc, DEL without namespace and with other CNI_ARGS in life and after it",
)
def nerdctl(w: World) -> None:
    chain = full(w, capabilities=PORTS)
    chain.plugins = [
        (role, keys | ({"ingressPolicy": "same-bridge"} if role == "firewall" else {}))
        for role, keys in chain.plugins
    ]
    chain.settle()
    before = w.snapshot()
    w.netns()
    sleeper = w.host.popen(["sleep", "60"], netns="a")
    cid = "default-b9c8bb464ff26c80602a443baec88c0824a95b3db391c29224c2c9ba5252a44d"
    args = "IgnoreUnknown=1;NERDCTL_CNI_DHCP_HOSTNAME=b9c8bb464ff2"
    chain.delete(None, cid=cid, netns="", args=args)
    result = chain.add(cid=cid, netns=f"/proc/{sleeper.pid}/ns/net", args=args)
    chain.delete(result, cid=cid, netns="", args="")
    sleeper.kill()
    sleeper.wait()
    w.kill("a")
    chain.delete(result, cid=cid, netns="", args="")
    w.same_as(before)


@I.case(
    174,
    "podman: fixed addresses by CNI_ARGS and by capability, a second network come and gone, and reload as DEL and ADD",
)
def podman(w: World) -> None:
    ranges = {"ranges": [[{"subnet": "10.89.0.0/24", "gateway": "10.89.0.1"}]]}
    first = _podman_network(w, "rtnet", "cni-podman1", ranges)
    second = _podman_network(
        w, "rtnet2", "cni-podman3", {"ranges": [[{"subnet": "10.89.1.0/24", "gateway": "10.89.1.1"}]]}
    )
    first.settle(args="IgnoreUnknown=1;MAC=02:11:22:33:44:54")
    second.settle()
    w.netns()
    before = w.snapshot()
    who = {"cid": "4f370ed247810b4ae37a214b246eaba3c614993c7e51331e55ccc1e3e3702bf1"}
    static = "IgnoreUnknown=1;K8S_POD_NAME=st;MAC=02:11:22:33:44:55;IP=10.89.0.77"
    result = first.add(args=static, **who)
    _has(w, "eth0", "10.89.0.77/24", "02:11:22:33:44:55")
    other = second.add(ifname="eth1", args="IgnoreUnknown=1;K8S_POD_NAME=st", **who)
    first.delete(result, args="IgnoreUnknown=1;K8S_POD_NAME=st", **who)
    result = first.add(args=static, **who)
    _has(w, "eth0", "10.89.0.77/24", "02:11:22:33:44:55")
    second.delete(other, ifname="eth1", args="IgnoreUnknown=1;K8S_POD_NAME=st", **who)
    first.delete(result, args=static, env={"XDG_RUNTIME_DIR": "", "TMPDIR": "/var/tmp"}, **who)
    first.capabilities = {**first.capabilities, "ips": ["10.89.0.78"]}
    result = first.add(args="IgnoreUnknown=1;K8S_POD_NAME=st", **who)
    expect("10.89.0.78/24" in w.addresses("a"), f"addresses {w.addresses('a')}")
    first.delete(result, **who)
    w.same_as(before)


def _podman_network(w: World, name: str, bridge: str, ranges: conf.JsonObject) -> Chain:
    """A network as podman 4 writes it."""
    ipam = {"type": w.suite.type_of("ipam"), "routes": [{"dst": "0.0.0.0/0"}], **ranges}
    plugins: list[tuple[str, conf.JsonObject]] = [
        ("bridge", {"bridge": bridge, "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}),
        ("portmap", {}),
        ("firewall", {"backend": ""}),
        ("tuning", {}),
        ("dns", {"domainName": "dns.podman"}),
    ]
    aliases = {name: ["www", "4f370ed24781"]}
    return Chain(w, plugins, name=name, version="0.4.0", capabilities={"aliases": aliases})


def _has(w: World, ifname: str, address: str, mac: str) -> None:
    expect(
        address in w.addresses("a", ifname), f"{ifname} has {w.addresses('a', ifname)} instead of {address}"
    )
    expect(
        w.links("a")[ifname]["address"] == mac,
        f"{ifname} has MAC {w.links('a')[ifname]['address']} instead of {mac}",
    )


@I.case(
    175,
    "30 whole chains at once on a host that has seen none: every ADD and DEL succeeds, and only what is shared stays",
)
def thirty_at_once(w: World) -> None:
    chains = [full(w, capabilities={"portMappings": [conf.mapping(9000 + number)]}) for number in range(30)]
    names = [f"n{number}" for number in range(30)]
    for name in names:
        w.netns(name)
    with ThreadPoolExecutor(30) as threads:
        results = list(threads.map(lambda chain, name: chain.add(cid=name, netns=name), chains, names))
        addresses = {ip["address"] for result in results for ip in result["ips"]}
        expect(len(addresses) == 30, f"{len(addresses)} addresses for 30 containers")
        list(
            threads.map(
                lambda chain, result, name: chain.delete(result, cid=name, netns=name), chains, results, names
            )
        )
    with PrivateHost() as host:
        quiet = World(host, w.suite, None)
        full(quiet, capabilities={"portMappings": [conf.mapping(9000)]}).settle()
        wanted = sorted(quiet.rules())
    found = sorted(w.rules())
    expect(
        found == wanted,
        f"left: {[line for line in found if line not in wanted][:2]}; missing: {[line for line in wanted if line not in found][:2]}",
    )
    expect(not w.leases(), f"still reserved: {', '.join(w.leases())}")


@I.case(
    176,
    "after a reboot (no namespace, link or rule, but the old reservations) GC makes the whole subnet usable again",
)
def reboot(w: World) -> None:
    ipam = {"type": w.suite.type_of("ipam"), "ranges": [[{"subnet": "10.77.0.0/29"}]]}
    chain = Chain(
        w,
        [("bridge", {"bridge": conf.BRIDGE, "isGateway": True, "ipMasq": True, "ipam": ipam})],
        version="1.1.0",
    )
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        w.netns(name)
        chain.add(cid=name, netns=name)
    for name in names:
        w.kill(name)
    w.sh(f"ip link delete {conf.BRIDGE}; nft flush ruleset")
    document = chain.document(*chain.plugins[0])
    w.call("bridge", "GC", conf.with_valid(document), cid=None, netns=None, ifname=None).silent()
    for name in names:
        w.netns(name)
        chain.add(cid=f"new-{name}", netns=name)


#: Cases of an attachment's ordinary life, which hold for whatever bridge and IPAM plugin work together.
LIFE = (60, 61, 62, 71, 79, 81, 92, 93)


@I.case(177, "bridge, IPAM and portmap of this suite work together with those of the other")
def mixed(w: World) -> None:
    partner = w.need_partner()
    for suite in (w.suite.with_roles_of(partner, "ipam"), partner.with_roles_of(w.suite, "ipam")):
        for number in LIFE:
            _also(number, suite)
    _portmap_behind(w.suite.with_roles_of(partner, "bridge", "ipam"))


def _also(number: int, suite: Suite) -> None:
    with PrivateHost() as host:
        try:
            CASES[number].body(World(host, suite, None))
        except Failed as failure:
            raise Failed(f"{suite.name}, case {number}: {failure}") from None


def _portmap_behind(suite: Suite) -> None:
    with PrivateHost() as host:
        w = World(host, suite, None)
        chain = Chain(w, full(w).plugins[:2], capabilities={"portMappings": [conf.mapping()]})
        chain.settle()
        w.netns()
        before = w.snapshot()
        result = chain.add()
        with serve(host, "a", port=80):
            expect(
                ask(host, HOST_V4, 8080, netns=OUTSIDE), f"{suite.name}: the published port does not answer"
            )
        chain.delete(result)
        w.same_as(before, when=suite.name)
