"""Whatever is sent, and whatever the host refuses: JSON comes back, never a fault of ours, and a DEL leaves nothing.

LINKSPAN_SEED repeats a run; the seed and the counts are printed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from linkspan.call.dispatch import answer
from linkspan.call.plugin import load
from linkspan.cni.errors import CniError
from linkspan.cni.model import Attachment
from linkspan.cni.versions import VERSIONS
from linkspan.host.contract import Finished
from linkspan.host.memory import MemoryHost
from linkspan.host.memory.processes import Run
from linkspan.netfilter.masquerade import chain_name
from linkspan.paths import OWN_NETNS
from tests.fuzz.strategies import ECHO, OTHER_BOX, Case, cases
from tests.harness.memory import BOX, FOREIGN, OURS, Desk
from tests.harness.nameserver import serve_names_of
from tests.harness.scale import SEED, scaled

#: How many lives of attachments are tried in all.
EXAMPLES = scaled(short=400, whole=100_000)
#: Hypothesis remembers all that it tried: a round ends before that is felt.
ROUND = 2000
pytestmark = pytest.mark.soak
turns = pytest.mark.parametrize("turn", range(-(-EXAMPLES // ROUND)))
#: (plugin, verb, error code or 0) -> how often
COUNTS: Counter[tuple[str, str, int]] = Counter()


@pytest.fixture(scope="module", autouse=True)
def told(pytestconfig: pytest.Config) -> Iterator[None]:
    """Print the seed before and the counts after, whatever pytest captures."""
    reporter: Any = pytestconfig.pluginmanager.getplugin("terminalreporter")
    reporter.write_line(f"fuzz: {EXAMPLES} examples, LINKSPAN_SEED={SEED}")
    yield
    reporter.write_line(f"fuzz: {COUNTS.total()} calls")
    for plugin, verb in sorted({(plugin, verb) for plugin, verb, _ in COUNTS}):
        said = (
            f"{code or 'ok'}:{count}"
            for (p, v, code), count in sorted(COUNTS.items())
            if (p, v) == (plugin, verb)
        )
        reporter.write_line(f"fuzz: {plugin:10} {verb:6} {' '.join(said)}")


def hold(claim: Callable[[Case], None], share: float, turn: int) -> None:
    """See that a claim holds for a turn's share of the examples."""
    examples = max(1, round(min(ROUND, EXAMPLES - turn * ROUND) * share))
    chosen = settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )
    seed(SEED + turn)(chosen(given(case=cases())(claim)))()


@turns
def test_a_call_answers_json_and_a_del_leaves_nothing(turn: int) -> None:
    hold(a_whole_life, 0.5, turn)


@turns
def test_an_add_that_fails_leaves_nothing_of_its_own(turn: int) -> None:
    hold(a_failing_add, 0.25, turn)


@turns
def test_check_is_content_with_what_add_just_made(turn: int) -> None:
    hold(a_check_after_add, 0.25, turn)


def a_whole_life(case: Case) -> None:
    life = Life(case)
    life.call("STATUS")
    added, _ = life.call("ADD")
    if added == 0:
        life.call("CHECK", prevResult=life.result)
        life.call("ADD")
    life.call("GC", **{"cni.dev/valid-attachments": [life.valid]})
    life.desk.host.revive()
    deleted, error = life.call("DEL")
    assert added != 0 or deleted == 0, f"ADD succeeded and DEL does not: {error}"
    if deleted == 0:
        assert life.left() == []
        assert life.call("DEL")[0] == 0
    life.call("GC", **{"cni.dev/valid-attachments": []})


def a_failing_add(case: Case) -> None:
    life = Life(case)
    added, _ = life.call("ADD")
    if added != 0:
        assert life.left() == []


