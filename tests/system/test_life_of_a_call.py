"""A call between launcher and worker when one of them stops, hangs, dies or is another: never late, never twice, never locked out.

A foreign IPAM plugin is the spy: it writes down every call, waits while it is told to, and keeps leases of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from linkspan.cni.model import Attachment
from tests.harness import ours
from tests.harness.patience import until
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

SPY = """#!/bin/sh
trap '' PIPE
echo "begin $CNI_COMMAND $CNI_CONTAINERID $PPID" >> /run/spy/log
while [ -e "/run/spy/hold-$CNI_COMMAND-$CNI_CONTAINERID" ]; do sleep 0.01; done
case $CNI_COMMAND in
ADD) : > "/run/spy/lease-$CNI_CONTAINERID"
     echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.5.0.2/24", "gateway": "10.5.0.1"}]}' ;;
DEL) rm -f "/run/spy/lease-$CNI_CONTAINERID" ;;
esac
echo "end $CNI_COMMAND $CNI_CONTAINERID $PPID" >> /run/spy/log
"""
CONFIG = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipam": {"type": "spy"},
}
#: A resident as `linkspan resident start` makes it, but in the foreground and with words of the test's own before it runs.
RESIDENT = """
from linkspan.launch import protocol
from linkspan.workers.master import Master
from linkspan.daemon.services import RESIDENT
{before}
assert RESIDENT.begin()
Master(RESIDENT.socket, hung={hung}).run()
"""


class Stage:
    """A host with our executables, the spy, and calls that are started and awaited."""

    def __init__(self, host: PrivateHost, launcher: str) -> None:
        self.host = host
        ours.install(host, launcher)
        host.write("/opt/cni/spy/spy", SPY, mode=0o755)
        host.write("/run/spy/log", "")

    def start(self, verb: str, container_id: str = "c1", **env: str) -> subprocess.Popen[str]:
        """Begin a call; its standard output is read by `answer`."""
        netns = f"/run/netns/{container_id}"
        if verb == "ADD" and not os.path.exists(self.host.path(netns)):
            self.host.add_netns(container_id)
        variables = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": f"{ours.BIN}:/opt/cni/spy",
            "PATH": ours.PATH,
            **env,
        }
        # A spy that outlives its caller has the caller's stderr: a pipe would keep us waiting for it.
        started = self.host.popen(
            [f"{ours.BIN}/bridge"], env=variables, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert started.stdin is not None
        started.stdin.write(json.dumps(CONFIG))
        started.stdin.close()
        started.stdin = None
        return started

    def call(self, verb: str, container_id: str = "c1", **env: str) -> tuple[int, dict[str, Any]]:
        """A call from beginning to end."""
        return answer(self.start(verb, container_id, **env))

    def hold(self, verb: str, container_id: str = "c1") -> None:
        """Let the spy wait in this call."""
        self.host.write(f"/run/spy/hold-{verb}-{container_id}", "")

    def release(self, verb: str, container_id: str = "c1") -> None:
        """Let the spy go on."""
        os.unlink(self.host.path(f"/run/spy/hold-{verb}-{container_id}"))

    def log(self, word: str = "begin", container_id: str = "c1") -> list[str]:
        """The verbs that the spy began or ended for a container, in order."""
        lines = [line.split() for line in self.host.read("/run/spy/log").splitlines()]
        return [verb for what, verb, who, _ in lines if (what, who) == (word, container_id)]

    def parents(self) -> set[int]:
        """The processes that called the spy."""
        return {int(line.split()[3]) for line in self.host.read("/run/spy/log").splitlines()}

    def begun(self, verb: str, container_id: str = "c1") -> None:
        """Return once the spy is in a call."""
        until(lambda: verb in self.log("begin", container_id), f"the spy to begin {verb} of {container_id}")

    def left(self, *container_ids: str) -> list[str]:
        """What is there of containers: leases of the spy, links, records."""
        links = self.host.links()
        found = [each for each in os.listdir(self.host.path("/run/spy")) if each.startswith("lease-")]
        for each in container_ids:
            attachment = Attachment("net", each, "eth0")
            found += [attachment.host_veth] if attachment.host_veth in links else []
            found += self.host.run(
                ["find", "/run/linkspan", "-name", f"{attachment.key}*"], check=False
            ).stdout.split()
        return [name for name in found if not name.startswith("lease-") or name[6:] in container_ids]

    @contextmanager
    def resident(self, *, hung: float = 100.0, before: str = "") -> Iterator[int]:
        """A resident; its master's process id."""
        code = RESIDENT.format(before=before, hung=hung)
        running = self.host.popen([sys.executable, "-c", code], env={"PATH": ours.PATH})
        try:
            until(
                lambda: self.host.run(["ls", "/run/linkspan"], check=False).stdout != "", "the state folder"
            )
            until(lambda: len(workers(running.pid)) == 4 and self._listens(), "the resident")
            yield running.pid
        finally:
            for pid in (running.pid, *workers(running.pid)):
                _signal(pid, signal.SIGCONT)
                _signal(pid, signal.SIGKILL)
            running.wait(10)

    def _listens(self) -> bool:
        return "resident.sock" in self.host.run(["find", "/run/linkspan", "-name", "resident.sock"]).stdout


