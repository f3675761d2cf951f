"""Chains of both under the CNI project's own cnitool, and hosts that change from one to the other while containers run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness import ours, tools
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.cnitool import Answer, CniTool
from tests.harness.privatehost import HOST_V4, OUTSIDE, OUTSIDE_V4, PrivateHost
from tests.harness.talk import ask, serve
from tests.interchange.mixes import addresses, leased, network, side

pytestmark = [pytest.mark.root, pytest.mark.runtime]

BOTH_WAYS = pytest.mark.parametrize(("first", "second"), [("ours", "theirs"), ("theirs", "ours")])
MIXES = [
    ("bridge",),
    ("host-local",),
    ("portmap",),
    ("firewall", "tuning"),
    ("bridge", "host-local"),
    ("host-local", "portmap"),
]
#: What only ours writes, and so the reference's DEL cannot take back.
OURS_ALONE = ("/linkspan/", "CNI-FORWARD")


@pytest.fixture(scope="module")
def program() -> str:
    """The path of cnitool."""
    return tools.require(tools.cnitool)


@pytest.fixture
def boxes(host: PrivateHost) -> Iterator[tuple[str, str]]:
    """Two containers."""
    names = ("old", "new")
    for name in names:
        host.add_netns(name)
    yield names
    for name in names:
        host.del_netns(name)
    host.run(["sh", "-c", "rm -rf /var/lib/cni /var/lib/linkspan/leases* /run/linkspan/*/released"])


class Runtime:
    """cnitool with one CNI_PATH; the port 80 of a container is published at a port of the host."""

    def __init__(
        self, host: PrivateHost, program: str, path: list[str], *, backend: str | None = None
    ) -> None:
        self._host = host
        self._tool = CniTool(host, program, path, env=ours.STANDALONE)
        self._network = self._tool.network(network(backend=backend))

    def run(self, verb: str, netns: str, port: int = 8080) -> Answer:
        """One verb for a container, which must succeed."""
        published = {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}
        answer = self._tool.run(verb, self._network, f"/run/netns/{netns}", capabilities=published)
        assert answer.status == 0, answer.stdout + answer.stderr
        return answer

    def settle(self, netns: str) -> None:
        """Make what a network makes once and keeps.

        No supervisor restores what the reference plugins take down of ours.
        """
        ours.linkspan(self._host, "resident", "stop")
        self.run("add", netns)
        self.run("del", netns)


def works(host: PrivateHost, netns: str, port: int = 8080) -> bool:
    """Whether the published port answers the outside, and the outside answers the container."""
    with serve(host, netns, port=80):
        answer = ask(host, HOST_V4, port, netns=OUTSIDE, wait=2.0) or ""
    out = host.run(["ping", "-c1", "-W2", OUTSIDE_V4], netns=netns, check=False)
    return answer.startswith(netns) and out.returncode == 0


@pytest.mark.parametrize("theirs", MIXES, ids="+".join)
def test_a_mixed_chain_goes_through_every_verb_works_and_leaves_nothing(
    host: PrivateHost, boxes: tuple[str, str], reference: str, program: str, theirs: tuple[str, ...]
) -> None:
    first, box = boxes
    runtime = Runtime(host, program, side(host, reference, theirs))
    runtime.settle(first)
    before = host.snapshot(ignore=ours.STAYS)
    for verb in ("add", "check", "status"):
        runtime.run(verb, box)
    assert works(host, box)
    for verb in ("del", "del", "gc"):
        runtime.run(verb, box)
    assert host.snapshot(ignore=ours.STAYS).diff(before) == []


@BOTH_WAYS
def test_containers_of_both_run_side_by_side_and_stop_under_the_other(
    host: PrivateHost,
    boxes: tuple[str, str],
    sides: dict[str, list[str]],
    program: str,
    first: str,
    second: str,
) -> None:
    """A host changes over, and back, while containers run."""
    old, new = boxes
    before, after = (Runtime(host, program, sides[one]) for one in (first, second))
    before.settle(old)
    after.settle(old)
    clean = host.snapshot(ignore=ours.STAYS)
    given = {*addresses(before.run("add", old, 8081).result), *addresses(after.run("add", new, 8082).result)}
    assert len(given) == 4
    assert works(host, old, 8081)
    assert works(host, new, 8082)
    after.run("del", old, 8081)
    assert works(host, new, 8082)
    before.run("del", new, 8082)
    left = host.snapshot(ignore=ours.STAYS).diff(clean)
    assert [line for line in left if not any(word in line for word in OURS_ALONE)] == []
    for box in boxes:
        Runtime(host, program, sides["ours"]).run("del", box)
    assert host.snapshot(ignore=ours.STAYS).diff(clean) == []


@pytest.mark.parametrize("backend", [None, "nftables"])
def test_what_the_reference_attached_ours_takes_back_without_its_namespace(
    host: PrivateHost, sides: dict[str, list[str]], program: str, backend: str | None
) -> None:
    """As runtimes do whose container is dead: what is left are rules and leases."""
    theirs, mine = (Runtime(host, program, sides[one], backend=backend) for one in ("theirs", "ours"))
    host.add_netns("dead")
    for runtime in (theirs, mine):
        runtime.settle("dead")
    clean = host.snapshot(ignore=ours.STAYS)
    theirs.run("add", "dead")
    host.del_netns("dead")
    mine.run("del", "dead")
    host.add_netns("dead")
    assert host.snapshot(ignore=ours.STAYS).diff(clean) == []
    host.del_netns("dead")


def test_what_the_reference_took_down_is_in_nobodys_way_and_goes_with_our_next_del(
    host: PrivateHost, boxes: tuple[str, str], sides: dict[str, list[str]], program: str
) -> None:
    """After the way back and forth again the port and the addresses are free, and our records of then are cleaned."""
    old, new = boxes
    theirs, mine = (Runtime(host, program, sides[one]) for one in ("theirs", "ours"))
    mine.settle(old)
    clean = host.snapshot(ignore=ours.STAYS)
    mine.run("add", old, 8081)
    theirs.run("del", old, 8081)
    mine.run("add", new, 8081)
    assert works(host, new, 8081)
    mine.run("del", old, 8081)
    assert works(host, new, 8081)
    mine.run("del", new, 8081)
    assert host.snapshot(ignore=ours.STAYS).diff(clean) == []


@pytest.mark.parametrize("theirs", [(), ("host-local",)], ids=["ours", "their host-local"])
def test_twenty_adds_of_one_attachment_at_once_have_one_winner_that_works(
    host: PrivateHost, boxes: tuple[str, str], reference: str, theirs: tuple[str, ...]
) -> None:
    _, box = boxes
    bridge = {**network(), "plugins": network()["plugins"][:1]}
    chain = Chain(bridge, side(host, reference, theirs), host=host, env=ours.RESIDENT)
    attachment = Attachment(box, f"/run/netns/{box}")

    def wins(_: int) -> bool:
        try:
            chain.add(attachment)
        except ChainError:
            return False
        return True

    with ThreadPoolExecutor(20) as threads:
        assert Counter(threads.map(wins, range(20))) == {True: 1, False: 19}
    chain.check(attachment)
    assert len(leased(host, "mixed")) == 2
    assert host.run(["ping", "-c1", "-W2", OUTSIDE_V4], netns=box).returncode == 0
    chain.delete(attachment)
    assert leased(host, "mixed") == []
