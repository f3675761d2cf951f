"""What hurt users of the reference plugins in packet rules, numbers 6 to 15 of the list that this project set out to close.

Each test is named after its pain; its docstring says what went wrong there (issue numbers of containernetworking/plugins are
plugins#N), and what ours does. All run our executables on a real kernel, as a runtime would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.harness import ours, tools
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.firewalld import Firewalld
from tests.harness.networks import address, box, network, only, published
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, OUTSIDE_V4, OUTSIDE_V6, PrivateHost
from tests.harness.talk import ask, serve

pytestmark = pytest.mark.root

PORT = 18080
SECOND_V4 = "198.51.100.11"
"""A further address that some tests give the host."""
BACKENDS = pytest.mark.parametrize("backend", ["iptables", "nftables"])
IPTABLES = ("iptables", "iptables-save", "iptables-restore")


@pytest.fixture
def host(host: PrivateHost) -> PrivateHost:
    """A private host with our executables."""
    ours.install(host)
    return host


def who(host: PrivateHost, destination: str, port: int = PORT, *, netns: str | None = OUTSIDE) -> str:
    """The name of who answers a caller in a namespace, "" if nobody does."""
    return (ask(host, destination, port, netns=netns) or "").partition(" ")[0]


def drop_forwarded(host: PrivateHost) -> None:
    """As Docker and ufw leave a host."""
    for tool in ("iptables", "ip6tables"):
        host.run([tool, "-P", "FORWARD", "DROP"])


# --- 6: calls that have nothing to do -------------------------------------------------------------------------------


@pytest.fixture
def spied(host: PrivateHost) -> Callable[[], list[str]]:
    """The host's iptables programs write down that they were started; what is returned reads it."""
    spy = '#!/bin/sh\necho "$(basename "$0")" >>/run/started\nexec /usr/sbin/xtables-nft-multi "$(basename "$0")" "$@"\n'
    host.write("/opt/spy", spy, mode=0o755)
    for name in (*IPTABLES, *(f"ip6{name[2:]}" for name in IPTABLES)):
        host.run(["ln", "-sf", "/opt/spy", f"/etc/alternatives/{name}"])
    host.write("/run/started", "")
    return lambda: host.read("/run/started").split()


@pytest.mark.parametrize("backend", ["", "iptables", "nftables"])
def test_pain_6_without_ports_portmap_starts_no_program_and_touches_no_rule(
    host: PrivateHost, spied: Callable[[], list[str]], backend: str
) -> None:
    """There each call looks for a back end first, and waits for the xtables lock (plugins#510); here it ends before that."""
    portmap = network(host, "n1", 71, backend=backend)
    portmap.plugins = [only(portmap, "portmap")]
    web = box(host, "web")
    result = {"cniVersion": "1.1.0", "ips": [{"address": "10.71.0.2/24"}]}
    for verb in ("ADD", "CHECK", "DEL"):
        portmap.call("portmap", verb, portmap.config(portmap.plugins[0], web, result), web)
    assert spied() == []
    assert host.run(["nft", "list", "ruleset"]).stdout == ""


def test_pain_6_the_spy_would_have_seen_a_program(host: PrivateHost, spied: Callable[[], list[str]]) -> None:
    """What the test above rests on."""
    network(host, "n1", 71, backend="iptables").add(box(host, "web", published(PORT)))
    assert "iptables-restore" in spied()


# --- 7: who has a port ----------------------------------------------------------------------------------------------


@BACKENDS
def test_pain_7_a_stale_mapping_of_ours_does_not_win(host: PrivateHost, backend: str) -> None:
    """There the rules of a container that died unnoticed come first for ever (plugins#683); here the next ADD takes the port over."""
    chain = network(host, "n1", 71, backend=backend)
    chain.add(box(host, "dead", published(PORT)))
    host.del_netns("dead")
    chain.add(box(host, "heir", published(PORT)))
    with serve(host, "heir", port=80):
        assert who(host, HOST_V4) == who(host, HOST_V6) == "heir"


