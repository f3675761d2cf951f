"""The ten things of highest value that no suite of CNI plugins does well, each with the test that ours does it.

Each test is named after its feature; its docstring says what is missing in the reference plugins, and what ours does. All run our
executables on a real kernel, as a runtime would; tests/conformance holds the single cases behind them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.harness import ours
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.networks import address, box, network, only, published, use_once
from tests.harness.patience import until
from tests.harness.privatehost import HOST_V4, OUTSIDE, OUTSIDE_V4, PrivateHost
from tests.harness.snapshot import Snapshot
from tests.harness.talk import ask, serve

pytestmark = pytest.mark.root

JsonObject = dict[str, Any]
PORT = 18080
LEASES = "/var/lib/cni/networks"
BACKENDS = pytest.mark.parametrize("backend", ["iptables", "nftables"])
PLUGINS = ("bridge", "host-local", "portmap", "firewall", "tuning", "dns", "loopback")


@pytest.fixture
def host(host: PrivateHost) -> PrivateHost:
    """A private host with our executables."""
    ours.install(host)
    return host


def every_plugin(host: PrivateHost, name: str = "n1", number: int = 71, **keys: Any) -> Chain:
    """A list of all plugins that are listed; host-local is the bridge's."""
    chain = network(host, name, number, **keys)
    chain.plugins += [
        {"type": "tuning", "mtu": 1400},
        {"type": "dns", "upstreams": ["192.0.2.1"], "capabilities": {"aliases": True}},
    ]
    return chain


def settled(host: PrivateHost, *chains: Chain) -> Snapshot:
    """The host after each network was used once, so that what it makes once and keeps is there."""
    use_once(host, *chains)
    return left(host)


def left(host: PrivateHost) -> Snapshot:
    """The host without what may stay, and without the namespaces, which are the runtime's."""
    return host.snapshot(ignore=(*ours.STAYS, *(f"{name}*" for name in ("web", "first", "kept"))))


def reached(host: PrivateHost, port: int = PORT) -> str:
    """Who answers somebody outside on a port of the host, "" if nobody does."""
    return (ask(host, HOST_V4, port, netns=OUTSIDE) or "").partition(" ")[0]


def told(act: Callable[..., object], *arguments: Any) -> JsonObject:
    """The error object of what must fail."""
    with pytest.raises(ChainError) as failure:
        act(*arguments)
    return failure.value.error


def alone(host: PrivateHost, plugin: str, **keys: Any) -> Chain:
    """A list of one plugin."""
    version = keys.pop("cniVersion", "1.1.0")
    listed = {"cniVersion": version, "name": "n1", "plugins": [{"type": plugin, **keys}]}
    return Chain(listed, ours.BIN, host=host, env=ours.STANDALONE)


# --- 1: GC ----------------------------------------------------------------------------------------------------------


@BACKENDS
def test_feature_1_gc_takes_back_what_is_stale_from_every_plugin_and_keeps_what_lives(
    host: PrivateHost, backend: str
) -> None:
    """There GC does nothing and is not even passed on to IPAM (plugins#1047); here links, rules, names and leases go."""
    chain = every_plugin(host, backend=backend)
    kept = box(host, "kept", published(PORT))
    chain.add(kept)
    before = left(host)
    chain.add(box(host, "web-alive", published(PORT + 1)))
    chain.add(box(host, "web-dead", published(PORT + 2)))
    host.del_netns("web-dead")
    chain.gc([kept])
    assert left(host).diff(before) == []
    chain.check(kept)


def test_feature_1_gc_without_a_list_takes_nothing_and_with_an_empty_one_everything(
    host: PrivateHost,
) -> None:
    """`cnitool gc` sends no list; that is not "nothing is valid"."""
    chain = every_plugin(host, backend="nftables")
    before = settled(host, chain)
    web = box(host, "web", published(PORT))
    chain.add(web)
    chain.gc(None)
    chain.check(web)
    chain.gc([])
    assert left(host).diff(before) == []