def answer(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """The exit status and the JSON on stdout of a call; it has 20 seconds."""
    stdout, _ = process.communicate(timeout=20)
    return process.returncode, json.loads(stdout) if stdout else {}


def workers(master: int) -> list[int]:
    """The workers of a master, which also has children that look after rules and links for a moment."""
    try:
        with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as file:
            return [pid for pid in map(int, file.read().split()) if _command(pid) == "linkspan worker"]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def lives(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@pytest.fixture(params=["native", "python"])
def stage(host: PrivateHost, request: pytest.FixtureRequest) -> Stage:
    return Stage(host, request.param)


def busy_worker(stage: Stage, master: int, container_id: str = "c1") -> int:
    """The worker that is in the spy's call for a container."""
    lines = [line.split() for line in stage.host.read("/run/spy/log").splitlines()]
    (parent,) = {int(pid) for what, _, who, pid in lines if (what, who) == ("begin", container_id)}
    assert parent in workers(master)
    return parent


# --- the resident is not there for us ----------------------------------------------------------------------------


def test_a_call_that_finds_a_resident_is_served_by_a_worker(stage: Stage) -> None:
    with stage.resident() as master:
        status, result = stage.call("ADD")
        assert (status, stage.parents() <= set(workers(master))) == (0, True), result


def test_no_call_is_lost_while_workers_make_place_for_fresh_ones(stage: Stage) -> None:
    names = [f"c{number}" for number in range(16)]
    with stage.resident(before="from linkspan.workers import worker\nworker.CALLS = 1") as master:
        first = set(workers(master))
        for verb in ("ADD", "DEL"):
            answers = [answer(each) for each in [stage.start(verb, name) for name in names]]
            assert [status for status, _ in answers] == [0] * len(names), answers
        assert not first & set(workers(master))
    assert stage.left(*names) == []


def test_a_stopped_resident_costs_a_moment_and_never_runs_the_call_late(stage: Stage) -> None:
    with stage.resident() as master:
        os.kill(master, signal.SIGSTOP)
        status, result = stage.call("ADD")
        os.kill(master, signal.SIGCONT)
        assert (status, stage.call("DEL")[0]) == (0, 0), result
        assert (stage.log(), stage.left("c1")) == (["ADD", "DEL"], [])


def test_a_resident_stopped_behind_its_greeting_answers_when_it_goes_on(stage: Stage) -> None:
    """The call is handed over: whoever waits then waits, and it is carried out once."""
    with stage.resident() as master:
        stage.hold("ADD")
        call = stage.start("ADD")
        stage.begun("ADD")
        worker = busy_worker(stage, master)
        for pid in (worker, master):
            os.kill(pid, signal.SIGSTOP)
        stage.release("ADD")
        until(lambda: stage.log("end") == ["ADD"], "the spy to end")
        waiting = call.poll() is None
        for pid in (worker, master):
            os.kill(pid, signal.SIGCONT)
        assert (waiting, answer(call)[0], stage.log()) == (True, 0, ["ADD"])


GREETINGS = {
    "another build": "real = protocol.greeting\nprotocol.greeting = lambda: real().replace(protocol.build().encode(), b'1.2.3.4')",
    "another network namespace": "real = protocol.greeting\nprotocol.greeting = lambda: real().replace(b'net:[', b'net:[9')",
    "another mount namespace": "real = protocol.greeting\nprotocol.greeting = lambda: real().replace(b'mnt:[', b'mnt:[9')",
    "no greeting": "protocol.greeting = lambda: b''",
}  # fmt: skip


@pytest.mark.parametrize("greeting", GREETINGS)
def test_a_resident_that_greets_as_another_is_left_alone(stage: Stage, greeting: str) -> None:
    with stage.resident(before=GREETINGS[greeting]) as master:
        everybody = {master, *workers(master)}
        status, result = stage.call("ADD")
        assert status == 0, result
        assert stage.parents().isdisjoint(everybody)
        assert stage.log() == ["ADD"]


def test_a_launcher_in_another_network_namespace_works_there_and_not_here(stage: Stage) -> None:
    with stage.resident() as master:
        stage.host.add_netns("other-host")
        stage.host.add_netns("c1")
        env = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": "/run/netns/c1",
            "CNI_IFNAME": "eth0",
        }
        done = stage.host.run(
            [f"{ours.BIN}/bridge"],
            env={**env, "CNI_PATH": f"{ours.BIN}:/opt/cni/spy", "PATH": ours.PATH},
            input=json.dumps(CONFIG),
            netns="other-host",
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert ("br0" in stage.host.links("other-host"), "br0" in stage.host.links()) == (True, False)
        assert stage.parents().isdisjoint(workers(master))


# --- somebody dies ----------------------------------------------------------------------------------------------


def test_a_hung_worker_is_dead_before_its_caller_hears_of_it(stage: Stage) -> None:
    with stage.resident(hung=0.5) as master:
        stage.hold("ADD")
        call = stage.start("ADD")
        stage.begun("ADD")
        worker = busy_worker(stage, master)
        status, error = answer(call)
        assert (status, error["code"], lives(worker)) == (1, 11, False)
        until(lambda: len(workers(master)) == 4, "a fresh worker")


def test_what_hangs_below_a_hung_worker_dies_with_it_and_the_next_call_is_not_kept_waiting(
    stage: Stage,
) -> None:
    """The hung program would keep the attachment's lock, and the caller's stderr open."""
    with stage.resident(hung=0.5):
        stage.hold("ADD")
        assert stage.call("ADD")[1]["code"] == 11
        assert stage.call("DEL")[0] == 0
        assert (stage.log("end"), stage.left("c1")) == (["DEL"], [])


def test_what_a_dead_add_still_has_running_ends_with_its_worker_and_del_takes_it_back(stage: Stage) -> None:
    with stage.resident() as master:
        stage.hold("ADD")
        call = stage.start("ADD")
        stage.begun("ADD")
        os.kill(busy_worker(stage, master), signal.SIGKILL)
        status, error = answer(call)
        assert (status, error["code"]) == (1, 11)
        assert (stage.call("DEL")[0], stage.log("end"), stage.left("c1")) == (0, ["DEL"], [])


def test_del_waits_for_what_a_dead_resident_still_has_running_and_takes_it_back(stage: Stage) -> None:
    """The spy outlives all that called it, and makes its lease afterwards: the DEL comes behind it."""
    with stage.resident() as master:
        stage.hold("ADD")
        call = stage.start("ADD")
        stage.begun("ADD")
        for pid in (master, *workers(master)):
            _signal(pid, signal.SIGKILL)
        status, error = answer(call)
        assert (status, error["code"]) == (1, 11)
        detach = stage.start("DEL")
        time.sleep(0.3)
        assert stage.log() == ["ADD"], "DEL overtook the ADD's program"
        stage.release("ADD")
        assert answer(detach)[0] == 0
        assert (stage.log("end"), stage.left("c1")) == (["ADD", "DEL"], [])


#: A master that starts no workers for calls that wait.
NO_RELIEF = "from linkspan.workers import master\nmaster.MOST = 0"


def test_workers_that_hung_hand_on_the_calls_that_wait_behind_them(stage: Stage) -> None:
    with stage.resident(hung=1.0, before=NO_RELIEF) as master:
        assert stage.call("ADD", "good")[0] == 0
        hung = hang(stage, master)
        assert answer(stage.start("DEL", "good"))[0] == 0
        assert [answer(each)[1]["code"] for each in hung] == [11] * 4
        until(lambda: len(workers(master)) == 4, "fresh workers")


def test_a_call_waits_for_no_call_that_hangs(stage: Stage) -> None:
    with stage.resident() as master:
        assert stage.call("ADD", "good")[0] == 0
        hung = hang(stage, master)
        assert answer(stage.start("DEL", "good"))[0] == 0
        assert [each.poll() for each in hung] == [None] * 4
        for number in range(4):
            stage.release("ADD", f"hung{number}")
        assert [answer(each)[0] for each in hung] == [0] * 4
        until(lambda: len(workers(master)) == 4, "the additional worker to leave")


def hang(stage: Stage, master: int) -> list[subprocess.Popen[str]]:
    """Keep every worker busy with an ADD of hung0 to hung3."""
    names = [f"hung{number}" for number in range(len(workers(master)))]
    for name in names:
        stage.hold("ADD", name)
    calls = [stage.start("ADD", name) for name in names]
    for name in names:
        stage.begun("ADD", name)
    return calls


#: Workers that die as soon as they are given a call, {place} they have read of it, as often as {times}.
DYING = """
import os
from linkspan.workers import worker

def dying(real):
    def act(connection, *arguments):
        done = real(connection, *arguments) if "{place}" == "after" else None
        with open("/run/spy/deaths", "ab", buffering=0) as deaths:
            deaths.write(b".")
            if deaths.tell() <= {times}:
                os.kill(os.getpid(), 9)
        return done if "{place}" == "after" else real(connection, *arguments)
    return act

worker._receive = dying(worker._receive)
"""


@pytest.mark.parametrize(
    ("place", "times", "code", "begun"),
    [("before", 2, 0, ["ADD"]), ("before", 3, 11, []), ("after", 1, 11, [])],
)
def test_a_call_that_a_dying_worker_had_not_begun_is_begun_elsewhere_and_never_twice(
    stage: Stage, place: str, times: int, code: int, begun: list[str]
) -> None:
    with stage.resident(before=DYING.format(place=place, times=times)):
        _, result = stage.call("ADD")
        assert (result.get("code", 0), stage.log()) == (code, begun), result


#: An executable with other patience.
IMPATIENT = """
from linkspan.launch import interpreter
interpreter.enable_site_packages()
from linkspan.host.linux import patience
patience.CALL = patience.LEAST = 1.0
from linkspan.launch.launcher import main
main("bridge")
"""


@pytest.mark.parametrize("form", ["resident", "standalone"])
def test_a_delegate_that_hangs_is_ended_and_named(host: PrivateHost, form: str) -> None:
    stage = Stage(host, "python")
    stage.hold("ADD")
    stage.hold("DEL")
    if form == "resident":
        shorter = "from linkspan.host.linux import patience\npatience.CALL = patience.LEAST = 1.0"
        with stage.resident(before=shorter):
            failed = [stage.call(verb)[1] for verb in ("ADD", "DEL")]
    else:
        stage.host.write(f"{ours.BIN}/bridge", f"#!{sys.executable}\n{IMPATIENT}", mode=0o755)
        failed = [stage.call(verb, LINKSPAN_STANDALONE="1")[1] for verb in ("ADD", "DEL")]
    assert [(each["code"], each["msg"]) for each in failed] == [
        (11, "spy did not end within 1 s and was killed")
    ] * 2
    assert "find out why /opt/cni/spy/spy hangs, then repeat the call" in failed[0]["details"]
    assert (stage.log("end"), stage.left("c1")) == ([], [])
    for verb in ("ADD", "DEL"):
        stage.release(verb)
    alone = {"LINKSPAN_STANDALONE": "1"}
    assert (stage.call("DEL", **alone)[0], stage.call("ADD", **alone)[0]) == (0, 0)


def test_a_master_that_dies_leaves_its_workers_to_finish(stage: Stage) -> None:
    with stage.resident() as master:
        stage.hold("ADD")
        call = stage.start("ADD")
        stage.begun("ADD")
        serving = workers(master)
        os.kill(master, signal.SIGKILL)
        stage.release("ADD")
        status, result = answer(call)
        assert (status, stage.log()) == (0, ["ADD"]), result
        until(lambda: not any(map(lives, serving)), "the workers to leave")
        assert (stage.call("DEL")[0], stage.left("c1")) == (0, [])


def test_an_attachment_can_be_used_again_whoever_died(stage: Stage) -> None:
    """No lock is held by the dead: ADD and DEL go through within their twenty seconds, with a resident and alone."""
    with stage.resident() as master:
        for number in range(3):
            stage.hold("ADD")
            call = stage.start("ADD")
            until(
                lambda: stage.log()[-1:] == ["ADD"] and len(stage.log()) > len(stage.log("end")),
                "the spy to begin",
            )
            last = [line.split() for line in stage.host.read("/run/spy/log").splitlines()][-1]
            os.kill(int(last[3]), signal.SIGKILL)
            stage.release("ADD")
            answer(call)
            alone = {"LINKSPAN_STANDALONE": "alone"} if number % 2 else {}
            assert stage.call("DEL", **alone)[0] == 0
        assert len(workers(master)) == 4
        assert stage.call("ADD")[0] == 0


@pytest.mark.parametrize("env", [{}, {"LINKSPAN_STANDALONE": "alone"}], ids=["resident", "standalone"])
def test_a_launcher_that_is_killed_in_add_is_followed_by_a_del_that_finds_nothing_later(
    stage: Stage, env: Mapping[str, str]
) -> None:
    with stage.resident():
        stage.hold("ADD")
        call = stage.start("ADD", **env)
        stage.begun("ADD")
        call.kill()
        call.wait()
        detach = stage.start("DEL", **env)
        time.sleep(0.2)
        stage.release("ADD")
        assert answer(detach)[0] == 0
        until(lambda: len(stage.log()) == len(stage.log("end")), "everything to end")
        assert (stage.log().count("ADD"), stage.log()[-1], stage.left("c1")) == (1, "DEL", [])


def test_an_add_whose_launcher_died_while_every_worker_was_busy_is_never_begun(stage: Stage) -> None:
    with stage.resident(before=NO_RELIEF) as master:
        names = [f"busy{number}" for number in range(len(workers(master)))]
        for name in names:
            stage.hold("ADD", name)
        busy = [stage.start("ADD", name) for name in names]
        for name in names:
            stage.begun("ADD", name)
        late = [stage.start("ADD", f"late{number}") for number in range(3)]
        time.sleep(0.5)
        for each in late:
            each.kill()
            each.wait()
        detach = [stage.start("DEL", f"late{number}") for number in range(3)]
        for name in names:
            stage.release("ADD", name)
        assert [answer(each)[0] for each in (*detach, *busy)] == [0] * 7
        assert [stage.log("begin", f"late{number}") for number in range(3)] == [["DEL"]] * 3
        assert stage.left("late0", "late1", "late2") == []


# --- the same attachment again ------------------------------------------------------------------------------------


@pytest.mark.parametrize("env", [{}, {"LINKSPAN_STANDALONE": "alone"}], ids=["resident", "standalone"])
def test_add_again_is_a_clear_error_and_the_first_goes_on_working(
    stage: Stage, env: Mapping[str, str]
) -> None:
    with stage.resident():
        assert stage.call("ADD", **env)[0] == 0
        status, error = stage.call("ADD", **env)
        assert (status, error["code"]) == (1, 105)
        stage.host.run(["ping", "-c1", "-W2", "10.5.0.1"], netns="c1")


def test_add_into_a_new_namespace_while_the_old_link_lives_is_told_and_works_after_del(stage: Stage) -> None:
    """The old namespace is kept alive by a process, so the pair of the attachment's name is still there."""
    assert stage.call("ADD")[0] == 0
    keeper = stage.host.popen(["sleep", "60"], netns="c1")
    until(lambda: lives(keeper.pid), "the keeper")
    time.sleep(0.1)
    stage.host.del_netns("c1")
    status, error = stage.call("ADD")
    assert (status, error["code"]) == (1, 105)
    assert "DEL it first" in error["details"]
    assert (stage.call("DEL")[0], stage.call("ADD")[0]) == (0, 0)
    stage.host.run(["ping", "-c1", "-W2", "10.5.0.1"], netns="c1")


def test_twenty_adds_of_one_attachment_make_one(stage: Stage) -> None:
    with stage.resident():
        stage.host.add_netns("c1")
        calls = [
            stage.start("ADD", **({"LINKSPAN_STANDALONE": "alone"} if number % 4 == 0 else {}))
            for number in range(20)
        ]
        codes = sorted(answer(each)[1].get("code", 0) for each in calls)
        assert codes == [0, *[105] * 19]
        stage.host.run(["ping", "-c1", "-W2", "10.5.0.1"], netns="c1")