@BACKENDS
@pytest.mark.parametrize("theirs", ["iptables", "nftables"])
def test_pain_7_a_mapping_that_the_reference_leaked_does_not_win(
    host: PrivateHost, backend: str, theirs: str
) -> None:
    """There new rules are appended behind stale ones (plugins#683, plugins#752); ours stand before anybody's."""
    old, new = box(host, "old", published(PORT)), box(host, "new", published(PORT))
    leaking = network(host, "n0", 70, backend=theirs)
    leaking.plugins = [only(leaking, "bridge"), only(leaking, "portmap")]
    previous = Chain({**leaking.conflist, "plugins": leaking.plugins[:1]}, ours.BIN, host=host).add(old)
    reference = Chain(leaking.conflist, tools.require(tools.reference_plugins), host=host)
    reference.call("portmap", "ADD", reference.config(leaking.plugins[1], old, previous), old)
    with serve(host, "old", port=80):
        assert who(host, HOST_V4) == "old"
    network(host, "n1", 71, backend=backend).add(new)
    with serve(host, "old", port=80), serve(host, "new", port=80):
        assert who(host, HOST_V4) == "new"


@BACKENDS
def test_pain_7_a_port_of_a_living_container_is_refused_and_its_owner_named(
    host: PrivateHost, backend: str
) -> None:
    """There the second container is told success and never reached (nerdctl#4253); here it is told who has the port."""
    chain = network(host, "n1", 71, backend=backend)
    chain.add(box(host, "first", published(PORT)))
    with pytest.raises(ChainError) as refused:
        chain.add(box(host, "second", published(PORT)))
    assert refused.value.error["code"] == 104
    assert "first" in refused.value.error["msg"]


# --- 8: flows that outlive a container ------------------------------------------------------------------------------

_ONE_SOURCE_PORT = """
import socket, sys
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.bind(("", 40000))
asker.settimeout(2)
asker.sendto(b"?", (sys.argv[1], 5353))
print(asker.recv(99).decode().split()[0])
"""


def same_flow(host: PrivateHost, destination: str = HOST_V4) -> str:
    """Who answers 5353/udp to an asker outside whose source port is always the same: a flow that is tracked leads it."""
    return host.outside(["python3", "-ISc", _ONE_SOURCE_PORT, destination], check=False).stdout.strip()


@BACKENDS
def test_pain_8_udp_flows_follow_the_port_to_its_next_container_and_leave_with_it(
    host: PrivateHost, backend: str
) -> None:
    """There a flow sticks to the dead container, and DEL forgets none (plugins#123, plugins#1190); here ADD and DEL do."""
    chain = network(host, "n1", 71, backend=backend)
    old, new = (box(host, name, published(5353, 53, "udp")) for name in ("old", "new"))
    everybody = [(None, 5353, HOST_V4, "host"), ("old", 53, "::", "old"), ("new", 53, "::", "new")]
    with ExitStack() as servers:
        for netns, port, at, name in everybody:
            servers.enter_context(serve(host, netns, port=port, kind="udp", address=at, name=name))
        assert same_flow(host) == "host"
        chain.add(old)
        assert same_flow(host) == "old"
        chain.delete(old, forget=True)
        assert same_flow(host) == "host"
        chain.add(new)
        assert same_flow(host) == "new"


def tracked(host: PrivateHost, protocol: str) -> list[str]:
    """The flows of a protocol that the host's kernel tracks."""
    lines = host.run(["cat", "/proc/net/nf_conntrack"]).stdout.splitlines()
    return [line for line in lines if line.split()[2] == protocol]


@BACKENDS
def test_pain_8_flows_to_another_address_of_the_host_are_not_forgotten(
    host: PrivateHost, backend: str
) -> None:
    """There ADD forgets every flow to that port number (plugins#553); here only those to the published address."""
    host.run(["ip", "address", "add", f"{SECOND_V4}/24", "dev", "eth0"])
    chain = network(host, "n1", 71, backend=backend)
    chain.add(box(host, "first", published(5354, 53, "udp")))  # from here on the kernel tracks flows
    with serve(host, None, port=5353, kind="udp", address=SECOND_V4, name="host"):
        assert same_flow(host, SECOND_V4) == "host"
    chain.add(box(host, "web", published(5353, 53, "udp", HOST_V4)))
    assert [line for line in tracked(host, "udp") if f"dst={SECOND_V4}" in line]


_SCTP_INIT = """
import socket, struct, sys
chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65536, 1, 1, 1)
packet = struct.pack("!HHII", 40000, 5353, 0, 0) + chunk
socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto(packet, (sys.argv[1], 0))
"""