# --- 2: DEL ---------------------------------------------------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize("lives", [True, False], ids=["alive", "dead"])
def test_feature_2_del_needs_neither_namespace_nor_prev_result_nor_the_same_list(
    host: PrivateHost, backend: str, lives: bool
) -> None:
    """There such a DEL leaves links, rules and leases (plugins#810, plugins#1078); here what ADD recorded is taken back.

    From a container that lives on nothing is taken until it has ended.
    """
    chain = every_plugin(host, backend=backend, ingressPolicy="same-bridge")
    before = settled(host, chain)
    web = box(host, "web", published(PORT))
    chain.add(web)
    if not lives:
        host.del_netns("web")
    other = {"iptables": "nftables", "nftables": "iptables"}[backend]
    edited = every_plugin(host, number=72, backend=other, bridge={"bridge": "br-edited", "ipMasq": False})
    edited.delete(Attachment("web", ""), forget=True)
    if lives:
        assert len(left(host).diff(before)) > 1, "a container that lives on loses something"
        host.del_netns("web")
        edited.delete(Attachment("web", ""), forget=True)
    assert left(host).diff(before) == []
    edited.delete(Attachment("web", ""), forget=True)


# --- 3: STATUS ------------------------------------------------------------------------------------------------------


def test_feature_3_status_of_a_host_that_is_ready_is_silent_and_makes_nothing(host: PrivateHost) -> None:
    """STATUS is asked every few seconds."""
    before = host.snapshot()
    every_plugin(host, backend="nftables").status()
    assert host.snapshot().diff(before) == []


def test_feature_3_status_is_50_when_the_pool_is_exhausted(host: PrivateHost) -> None:
    """There STATUS is a success or the catch-all code 999; here bridge passes on that IPAM cannot serve."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/30"}]]}
    chain = network(host, "n1", 71, bridge={"ipam": ipam})
    chain.add(box(host, "web"))
    error = told(chain.status)
    assert error["code"] == 50
    assert "10.71.0" in error["msg"]


@pytest.mark.parametrize("plugin", ["portmap", "firewall"])
def test_feature_3_status_is_50_when_a_tool_is_missing(host: PrivateHost, plugin: str) -> None:
    """There it is a success (the source says "FIXME Status")."""
    for folder in ("/usr/sbin", "/sbin", "/usr/local/sbin"):
        host.run(["sh", "-c", f"test -L {folder} || mount -t tmpfs empty {folder}"])
    error = told(alone(host, plugin, backend="iptables").status)
    assert error["code"] == 50
    assert "iptables" in error["msg"]


@pytest.mark.parametrize("plugin", ["bridge", "portmap", "firewall", "tuning"])
def test_feature_3_status_is_50_when_state_cannot_be_written(host: PrivateHost, plugin: str) -> None:
    """There the next ADD finds out."""
    host.run(
        [
            "sh",
            "-c",
            "mkdir /run/linkspan /run/cni; for each in /run/linkspan /run/cni /var/lib/cni; do mount -t tmpfs -o ro full $each; done",
        ]
    )
    chain = network(host, "n1", 71, backend="nftables")
    chain.plugins.append({"type": "tuning", "mtu": 1400})
    keys = {key: value for key, value in only(chain, plugin).items() if key != "type"}
    error = told(alone(host, plugin, **keys).status)
    assert error["code"] == 50


def test_feature_3_status_is_51_when_the_name_server_is_dead_and_cannot_come_back(host: PrivateHost) -> None:
    """Containers that run are impaired as well: their names are not answered."""
    chain = every_plugin(host, backend="nftables")
    result = chain.add(box(host, "web"))
    servers = [
        pid for pid, command in host.processes().items() if "cni_dns" in command or "dns.sock" in command
    ]
    host.run(["kill", "-9", *(str(pid) for pid in servers)])
    until(lambda: host.processes().keys().isdisjoint(servers), "the name server's end")
    with serve(host, None, port=53, kind="udp", address=f"{address(result).rpartition('.')[0]}.1"):
        assert told(alone(host, "dns").status)["code"] == 51


# --- 4: whose state it is -------------------------------------------------------------------------------------------


@BACKENDS
def test_feature_4_three_attachments_of_one_container_are_taken_back_one_by_one(
    host: PrivateHost, backend: str
) -> None:
    """There rules are keyed by container or address, so one DEL takes another attachment's; here by network, id and interface."""
    one, two = (every_plugin(host, f"n{number}", 70 + number, backend=backend) for number in (1, 2))
    first = box(host, "web", published(PORT))
    second = replace(first, ifname="eth1", capabilities={"portMappings": [published(PORT + 1)]})
    third = replace(first, ifname="eth2", capabilities={"portMappings": [published(PORT + 2)]})
    chains = ((one, first), (one, second), (two, third))
    for chain, attachment in chains:
        chain.add(attachment)
    for chain, attachment in chains:
        chain.check(attachment)
    one.delete(second, forget=True)
    one.check(first)
    two.check(third)
    two.delete(third, forget=True)
    one.check(first)
    with serve(host, "web", port=80), serve(host, OUTSIDE, port=80, name="world"):
        assert reached(host) == "web"
        assert ask(host, OUTSIDE_V4, 80, netns="web") == f"world {HOST_V4}"


