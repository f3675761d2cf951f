"""A host whose iptables is the legacy one: the same rules, by python-iptables, in the kernel's older tables."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness import ours
from tests.harness.chain import Attachment, Chain
from tests.harness.legacy import use_legacy_iptables
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, PrivateHost
from tests.harness.world import World, published, world_of

pytestmark = pytest.mark.root

WRITERS = 8


@pytest.fixture
def legacy_host(host: PrivateHost) -> PrivateHost:
    """A host on which somebody ran `update-alternatives --set iptables /usr/sbin/iptables-legacy`."""
    use_legacy_iptables(host)
    return host


@pytest.fixture
def world(legacy_host: PrivateHost) -> Iterator[World]:
    """A world on it."""
    with world_of(legacy_host, backend="iptables") as made:
        yield made


def rules(host: PrivateHost) -> list[str]:
    """Every rule of the legacy tables of both families."""
    shown = "".join(host.run([f"{tool}-legacy-save"]).stdout for tool in ("iptables", "ip6tables"))
    return [line for line in shown.splitlines() if line.startswith("-A ")]


def test_published_ports_answer_everybody(world: World) -> None:
    web, near = world.box("web", ports=[published(8080)]), world.box("near")
    with world.serving(web):
        for netns in (OUTSIDE, None, web.netns, near.netns):
            assert world.asks(netns, HOST_V4, 8080) == "web"
            assert world.asks(netns, HOST_V6, 8080) == "web"
        assert world.asks(None, "127.0.0.1", 8080) == "web"
    world.check(web)


def test_all_rules_are_in_the_legacy_tables(world: World) -> None:
    world.box("web", ports=[published(8080)], dropDirectAccess=True)
    assert "CNI-" not in world.rules("nft", "list", "ruleset")
    assert any("CNI-DN-" in rule for rule in rules(world.host))


def test_drop_direct_access_works(world: World) -> None:
    web = world.box("web", ports=[published(8080)], dropDirectAccess=True)
    world.host.outside(["ip", "route", "add", "10.1.0.0/24", "via", HOST_V4])
    with world.serving(web):
        assert world.asks(OUTSIDE, web.v4, 80) == ""
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"


def test_del_leaves_the_rules_as_they_were(world: World) -> None:
    world.unpublish(world.box("first", ports=[published(8079)], dropDirectAccess=True))
    box = world.box("web")
    before = rules(world.host)
    world.publish(box, [published(8080), published(8081)], dropDirectAccess=True)
    world.unpublish(box)
    assert rules(world.host) == before


def test_a_forward_policy_of_drop_is_seen_and_dealt_with(world: World) -> None:
    world.host.run(["iptables", "-P", "FORWARD", "DROP"])
    web = world.box("web", ports=[published(8080)])
    with world.serving(web):
        assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"


def test_eight_writers_at_once_lose_no_rule_and_leave_each_jump_once(legacy_host: PrivateHost) -> None:
    """python-iptables itself takes no lock and puts whole tables back: without ours, writers undo each other."""
    host = legacy_host
    ours.install(host)
    conflist = ours.conflist("bridge")
    for plugin in conflist["plugins"]:
        plugin.pop("backend", None)
        plugin.pop("ipMasqBackend", None)
    boxes = [
        Attachment(f"w{n}", host.add_netns(f"w{n}"), capabilities={"portMappings": [published(8080 + n)]})
        for n in range(WRITERS)
    ]
    chains = [Chain(conflist, ours.BIN, host=host, env=ours.STANDALONE) for _ in boxes]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda pair: pair[0].add(pair[1]), zip(chains, boxes, strict=True)))
    after = rules(host)
    for n in range(WRITERS):
        assert sum(f"--dport {8080 + n} " in rule and "-j DNAT" in rule for rule in after) == 1
    jumps = [rule for rule in after if rule.endswith(("-j CNI-HOSTPORT-DNAT", "-j CNI-HOSTPORT-MASQ"))]
    assert len(jumps) == len(set(jumps)) == 3
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda pair: pair[0].delete(pair[1], forget=True), zip(chains, boxes, strict=True)))
    assert not any("CNI-DN-" in rule for rule in rules(host))