@BACKENDS
def test_pain_8_sctp_flows_are_forgotten_as_well(host: PrivateHost, backend: str) -> None:
    """There only udp is thought of (plugins#1277). This kernel has no SCTP sockets, so one packet makes the flow."""
    for setting in ("nf_conntrack_checksum=0", "nf_conntrack_sctp_timeout_cookie_wait=600"):
        host.run(["sysctl", "-qw", f"net.netfilter.{setting}"])
    chain = network(host, "n1", 71, backend=backend)
    web = box(host, "web", published(5353, 53, "sctp"))
    result = chain.add(web)
    host.outside(["python3", "-ISc", _SCTP_INIT, HOST_V4])
    assert [line for line in tracked(host, "sctp") if f"src={address(result)}" in line]
    chain.delete(web)
    assert tracked(host, "sctp") == []


# --- 9: the host's IPv6 loopback ------------------------------------------------------------------------------------


@BACKENDS
def test_pain_9_a_port_on_ipv6_loopback_is_an_error_that_says_what_works(
    host: PrivateHost, backend: str
) -> None:
    """There hostIP ::1 is accepted and never answers (podman#12690, plugins#1); here it is refused in words."""
    with pytest.raises(ChainError) as refused:
        network(host, "n1", 71, backend=backend).add(box(host, "web", published(PORT, host_ip="::1")))
    error = refused.value.error
    assert error["code"] == 2
    assert "portMappings[0].hostIP: ::1" in error["msg"]
    assert "127.0.0.1" in error["details"]


@BACKENDS
def test_pain_9_a_port_on_every_address_takes_nothing_of_ipv6_loopback(
    host: PrivateHost, backend: str
) -> None:
    """There a caller of [::1] hangs, since the answer cannot come back; here ::1 stays the host's own."""
    network(host, "n1", 71, backend=backend).add(box(host, "web", published(PORT)))
    with serve(host, "web", port=80), serve(host, None, port=PORT, address="::1"):
        assert who(host, "::1", netns=None) == "host"
        assert who(host, HOST_V6) == "web"


# --- 10: many at once -----------------------------------------------------------------------------------------------

MANY = 6
SLOW = '#!/bin/sh\nsleep 0.2\nexec /usr/sbin/xtables-nft-multi "$(basename "$0")" "$@"\n'


def at_once(
    each: Callable[[Chain, Attachment], object], chains: list[Chain], boxes: list[Attachment]
) -> None:
    """Do it for all pairs in parallel; the first ChainError is raised."""
    with ThreadPoolExecutor(len(boxes)) as threads:
        list(threads.map(each, chains, boxes))


@BACKENDS
def test_pain_10_calls_at_once_on_a_cold_host_all_succeed_and_make_what_is_shared_once(
    host: PrivateHost, backend: str
) -> None:
    """There parallel calls fail on chains that exist or are gone (plugins#335, nerdctl#2908); ours wait for each other."""
    host.write(
        "/opt/slow", SLOW, mode=0o755
    )  # so that all have read the rules before the first of them writes
    for tool in ("iptables-restore", "ip6tables-restore"):
        host.run(["ln", "-sf", "/opt/slow", f"/etc/alternatives/{tool}"])
    boxes = [box(host, f"b{number}", published(PORT + number)) for number in range(MANY)]
    chains = [network(host, "n1", 71, backend=backend, ingressPolicy="same-bridge") for _ in boxes]
    at_once(Chain.add, chains, boxes)
    assert [*repeated(host, "iptables"), *repeated(host, "ip6tables")] == []
    with ExitStack() as servers:
        for each in boxes:
            servers.enter_context(serve(host, each.container_id, port=80))
        answers = [who(host, HOST_V4, PORT + number) for number in range(MANY)]
    assert answers == [each.container_id for each in boxes]
    at_once(Chain.delete, chains, boxes)
    assert "10.71.0." not in host.run(["nft", "list", "ruleset"]).stdout.replace("10.71.0.0/24", "")


def repeated(host: PrivateHost, tool: str) -> list[str]:
    """The rules that stand more than once in their chain."""
    lines = Counter(host.run([f"{tool}-save"]).stdout.splitlines())
    return [line for line, times in lines.items() if line.startswith("-A ") and times > 1]


# --- 11: firewalld --------------------------------------------------------------------------------------------------


@pytest.fixture
def firewalld(host: PrivateHost) -> Iterator[Firewalld]:
    """The distribution's firewalld, started before any container."""
    with Firewalld(host, tools.require(tools.firewalld)) as running:
        yield running