@BACKENDS
def test_feature_4_a_late_del_leaves_the_addresss_next_owner_alone(host: PrivateHost, backend: str) -> None:
    """There firewall's rules carry no owner, so a second DEL of the old container cuts the new one off."""
    for tool in ("iptables", "ip6tables"):
        host.run([tool, "-P", "FORWARD", "DROP"])
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/30"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    chain = network(host, "n1", 71, backend=backend, bridge={"ipam": ipam})
    old, new = box(host, "old", published(PORT)), box(host, "web", published(PORT))
    result = chain.add(old)
    chain.delete(old)
    assert address(chain.add(new)) == address(result)
    chain.delete(old, result)
    chain.check(new)
    with serve(host, "web", port=80):
        assert reached(host) == "web"


# --- 5: all or nothing ----------------------------------------------------------------------------------------------

_SPY = """#!/bin/sh
echo "$CNI_COMMAND" >>/run/spied
[ "$CNI_COMMAND" != ADD ] || {answer}
"""


def spy_ipam(host: PrivateHost, answer: str) -> JsonObject:
    """The `ipam` of an IPAM plugin that writes its verbs down and answers ADD with a line of shell."""
    host.write(f"{ours.BIN}/spy", _SPY.format(answer=answer), mode=0o755)
    return {"type": "spy"}


