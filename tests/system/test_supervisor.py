"""The supervisor keeps the services, they keep it, and what somebody removes of our rules comes back by itself."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import combinations

import pytest

from linkspan import paths
from tests.harness import ours, services
from tests.harness.legacy import use_legacy_iptables
from tests.harness.patience import until
from tests.harness.privatehost import HOST_V4, OUTSIDE, PrivateHost
from tests.harness.services import NAMES, PORTS, SUPERVISOR, WORKER
from tests.harness.world import Box, World, published, world_of

pytestmark = pytest.mark.root

#: Seconds in which what is measured in tenths must have happened on a loaded machine.
GENEROUS = 5.0
NFT_FLUSHES = (
    "nft flush ruleset",
    "nft delete table inet linkspan",
    "nft flush table inet linkspan",
    "nft flush map inet linkspan ports4",
    "nft flush chain inet linkspan guard_loopback",
)
IPTABLES_FLUSHES = (
    "iptables -t nat -F",
    "iptables -t nat -F; iptables -t nat -X",
    "iptables -F FORWARD; iptables -t raw -F",
    "nft flush ruleset",
)
#: Deletes a table every 50 ms for so many seconds.
CONTEST = r"""
import subprocess, sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    subprocess.run(["nft", "delete table inet linkspan"], stderr=subprocess.DEVNULL)
    time.sleep(0.05)
"""


def named(world: World, box: Box) -> None:
    """Have a container's name answered."""
    config = {"cniVersion": "1.1.0", "name": box.network, "type": "dns", "prevResult": box.result}
    world.call("dns", "ADD", box, config)


@contextmanager
def supervised(host: PrivateHost, backend: str = "nftables") -> Iterator[World]:
    """A world with a supervisor that watches, and no service at the end."""
    with world_of(host, backend=backend) as world:
        ours.linkspan(host, "resident", "start")
        until(lambda: "rules: watched" in status(host), "the supervisor to watch")
        try:
            yield world
        finally:
            ours.linkspan(host, "resident", "stop")
            with suppress(ProcessLookupError):
                for name in (NAMES, PORTS):
                    services.kill(host, *(each for each in services.services(host).values() if each == name))


def status(host: PrivateHost) -> str:
    return str(host.run([*ours.COMMAND, "resident", "status"], check=False).stdout)


def log(host: PrivateHost) -> str:
    with host.entered():
        path = paths.log(paths.state_dir(), paths.WORKERS)
    return host.read(path)


def ruleset(world: World) -> Counter[str]:
    lines = world.rules("nft", "--stateless", "list", "ruleset").splitlines()
    return Counter(line.strip().rstrip(",") for line in lines if line.strip())


def is_back(world: World, before: Counter[str]) -> bool:
    """Whether everything is there again; a flush by iptables makes tables."""
    return not before - ruleset(world)


def seconds(true: Callable[[], bool], what: str) -> float:
    begun = time.monotonic()
    until(true, what, GENEROUS)
    return time.monotonic() - begun


# --- services -----------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(host: PrivateHost) -> Iterator[World]:
    """A world whose container needs the name server and the ports process."""
    with supervised(host) as world:
        web = world.box("web", ports=[published(8080)], localhost="relay")
        named(world, web)
        complete = {SUPERVISOR: 1, WORKER: 4, NAMES: 1, PORTS: 1}
        until(lambda: services.count(host) == complete, "every service")
        until(lambda: f"{NAMES}: process" in status(host), "the supervisor to know the name server")
        yield world


VICTIMS = [
    *((each,) for each in (SUPERVISOR, NAMES, PORTS)),
    *combinations((SUPERVISOR, NAMES, PORTS), 2),
    (SUPERVISOR, NAMES, PORTS),
]


@pytest.mark.parametrize("victims", VICTIMS, ids=" and ".join)
def test_what_is_killed_is_back_without_a_call(
    kept: World, victims: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    before = {name: services.pid_of(kept.host, name) for name in victims}
    services.kill(kept.host, *victims)
    record_property("seconds", services.seconds_until_back(kept.host, before))
    complete = {SUPERVISOR: 1, WORKER: 4, NAMES: 1, PORTS: 1}
    until(lambda: services.count(kept.host) == complete, "every service, once")
    until(lambda: f"{PORTS}: process" in status(kept.host), "the supervisor to keep them again")


def test_an_orderly_stop_is_not_undone(kept: World) -> None:
    ours.linkspan(kept.host, "resident", "stop")
    services.kill(kept.host, NAMES, number=signal.SIGTERM)
    time.sleep(2.0)
    assert services.count(kept.host) == {PORTS: 1}


def test_a_service_that_nobody_needs_is_not_started_again(kept: World) -> None:
    web = Box("web", "/run/netns/web", "net1", "eth0", {})
    kept.call("dns", "DEL", web, {"cniVersion": "1.1.0", "name": "net1", "type": "dns"})
    services.kill(kept.host, NAMES)
    time.sleep(1.5)
    assert NAMES not in services.count(kept.host)


def test_standalone_calls_start_a_supervisor_without_workers_until_one_is_asked_for(
    host: PrivateHost,
) -> None:
    with world_of(host):
        for name, env in (
            ("a", {"LINKSPAN_STANDALONE": "1"}),
            ("b", {"LINKSPAN_STANDALONE": "alone"}),
            ("c", {}),
        ):
            add(host, name, env)
            expected = {SUPERVISOR: 1} if name != "c" else {SUPERVISOR: 1, WORKER: 4}
            until(partial(_are, host, expected), f"the services after {name}")
        ours.linkspan(host, "resident", "stop")


def _are(host: PrivateHost, expected: dict[str, int]) -> bool:
    return services.count(host) == expected


def test_alone_starts_nothing(host: PrivateHost) -> None:
    with world_of(host):
        add(host, "a", {"LINKSPAN_STANDALONE": "alone"})
        time.sleep(1.0)
        assert services.count(host) == {}


def add(host: PrivateHost, name: str, env: dict[str, str]) -> None:
    """ADD by the executable."""
    call = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": name,
        "CNI_NETNS": host.add_netns(name),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": ours.BIN,
        "PATH": ours.PATH,
    }
    config = '{"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0"}'
    host.run([f"{ours.BIN}/bridge"], env={**call, **env}, input=config)