@BACKENDS
def test_pain_11_what_a_reload_of_firewalld_wipes_is_told_and_mended(
    host: PrivateHost, firewalld: Firewalld, backend: str
) -> None:
    """There a reload silently cuts containers off for good (plugins#512, podman#5431); here CHECK tells and one command mends."""
    chain = network(host, "n1", 71, bridge={"ipMasqBackend": backend}, portmap={"backend": backend})
    web = box(host, "web", published(PORT))
    chain.add(web)
    firewalld.reload()
    with pytest.raises(ChainError) as told:
        chain.check(web)
    assert told.value.error["code"] == 103
    ours.linkspan(host, "reload")
    chain.check(web)
    with serve(host, "web", port=80):
        assert who(host, HOST_V4) == "web"


def test_pain_11_our_nftables_table_outlives_a_reload_of_firewalld(
    host: PrivateHost, firewalld: Firewalld
) -> None:
    """There every rule is in tables that firewalld flushes (podman#3842); ours has a table that is nobody else's."""
    network(host, "n1", 71, bridge={"ipMasqBackend": "nftables"}, portmap={"backend": "nftables"}).add(
        box(host, "web", published(PORT))
    )
    before = host.run(["nft", "-s", "list", "table", "inet", "linkspan"]).stdout
    firewalld.reload()
    assert host.run(["nft", "-s", "list", "table", "inet", "linkspan"]).stdout == before


@BACKENDS
def test_pain_11_del_after_the_rules_were_flushed_succeeds_and_leaves_nothing(
    host: PrivateHost, backend: str
) -> None:
    """There DEL fails on the chains that are gone (podman#8048); here what is gone is fine."""
    chain = network(host, "n1", 71, backend=backend)
    web = box(host, "web", published(PORT))
    chain.add(web)
    host.run(["nft", "flush", "ruleset"])
    chain.delete(web)
    assert host.run(["nft", "list", "ruleset"]).stdout.count("10.71.0.2") == 0
    assert not [line for line in host.snapshot(ignore=ours.STAYS)["files"] if "web" in line]


# --- 12: a table that iptables cannot read --------------------------------------------------------------------------

FOREIGN = {
    "nat": (
        "add table ip nat",
        "add map ip nat ways { type inet_service : ipv4_addr . inet_service; }",
        "add chain ip nat PREROUTING { type nat hook prerouting priority -100; }",
        "add rule ip nat PREROUTING fib daddr type local dnat ip to tcp dport map @ways",
    ),
    "filter": (
        "add table ip filter",
        "add chain ip filter FORWARD { type filter hook forward priority 0; }",
        "add rule ip filter FORWARD fib daddr type local counter drop",
    ),
}


@pytest.fixture(params=FOREIGN)
def foreign(request: pytest.FixtureRequest, host: PrivateHost) -> str:
    """The name of a table of iptables' that somebody made with nft, in a way that iptables cannot read."""
    for command in FOREIGN[request.param]:
        host.run(["nft", command])
    return str(request.param)


@pytest.mark.parametrize("keys", [{"backend": "nftables"}, {}], ids=["nftables", "unset"])
def test_pain_12_a_table_that_iptables_cannot_read_is_in_nobodys_way(
    host: PrivateHost, foreign: str, keys: dict[str, Any]
) -> None:
    """There ADD fails, "table nat is incompatible, use nft tool" (plugins#461, nerdctl#4117); our nftables has its own table."""
    before = host.run(["nft", "--stateless", "list", "table", "ip", foreign]).stdout
    chain = network(host, "n1", 71, **keys)
    web = box(host, "web", published(PORT))
    chain.add(web)
    chain.check(web)
    with serve(host, "web", port=80):
        assert who(host, HOST_V4) == "web"
    chain.delete(web)
    assert host.run(["nft", "--stateless", "list", "table", "ip", foreign]).stdout == before


def test_pain_12_asked_for_iptables_on_such_a_host_it_says_so_and_del_leaves_nothing(
    host: PrivateHost, foreign: str
) -> None:
    """There an ADD fails half way, and then DEL too (plugins#461); here the tool's words are told, and DEL has all of it gone."""
    foreign_before = host.run(["nft", "--stateless", "list", "table", "ip", foreign]).stdout
    chain = network(host, "n1", 71, backend="iptables")
    web = box(host, "web", published(PORT))
    with pytest.raises(ChainError, match="incompatible") as refused:
        chain.add(web)
    assert refused.value.call.plugin == {"nat": "bridge", "filter": "firewall"}[foreign]
    assert refused.value.error["code"] == 101
    chain.delete(web, forget=True)
    assert host.run(["nft", "--stateless", "list", "table", "ip", foreign]).stdout == foreign_before
    assert "10.71.0.2" not in host.run(["nft", "list", "ruleset"]).stdout
    assert not [line for line in host.snapshot(ignore=ours.STAYS)["files"] if "web" in line]