ODD_ROUTE = {
    "cniVersion": "1.1.0",
    "ips": [{"address": "10.71.0.9/24", "gateway": "10.71.0.1"}],
    "routes": [{"dst": "192.0.2.0/24", "gw": "203.0.113.1"}],
}
FAILURES = {
    "ipam fails": 'echo "{\\"code\\": 11, \\"msg\\": \\"later\\"}"; exit 1',
    "ipam answers nothing": 'echo \'{"cniVersion": "1.1.0"}\'',
    "the kernel refuses a route": f"echo '{json.dumps(ODD_ROUTE)}'",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_feature_5_an_add_that_fails_leaves_nothing_and_ipam_is_told(host: PrivateHost, failure: str) -> None:
    """There the link stays and IPAM keeps the address until somebody sends DEL (plugins#29); here ADD takes back all itself."""
    settled_bridge = network(host, "n1", 71, backend="nftables")
    before = settled(host, settled_bridge)
    spied = {**only(settled_bridge, "bridge"), "ipam": spy_ipam(host, FAILURES[failure])}
    chain = Chain({**settled_bridge.conflist, "plugins": [spied]}, ours.BIN, host=host, env=ours.STANDALONE)
    web = box(host, "web")
    told(chain.add, web)
    assert left(host).diff(before) == []
    assert list(host.links("web")) == ["lo"]
    assert host.read("/run/spied").split() == ["ADD", "DEL"]


@BACKENDS
def test_feature_5_a_port_that_is_taken_leaves_no_rule_of_the_ports_that_are_not(
    host: PrivateHost, backend: str
) -> None:
    """There portmap stops half way and leaves what it has made."""
    chain = network(host, "n1", 71, backend=backend)
    chain.add(box(host, "kept", published(PORT)))
    bridge = Chain({**chain.conflist, "plugins": chain.plugins[:1]}, ours.BIN, host=host, env=ours.STANDALONE)
    web = box(host, "web", published(PORT + 1), published(PORT))
    result = bridge.add(web)
    before = left(host)
    config = chain.config(only(chain, "portmap"), web, result)
    assert told(chain.call, "portmap", "ADD", config, web)["code"] == 104
    assert left(host).diff(before) == []


def test_feature_5_tuning_puts_back_what_it_had_written_when_it_fails(host: PrivateHost) -> None:
    """There sysctls and attributes that were written before the failure stay."""
    chain = network(host, "n1", 71)
    chain.plugins = [
        only(chain, "bridge"),
        {"type": "tuning", "mtu": 1400, "sysctl": {"net.ipv4.conf.IFNAME.rp_filter": "2"}},
    ]
    chain.plugins[1]["sysctl"]["net.ipv4.conf.IFNAME.no_such"] = "1"
    before = host.run(["cat", "/proc/sys/net/ipv4/conf/default/rp_filter"]).stdout
    told(chain.add, box(host, "web"))
    assert host.run(["cat", "/proc/sys/net/ipv4/conf/eth0/rp_filter"], netns="web").stdout == before
    assert host.links("web")["eth0"]["mtu"] == 1500


# --- 6: CHECK -------------------------------------------------------------------------------------------------------

DAMAGE: Mapping[str, tuple[str | None, str]] = {
    "the container's address": ("web", "ip address flush dev eth0"),
    "its default route": ("web", "ip route delete default"),
    "its link": ("web", "ip link set eth0 down"),
    "the bridge": (None, "ip link set br-n1 down"),
    "the gateway's address": (None, "ip address flush dev br-n1"),
    "masquerading": (None, "nft flush map inet linkspan masquerade4 || iptables -t nat -F POSTROUTING"),
    "a jump to published ports": (
        None,
        "nft flush chain inet linkspan prerouting || iptables -t nat -F PREROUTING",
    ),
    "the fence": (None, "nft flush chain inet linkspan forward || iptables -F FORWARD"),
    "a lease": (None, f"rm {LEASES}/n1/10.71.0.2"),
    "a sysctl": ("web", "echo 0 >/proc/sys/net/ipv4/conf/eth0/rp_filter"),
}


@BACKENDS
@pytest.mark.parametrize("damage", DAMAGE)
def test_feature_6_check_finds_what_is_damaged(host: PrivateHost, backend: str, damage: str) -> None:
    """There CHECK looks at neither masquerading, bridge, jumps nor fences."""
    chain = network(host, "n1", 71, backend=backend, ingressPolicy="same-bridge")
    chain.plugins.append({"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.rp_filter": "2"}})
    web = box(host, "web", published(PORT))
    chain.add(web)
    chain.check(web)
    netns, script = DAMAGE[damage]
    host.run(["sh", "-c", script], netns=netns)
    assert told(chain.check, web)["code"] == 103