# --- rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "flush"),
    [*(("nftables", each) for each in NFT_FLUSHES), *(("iptables", each) for each in IPTABLES_FLUSHES)],
)
def test_what_is_flushed_is_back_by_itself(
    host: PrivateHost, backend: str, flush: str, record_property: Callable[[str, object], None]
) -> None:
    with supervised(host, backend) as world:
        web = world.box("web", ports=[published(8080)], dropDirectAccess=True)
        world.box("other", network="net2", ports=[published(8081)])
        before = ruleset(world)
        times = []
        for _ in range(3):
            host.run(["sh", "-c", flush])
            times.append(seconds(partial(is_back, world, before), "the rules"))
            time.sleep(4.0)  # three rounds in ten seconds are a contest
        record_property("median", statistics.median(times))
        with world.serving(web):
            assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
        until(lambda: "restored what was missing" in log(host), "the log")


def test_the_loopback_guard_of_every_bridge_comes_first(host: PrivateHost) -> None:
    with supervised(host) as world:
        for number in range(1, 4):
            for each in range(3):
                ports = [published(8000 + 10 * number + each)]
                world.box(f"c{number}{each}", network=f"net{number}", ports=ports)
        monitor = host.popen(["nft", "monitor", "new", "elements"])
        time.sleep(0.3)
        host.run(["nft", "flush", "ruleset"])
        until(lambda: "localnet" in str(host.run(["nft", "list", "ruleset"]).stdout), "the table")
        time.sleep(1.0)
        monitor.terminate()
        announced = monitor.communicate()[0].splitlines()
        sets = [line.split()[4] for line in announced if line.startswith("add element inet linkspan")]
        assert sets[:3] == ["localnet"] * 3
        assert "ports4" in sets[3:]


def test_own_calls_cause_no_restoring(host: PrivateHost) -> None:
    with supervised(host) as world:
        for number in range(10):
            box = world.box(f"c{number}", ports=[published(8000 + number)])
            world.remove(box)
        time.sleep(1.0)
        assert "restored 0 times" in status(host)


def test_a_contest_is_damped_and_reported(host: PrivateHost) -> None:
    with supervised(host) as world:
        world.box("web", ports=[published(8080)])
        before = ruleset(world)
        pid = services.pid_of(host, SUPERVISOR)
        host.run([sys.executable, "-c", CONTEST, "12"])
        said = status(host)
        assert "contest: nft (pid" in said
        assert "removes them again and again" in log(host)
        restored = int(said.split("restored ")[1].split()[0])
        assert 3 <= restored <= 12
        until(partial(is_back, world, before), "the end of the contest", 40.0)
        assert services.pid_of(host, SUPERVISOR) == pid


@pytest.mark.parametrize(
    ("command", "noticed"),
    [
        ("ip address delete 10.1.0.1/24 dev br-net1", "br-net1 is missing the gateway address 10.1.0.1"),
        ("sysctl -qw net.ipv4.ip_forward=0", "the host does not route IPv4: net.ipv4.ip_forward is 0"),
        ("ip link delete br-net1", "the bridge br-net1 is missing"),
    ],
)
def test_what_may_be_intended_is_only_reported(host: PrivateHost, command: str, noticed: str) -> None:
    with supervised(host) as world:
        world.box("web")
        host.run(["sh", "-c", command])
        until(lambda: f"noticed: {noticed}" in status(host), "the notice")
        assert noticed in log(host)
        ours.linkspan(host, "reload")
        until(lambda: "noticed" not in status(host), "the end of the notice", 15.0)


def test_a_supervisor_with_attachments_does_not_leave_for_idleness(host: PrivateHost) -> None:
    code = (
        "from linkspan.workers.master import Master\nfrom linkspan.daemon.services import RESIDENT\n"
        "assert RESIDENT.begin()\nMaster(RESIDENT.socket, idle=0.5).run()\n"
    )
    with world_of(host) as world:
        box = world.box("web")
        running = host.popen([sys.executable, "-c", code], env={"PATH": ours.PATH}, stderr=subprocess.DEVNULL)
        time.sleep(3.0)
        assert running.poll() is None
        world.remove(box)
        assert running.wait(10) == 0


def test_rules_of_iptables_legacy_are_back_within_seconds(
    host: PrivateHost, record_property: Callable[[str, object], None]
) -> None:
    use_legacy_iptables(host)
    with supervised(host, "iptables") as world:
        web = world.box("web", ports=[published(8080)])
        time.sleep(1.5)
        host.run(["iptables", "-t", "nat", "-F"])
        taken = seconds(lambda: "--dport 8080" in world.rules("iptables-save", "-t", "nat"), "the rules")
        record_property("seconds", taken)
        with world.serving(web):
            assert world.asks(OUTSIDE, HOST_V4, 8080) == "web"