# --- 13: firewall without iptables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["same-bridge", "isolated"])
def test_pain_13_firewall_with_nftables_keeps_networks_apart_without_one_iptables_rule(
    host: PrivateHost, policy: str
) -> None:
    """There firewall knows iptables and firewalld only (plugins#462, asked since 2020); ours does all of it with nftables."""
    first, second = (
        network(host, f"n{number}", 70 + number, backend="nftables", ingressPolicy=policy)
        for number in (1, 2)
    )
    web = first.add(box(host, "web", published(PORT)))
    first.add(box(host, "near"))
    second.add(box(host, "far"))
    with serve(host, "web", port=80):
        answers = [who(host, address(web), 80, netns=netns) for netns in ("near", "far")]
        assert answers == ["web" if policy == "same-bridge" else "", ""]
        assert who(host, HOST_V4, netns="far") == "web"
    assert host.run(["iptables-save"]).stdout == ""


@pytest.mark.parametrize("plugin", ["bridge", "portmap", "firewall"])
def test_pain_13_an_unknown_back_end_is_refused_by_name(host: PrivateHost, plugin: str) -> None:
    """There firewall takes any unknown word for iptables (plugins#519); here the word is told with its key."""
    chain = network(host, "n1", 71)
    only(chain, plugin)["ipMasqBackend" if plugin == "bridge" else "backend"] = "nftbales"
    with pytest.raises(ChainError, match='"nftbales"') as refused:
        chain.add(box(host, "web", published(PORT)))
    assert (refused.value.call.plugin, refused.value.error["code"]) == (plugin, 7)


# --- 14: nftables that caught too much, and too little --------------------------------------------------------------


@BACKENDS
def test_pain_14_a_published_port_never_catches_traffic_that_is_not_for_this_host(
    host: PrivateHost, backend: str
) -> None:
    """There nftables led everybody's traffic to that port into the container (plugins#1209, CVE-2025-67499, fixed in 1.9.0)."""
    network(host, "n1", 71, backend=backend).add(box(host, "web", published(PORT)))
    other = network(host, "n2", 72, backend=backend).add(box(host, "other"))
    host.outside(["ip", "route", "add", "10.72.0.0/24", "via", HOST_V4])
    host.outside(["ip", "route", "add", "fd00:72::/64", "via", HOST_V6])
    with (
        serve(host, "web", port=80),
        serve(host, "other", port=PORT),
        serve(host, OUTSIDE, port=PORT, name="world"),
    ):
        assert [who(host, at, netns="other") for at in (OUTSIDE_V4, OUTSIDE_V6)] == ["world", "world"]
        assert [who(host, address(other, family)) for family in (4, 6)] == ["other", "other"]
        assert [who(host, at) for at in (HOST_V4, HOST_V6)] == ["web", "web"]


@BACKENDS
def test_pain_14_both_families_are_masqueraded(host: PrivateHost, backend: str) -> None:
    """There nftables masqueraded only one family of a container with two (plugins#1115, plugins#1118)."""
    chain = network(host, "n1", 71, backend=backend)
    chain.add(box(host, "first"))
    chain.add(box(host, "second"))
    with serve(host, OUTSIDE, port=80, name="world"):
        for netns in ("first", "second"):
            assert ask(host, OUTSIDE_V4, 80, netns=netns) == f"world {HOST_V4}"
            assert ask(host, OUTSIDE_V6, 80, netns=netns) == f"world {HOST_V6}"


@BACKENDS
def test_pain_14_masq_all_hides_every_caller_and_only_where_it_is_set(
    host: PrivateHost, backend: str
) -> None:
    """There masqAll of nftables masqueraded wrongly (plugins#1234); here callers have the bridge's address, per network."""
    for number, keys in ((1, {"masqAll": True}), (2, {})):
        chain = network(host, f"n{number}", 70 + number, backend=backend, portmap=keys)
        chain.add(box(host, f"web{number}", published(PORT + number)))
    with serve(host, "web1", port=80), serve(host, "web2", port=80):
        assert ask(host, HOST_V4, PORT + 1, netns=OUTSIDE) == "web1 10.71.0.1"
        assert ask(host, HOST_V6, PORT + 1, netns=OUTSIDE) == "web1 fd00:71::1"
        assert ask(host, HOST_V4, PORT + 2, netns=OUTSIDE) == f"web2 {OUTSIDE_V4}"