HARMLESS: Mapping[str, tuple[str | None, str]] = {
    "somebody sniffs on the bridge": (None, "ip link set br-n1 promisc on"),
    "a port with a low MAC address joins": (
        None,
        "ip link add low0 address 02:00:00:00:00:01 type veth; ip link set low0 master br-n1 up",
    ),
    "the container adds an address": ("web", "ip address add 192.0.2.7/24 dev eth0"),
    "the container adds a route": ("web", "ip route add 203.0.113.0/24 via 10.71.0.1 table 100"),
    "somebody else makes rules": (None, "nft add table ip mine; iptables -I FORWARD -j ACCEPT"),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_feature_6_check_raises_no_false_alarm(host: PrivateHost, change: str) -> None:
    """There CHECK fails on layer 2, on drifting MAC addresses and on others' edits (ocicni#74); Nomad rebuilds such a container."""
    chain = every_plugin(host, backend="nftables", bridge={"isGateway": True})
    web = box(host, "web", published(PORT))
    chain.add(web)
    chain.add(box(host, "kept", published(PORT + 1)))
    netns, script = HARMLESS[change]
    host.run(["sh", "-c", script], netns=netns)
    chain.check(web)


def test_feature_6_check_of_a_network_of_layer_2_succeeds(host: PrivateHost) -> None:
    """There it always fails, for want of an IPAM plugin."""
    chain = alone(host, "bridge", bridge="br-l2")
    web = box(host, "web")
    chain.add(web)
    chain.add(box(host, "kept"))
    chain.check(web)


# --- 7: results -----------------------------------------------------------------------------------------------------


def test_feature_7_what_earlier_plugins_answered_is_kept_to_the_last_key(host: PrivateHost) -> None:
    """There bridge drops prevResult, and every plugin drops keys that it does not know."""
    chain = every_plugin(host, backend="nftables")
    web = box(host, "web", published(PORT))
    lane = {"name": "net0", "mac": "02:00:00:00:00:05", "sandbox": web.netns, "pciID": "0000:00:1f.6"}
    result: JsonObject = {
        "cniVersion": "1.1.0",
        "interfaces": [{**lane, "vendor.example/lane": 7}],
        "ips": [{"address": "192.0.2.7/24", "interface": 0}],
        "vendor.example/note": "kept",
    }
    earlier = result["interfaces"][0]
    for plugin in chain.plugins:
        config = chain.config(plugin, web, result)
        result = json.loads(chain.call(plugin["type"], "ADD", config, web).stdout)
        assert result["vendor.example/note"] == "kept"
        (kept,) = [each for each in result["ips"] if each["address"] == "192.0.2.7/24"]
        assert result["interfaces"][kept["interface"]] == earlier


def test_feature_7_results_of_1_1_0_have_the_mtu_that_the_kernel_has(host: PrivateHost) -> None:
    """There nobody fills in an MTU, and tuning leaves the old one."""
    chain = every_plugin(host, backend="nftables")
    result = chain.add(box(host, "web"))
    mtus = {each["name"]: each.get("mtu") for each in result["interfaces"]}
    host_side = next(name for name in mtus if name.startswith("veth"))
    assert mtus["eth0"] == host.links("web")["eth0"]["mtu"] == 1400
    assert mtus[host_side] == host.links()[host_side]["mtu"]


def test_feature_7_every_attribute_of_a_route_reaches_the_kernel(host: PrivateHost) -> None:
    """There mtu and advmss are left out, and a route of link scope fails."""
    routes = [
        {"dst": "192.0.2.0/24", "mtu": 1300, "advmss": 1200, "priority": 7},
        {"dst": "203.0.113.0/24", "scope": 253, "table": 100},
    ]
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/24"}]], "routes": routes}
    result = network(host, "n1", 71, bridge={"ipam": ipam}).add(box(host, "web"))
    shown = host.run(["ip", "route", "show", "table", "all"], netns="web").stdout
    (first,) = [line for line in shown.splitlines() if line.startswith("192.0.2.0/24")]
    (second,) = [line for line in shown.splitlines() if line.startswith("203.0.113.0/24")]
    assert all(words in first for words in ("via 10.71.0.1", "metric 7", "mtu 1300", "advmss 1200"))
    assert "table 100" in second
    assert "scope link" in second
    assert {key: result["routes"][0][key] for key in routes[0]} == routes[0]


@pytest.mark.parametrize("version", ["0.1.0", "0.3.1", "0.4.0", "1.0.0"])
def test_feature_7_loopback_answers_in_the_layout_of_the_version(host: PrivateHost, version: str) -> None:
    """There it prints the layout of 1.x whatever it is asked in."""
    chain = alone(host, "loopback", cniVersion=version)
    result = chain.add(Attachment("web", host.add_netns("web"), "lo"))
    assert result["cniVersion"] == version
    if version == "0.1.0":
        assert result["ip4"]["ip"] == "127.0.0.1/8"
    else:
        assert result["ips"][0].get("version") == (None if version == "1.0.0" else "4")


# --- 8: the protocol ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", PLUGINS)
def test_feature_8_version_echoes_what_it_is_asked_in(host: PrivateHost, plugin: str) -> None:
    """There the answer is always 1.1.0 (the specification says: the same as in the question)."""
    answer = alone(host, plugin, cniVersion="0.4.0").versions()[plugin]
    assert answer["cniVersion"] == "0.4.0"
    assert answer["supportedVersions"] == ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_feature_8_an_error_has_the_lists_version_and_a_precise_code(host: PrivateHost, plugin: str) -> None:
    """There errors lack cniVersion, and nearly all are 999; here a bad list is 7, bad input 6, a bad variable 4, a version 1."""
    chain = alone(host, plugin, cniVersion="1.0.0")
    web = box(host, "web")
    document = chain.config(chain.plugins[0])
    cases = (
        (7, {**document, "name": "a/b"}, web),
        (6, "{", web),
        (4, document, replace(web, container_id="a b")),
        (1, {**document, "cniVersion": "9.0.0"}, web),
    )
    for code, stdin, attachment in cases:
        error = told(chain.call, plugin, "ADD", stdin, attachment)
        assert (error["code"], 0 < len(error["msg"]) <= 120) == (code, True)
        assert "cniVersion" in error
    assert told(chain.call, plugin, "ADD", cases[0][1], web)["cniVersion"] == "1.0.0"


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_feature_8_the_hosts_own_namespace_is_refused_before_anything_is_done(
    host: PrivateHost, verb: str
) -> None:
    """There the host's own link is made, or deleted, and refused afterwards (plugins#714)."""
    chain = network(host, "n1", 71, backend="nftables")
    before = settled(host, chain)
    for plugin in ("bridge", "loopback"):
        config = (
            chain.config(only(chain, "bridge"))
            if plugin == "bridge"
            else {"cniVersion": "1.1.0", "name": "n1", "type": plugin}
        )
        attachment = Attachment("web", "/proc/self/ns/net", "eth0" if plugin == "bridge" else "lo")
        if verb == "ADD":
            assert told(chain.call, plugin, verb, config, attachment)["code"] == 8
        else:
            chain.call(plugin, verb, config, attachment)
        assert left(host).diff(before) == []


# --- 9: what runtimes really send -----------------------------------------------------------------------------------

CAPITALS = {"HostPort": PORT, "ContainerPort": 80, "Protocol": "TCP", "HostIP": ""}


@BACKENDS
def test_feature_9_ports_in_go_cnis_capitals_are_ports(host: PrivateHost, backend: str) -> None:
    """containerd and nerdctl send the keys as Go writes them."""
    network(host, "n1", 71, backend=backend).add(box(host, "web", CAPITALS))
    with serve(host, "web", port=80):
        assert reached(host) == "web"


@pytest.mark.parametrize(
    "ranges",
    [
        [[{"subnet": "10.79.0.0/24"}]],
        [{"Subnet": "10.79.0.0/24"}],
        [[{"Subnet": "10.79.0.0/24", "RangeStart": "10.79.0.9"}]],
    ],
    ids=["lists of lists", "one level", "capitals"],
)
def test_feature_9_ranges_of_any_shape_are_ranges(host: PrivateHost, ranges: list[Any]) -> None:
    """go-cni sends one level of lists only, with keys in capitals."""
    chain = network(
        host, "n1", 71, bridge={"ipam": {"type": "host-local"}, "capabilities": {"ipRanges": True}}
    )
    web = replace(box(host, "web"), capabilities={"ipRanges": ranges})
    assert address(chain.add(web)).startswith("10.79.0.")


@pytest.mark.parametrize("aliases", [["shop"], {"n1": ["shop"], "n2": ["other"]}], ids=["list", "map"])
def test_feature_9_aliases_are_a_list_or_a_map_of_networks(host: PrivateHost, aliases: Any) -> None:
    """The convention says a list, podman sends a map; dnsname knows only the map."""
    chain = every_plugin(host, backend="nftables")
    web = replace(box(host, "web"), capabilities={"aliases": aliases})
    result = chain.add(web)
    chain.add(box(host, "kept"))
    script = (
        "import dns.message, dns.query, sys;"
        "print(dns.query.udp(dns.message.make_query(sys.argv[1], 'A'), sys.argv[2], timeout=5).answer)"
    )
    (server, *_) = result["dns"]["nameservers"]
    asked = [sys.executable, "-c", script, "shop.n1", server]
    assert address(result) in host.run(asked, netns="kept").stdout


def test_feature_9_args_go_before_cni_args(host: PrivateHost) -> None:
    """There both are asked for, and ADD fails; the conventions say that args replace CNI_ARGS."""
    chain = network(host, "n1", 71)
    only(chain, "bridge")["args"] = {"cni": {"ips": ["10.71.0.60"]}}
    web = replace(box(host, "web"), args="IgnoreUnknown=1;IP=10.71.0.61;K8S_POD_NAME=web")
    assert address(chain.add(web)) == "10.71.0.60"


# --- 10: crashes and many at once -----------------------------------------------------------------------------------

_KILLER = """#!/bin/sh
/opt/cni/bin/host-local || exit 1
[ "$CNI_COMMAND" != ADD ] || kill -9 $PPID
"""


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_feature_10_an_add_killed_half_way_is_taken_back(host: PrivateHost, verb: str) -> None:
    """A runtime kills a plugin that takes too long; here IPAM does, with the link made and the address taken."""
    whole = network(host, "n1", 71, backend="nftables")
    before = settled(host, whole)
    host.write(f"{ours.BIN}/killer", _KILLER, mode=0o755)
    chain = network(host, "n1", 71, backend="nftables")
    bridge = only(chain, "bridge")
    bridge["ipam"] = {**bridge["ipam"], "type": "killer"}
    web = box(host, "web", published(PORT))
    with pytest.raises(ChainError) as killed:
        chain.add(web)
    assert killed.value.call.status == -9
    assert left(host).diff(before) != []
    if verb == "DEL":
        chain.delete(web, forget=True)
    else:
        chain.gc([])
    assert left(host).diff(before) == []


def test_feature_10_an_empty_lease_file_blocks_no_address(host: PrivateHost) -> None:
    """There a crash or a full disk leaves such files, and their addresses are lost for ever (plugins#498)."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/30"}]]}
    chain = network(host, "n1", 71, bridge={"ipam": ipam})
    host.write(f"{LEASES}/n1/10.71.0.2", "")
    assert address(chain.add(box(host, "web"))) == "10.71.0.2"


def test_feature_10_an_address_is_given_again_only_when_its_holder_is_gone(host: PrivateHost) -> None:
    """nerdctl sends DEL without a namespace while the container lives; there two containers then have one address."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/30"}]]}
    chain = network(host, "n1", 71, bridge={"ipam": ipam})
    web = box(host, "web")
    chain.add(web)
    chain.delete(replace(web, netns=""), forget=True)
    kept = box(host, "kept")
    with pytest.raises(ChainError) as refused:
        chain.add(kept)
    assert (refused.value.error["code"], host.links("web")["eth0"]["operstate"]) == (102, "UP")
    host.del_netns("web")
    assert address(chain.add(kept)) == "10.71.0.2"


@BACKENDS
def test_feature_10_of_two_that_ask_for_one_port_at_once_one_gets_it(host: PrivateHost, backend: str) -> None:
    """There both are told success, and one is never reached; here the other is told who has it, and can have it afterwards."""
    boxes = [box(host, name, published(PORT)) for name in ("web-a", "web-b")]
    chains = [network(host, "n1", 71, backend=backend) for _ in boxes]

    def code(chain: Chain, attachment: Attachment) -> int:
        try:
            chain.add(attachment)
        except ChainError as failure:
            return int(failure.error["code"])
        return 0

    with ThreadPoolExecutor(2) as threads:
        codes = list(threads.map(code, chains, boxes))
    assert sorted(codes) == [0, 104]
    winner, loser = codes.index(0), codes.index(104)
    chains[loser].delete(boxes[loser], forget=True)
    with serve(host, boxes[winner].container_id, port=80):
        assert reached(host) == boxes[winner].container_id
    chains[winner].delete(boxes[winner])
    assert code(chains[loser], boxes[loser]) == 0