def a_check_after_add(case: Case) -> None:
    life = Life(case)
    life.desk.host.refuse = {}
    added, _ = life.call("ADD")
    document = case.document if isinstance(case.document, dict) else {}
    # An earlier plugin's result that claims the very interface that bridge made is nobody's truth.
    claimed = case.plugin == "bridge" and "prevResult" in document
    if added == 0 and document.get("cniVersion") in VERSIONS[4:] and not claimed:
        assert life.call("CHECK", prevResult=life.result) == (0, {})


def furnish(host: MemoryHost, environment: Mapping[str, str]) -> None:
    """The link that the chain's first plugin made, with the MAC that previous results say."""
    mac = "02:00:00:00:00:0"
    for path in (BOX, OTHER_BOX):
        links = host.namespace(path)
        with suppress(CniError, UnicodeEncodeError):
            name = environment["CNI_IFNAME"]
            links.create_veth(
                name, mac=f"{mac}3", peer=f"out{path[-3:]}", peer_mac=f"{mac}2", peer_netns=OWN_NETNS
            )
            links.change(name, up=True)


def echo(run: Run) -> Finished:
    """The foreign IPAM plugin's answer to ADD is in its configuration."""
    answered = json.loads(run.stdin)["ipam"]["answer"] if run.env["CNI_COMMAND"] == "ADD" else None
    return Finished(0, b"" if answered is None else json.dumps(answered).encode())


class Life:
    """An attachment on a host of its own."""

    def __init__(self, case: Case) -> None:
        note(f"{case.plugin} got {case.document!r} in {dict(case.environment)!r}, refused {case.refuse}")
        self.case = case
        self.desk = Desk(MemoryHost())
        self.desk.program(ECHO, echo)
        host = self.desk.host
        for box in (host.namespace(BOX), host.add_netns(OTHER_BOX)):
            box.change("lo", up=True)
        if case.plugin != "bridge":
            furnish(host, case.environment)
        host.revive()
        if case.refuse is not None:
            part, number, refused_with = case.refuse
            host.refuse = {(part, number): refused_with}
        self.result: Any = {}
        self.before = host.state()
        name = case.document.get("name") if isinstance(case.document, dict) else ""
        words = case.environment
        self.attachment = Attachment(str(name), words["CNI_CONTAINERID"], words["CNI_IFNAME"])

    @property
    def valid(self) -> dict[str, str]:
        """The attachment as GC's list names it."""
        return {"containerID": self.attachment.container_id, "ifname": self.attachment.ifname}

    def call(self, verb: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """(status, document): one JSON object or nothing, never code 199, and no lock is kept."""
        case, host = self.case, self.desk.host
        stdin = case.stdin
        if more and isinstance(case.document, dict) and case.raw is None:
            stdin = json.dumps({**case.document, **more}).encode()
        env = {**case.environment, "CNI_COMMAND": verb, "CNI_PATH": f"{OURS}:{FOREIGN}"}
        with serve_names_of(host):
            status, stdout = answer(load(case.plugin), stdin, env, host, cwd="/work")
        document = json.loads(stdout) if stdout else {}
        COUNTS[case.plugin, verb, int(document["code"]) if status else 0] += 1
        note(f"{verb}: {status} {document}")
        assert isinstance(document, dict)
        assert status in (0, 1)
        assert document.get("code") != 199, document
        assert len(document.get("msg", "")) <= 400
        assert host.files.held == set()
        if verb == "ADD" and status == 0:
            self.result = document
        return status, document

    def left(self) -> list[str]:
        """What is there that was not before and bears the attachment's names."""
        one = self.attachment
        if not str(one).isprintable():  # never served: its names cannot even be computed
            return []
        words = [one.key[:16], one.host_veth, chain_name(one), *whole(one.container_id)]
        fresh = self.desk.host.state() - self.before
        return sorted(line for line in fresh if any(word in line for word in words))


def whole(container_id: str) -> list[str]:
    """What shows that a line bears this ID. A short one is part of nearly every line, but is quoted where it stands for itself."""
    if len(container_id) > 2:
        return [container_id]
    return [f"{before}{container_id}{after}" for before in "\"'" for after in "\"'\\" if container_id]