# --- 15: published ports and the host's own firewall ----------------------------------------------------------------


@BACKENDS
def test_pain_15_a_published_port_is_reached_where_forward_drops_and_nothing_else_is(
    host: PrivateHost, backend: str
) -> None:
    """There the policy DROP of Docker or ufw closes published ports (plugins#467); here connections that we translated pass."""
    drop_forwarded(host)
    result = network(host, "n1", 71, backend=backend).add(box(host, "web", published(PORT)))
    host.outside(["ip", "route", "add", "10.71.0.0/24", "via", HOST_V4])
    with serve(host, "web", port=80):
        assert [who(host, at) for at in (HOST_V4, HOST_V6)] == ["web", "web"]
        assert who(host, address(result), 80) == ""


def test_pain_15_an_nftables_accept_is_not_final_so_a_rule_of_iptables_lets_through(
    host: PrivateHost,
) -> None:
    """One drop in any table is final, so an accept in ours would not help; without firewall in the list portmap sees to it."""
    drop_forwarded(host)
    chain = network(host, "n1", 71, backend="nftables")
    chain.plugins = [only(chain, "bridge"), only(chain, "portmap")]
    web = box(host, "web", published(PORT))
    chain.add(web)
    with serve(host, "web", port=80), serve(host, OUTSIDE, port=80, name="world"):
        assert who(host, HOST_V4) == "web"
        assert who(host, OUTSIDE_V4, 80, netns="web") == "world"
        host.run(["iptables", "-F", "LINKSPAN-FORWARD"])
        assert who(host, HOST_V4) == ""
    with pytest.raises(ChainError, match="LINKSPAN-FORWARD"):
        chain.check(web)


@BACKENDS
def test_pain_15_an_administrators_rule_closes_a_published_port(host: PrivateHost, backend: str) -> None:
    """There published ports go around the host's firewall (plugins#618); here the administrator's rules are asked first."""
    drop_forwarded(host)
    chain = network(host, "n1", 71, backend=backend)
    chain.add(box(host, "first"))
    place = "CNI-ADMIN" if backend == "iptables" else "FORWARD"
    host.run(["iptables", "-I", place, "-s", OUTSIDE_V4, "-j", "DROP"])
    chain.add(box(host, "web", published(PORT)))
    with serve(host, "web", port=80):
        assert who(host, HOST_V4) == ""
        assert who(host, HOST_V6) == "web"


NOT_FROM_OUTSIDE = {"iptables": ["!", "-s", OUTSIDE_V4], "nftables": ["ip", "saddr", "!=", OUTSIDE_V4]}


@BACKENDS
def test_pain_15_a_source_filter_narrows_who_reaches_a_published_port(
    host: PrivateHost, backend: str
) -> None:
    """There nftables takes the last ADD's conditions for every container's (plugins#618); here each network has its own."""
    for number, keys in ((1, {"conditionsV4": NOT_FROM_OUTSIDE[backend]}), (2, {})):
        chain = network(host, f"n{number}", 70 + number, backend=backend, portmap=keys)
        chain.add(box(host, f"web{number}", published(PORT + number)))
    with serve(host, "web1", port=80), serve(host, "web2", port=80):
        assert who(host, HOST_V4, PORT + 1) == ""
        assert who(host, HOST_V4, PORT + 1, netns="web2") == "web1"
        assert who(host, HOST_V4, PORT + 2) == "web2"


# --- direct access --------------------------------------------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize("key", [None, False, True])
def test_direct_access_from_outside_is_closed_only_by_drop_direct_access(
    host: PrivateHost, backend: str, key: bool | None
) -> None:
    """A list in the reference's shape keeps routed containers reachable; our own lists carry the key."""
    keys = {} if key is None else {"dropDirectAccess": key}
    result = network(host, "n1", 71, backend=backend, portmap=keys).add(box(host, "web", published(PORT)))
    host.outside(["ip", "route", "add", "10.71.0.0/24", "via", HOST_V4])
    host.outside(["ip", "route", "add", "fd00:71::/64", "via", HOST_V6])
    with serve(host, "web", port=80), serve(host, "web", port=81):
        closed = [who(host, address(result, family), 81) == "" for family in (4, 6)]
        assert closed == [key is True] * 2
        assert who(host, HOST_V4) == "web"
