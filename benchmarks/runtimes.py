"""What the plugins cost within real runtimes, and what Docker's own network costs: `./dev bench --runtimes`.

The first table is a whole command as a user types it, with ours (and a resident) and with the reference plugins: one private host for
each, asked in turn, in a new order every round. Lists are the runtimes' own where they write one (nerdctl, podman), else bridge,
host-local and portmap on iptables, the same text for both. `ctr run` is timed from start to end, DEL included, the others until the container runs.

The second table has the real Docker engine and ours on one host, with none and with many containers beside: a running container joins a
second network and leaves it again, and what a network with a published port adds to the start of a container. For Docker that is the difference
between starts with and without a network; for us it is the ADD, which is all that a runtime waits for. All figures are milliseconds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.harness import ours, tools
from tests.harness.chain import Attachment, Chain
from tests.harness.containerd import BOX, Containerd
from tests.harness.crictl import PAUSE, POD_NAMESPACE, Crictl
from tests.harness.docker import Docker
from tests.harness.image import write_image
from tests.harness.nerdctl import Nerdctl
from tests.harness.podman import Podman
from tests.harness.privatehost import PrivateHost

ARMS = ("reference", "ours")
WARM_UP = 2
PORT, SLEEP = 18080, ("sleep", "1000000")


@dataclass(frozen=True)
class Case:
    """What is timed, and what clears up after it."""

    start: Callable[[], object]
    clear: Callable[[], object] = lambda: None


Runtime = Callable[[PrivateHost, str], AbstractContextManager[Case]]
"""Makes the case of a runtime in a host that has plugins, with the image in an archive."""


# --- runtimes with either suite ------------------------------------------------------------------------------------


@contextmanager
def nerdctl(host: PrivateHost, archive: str) -> Iterator[Case]:
    """`nerdctl run -d -p` on a network of its own making: bridge, portmap, firewall and tuning."""
    with Containerd(host, tools.containerd24(), tools.runc()) as containerd:
        containerd.load(archive)
        with Nerdctl(containerd, tools.nerdctl()) as driven:
            driven.run("network", "create", "bench", "--subnet", "10.5.0.0/24")
            options = ("--network", "bench", "--publish", f"{PORT}:80")
            yield Case(
                partial(driven.start, "box", *options, command=SLEEP),
                partial(driven.run, "rm", "--force", "box"),
            )


@contextmanager
def ctr(host: PrivateHost, archive: str) -> Iterator[Case]:
    """`ctr run --rm --cni`."""
    _write_list(host)
    with Containerd(host, tools.containerd24(), tools.runc()) as containerd:
        containerd.load(archive)
        yield Case(partial(containerd.run_container, "box", ["true"]))


@contextmanager
def crictl(host: PrivateHost, archive: str) -> Iterator[Case]:
    """`crictl runp` with a host port."""
    _write_list(host)
    with Containerd(host, tools.containerd24(), tools.runc(), namespace=POD_NAMESPACE) as containerd:
        containerd.load(archive)
        cri, pods = Crictl(containerd, tools.crictl()), list[str]()
        ports = [{"host_port": PORT, "container_port": 80}]

        def clear() -> None:
            pod = pods.pop()
            cri.stop(pod)
            cri.remove(pod)

        yield Case(lambda: pods.append(cri.run_pod("box", ports=ports)), clear)


@contextmanager
def podman(host: PrivateHost, archive: str) -> Iterator[Case]:
    """`podman run -d -p` on a network of its own making, without names, which the reference suite has none for."""
    with Podman(host, tools.podman(), tools.runc()) as driven:
        driven.run("load", "--input", archive)
        driven.run("network", "create", "--disable-dns", "bench")
        options = ("--network", "bench", "--publish", f"{PORT}:80")
        yield Case(
            partial(driven.start, "box", *options, image=BOX, command=SLEEP),
            partial(driven.run, "rm", "--force", "--time", "0", "box"),
        )


RUNTIMES: Mapping[str, Runtime] = {
    "nerdctl run -d -p": nerdctl,
    "ctr run --cni": ctr,
    "crictl runp": crictl,
    "podman run -d -p": podman,
}


def _write_list(host: PrivateHost) -> None:
    """The network for runtimes that make none themselves."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.6.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "bench0", "isGateway": True, "ipMasq": True, "ipam": ipam}
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    conflist = {"cniVersion": "1.0.0", "name": "bench", "plugins": plugins}
    host.write("/etc/cni/net.d/10-bench.conflist", json.dumps(conflist))


@contextmanager
def equipped(arm: str) -> Iterator[PrivateHost]:
    """A host with one suite of plugins in /opt/cni/bin, and nothing of the other."""
    with PrivateHost() as host, ExitStack() as until:
        if arm == "reference":
            host.run(["sh", "-c", f"cp {tools.reference_plugins()}/* {ours.BIN}"])
        else:
            ours.install(host)
            until.enter_context(ours.resident(host))
        yield host


def measure(runtime: Runtime, archive: str, rounds: int) -> dict[str, list[float]]:
    """Arm -> milliseconds of each round of one runtime."""
    taken: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with ExitStack() as until:
        cases = {
            arm: until.enter_context(runtime(until.enter_context(equipped(arm)), archive)) for arm in ARMS
        }
        for number in range(WARM_UP + rounds):
            for arm in random.sample(ARMS, len(ARMS)):
                spent = timed(cases[arm].start)
                cases[arm].clear()
                if number >= WARM_UP:
                    taken[arm].append(spent)
    return taken


def timed(action: Callable[[], object]) -> float:
    """How many milliseconds an action takes."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


# --- the Docker engine and ours ------------------------------------------------------------------------------------

JOIN, LEAVE, PUBLISH = "join a second network", "leave it", "start with a port, less start without network"


class Beside:
    """The Docker engine and our sample network with names on one host, each with `containers` that stay meanwhile."""

    def __init__(self, host: PrivateHost, docker: Docker, containers: int) -> None:
        self.taken: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._host, self._docker = host, docker
        self._chain = Chain(ours.conflist("custom"), ours.BIN, env=ours.RESIDENT, cwd="/")
        self._box = host.add_netns("box")
        for number, name in enumerate(("first", "second")):
            docker.create_network(name, f"172.{30 + number}.0.0/16")
        docker.run("box", SLEEP, network="first")
        for number in range(containers):
            docker.run(f"stay{number}", SLEEP, network="second", ports={80: 21000 + number})
            self._timed_add(self._attachment(f"stay{number}", f"s{number}", 22000 + number))

    def round(self) -> None:
        """Each of them once, Docker and ours in turn."""
        for each in random.sample([self._docker_joins, self._docker_starts, self._ours], 3):
            each()

    def _docker_joins(self) -> None:
        self.taken[JOIN, "docker"].append(timed(partial(self._docker.connect, "second", "box")))
        self.taken[LEAVE, "docker"].append(timed(partial(self._docker.disconnect, "second", "box")))

    def _docker_starts(self) -> None:
        self._docker.create("port", SLEEP, network="second", ports={80: PORT})
        self._docker.create("none", SLEEP, network="none")
        spent = {
            name: timed(partial(self._docker.start, name)) for name in random.sample(("port", "none"), 2)
        }
        self.taken[PUBLISH, "docker"].append(spent["port"] - spent["none"])
        for name in spent:
            self._docker.remove(name)

    def _ours(self) -> None:
        """The same list for both: a network with names, with and without a port."""
        joining, starting = self._attachment("box", "eth1"), self._attachment("port", "eth0", PORT)
        self.taken[JOIN, "ours"].append(self._timed_add(joining))
        self.taken[LEAVE, "ours"].append(self._timed_delete(joining))
        self.taken[PUBLISH, "ours"].append(self._timed_add(starting))
        self._timed_delete(starting)

    def _timed_add(self, attachment: Attachment) -> float:
        with self._host.entered():
            return timed(partial(self._chain.add, attachment))

    def _timed_delete(self, attachment: Attachment) -> float:
        with self._host.entered():
            return timed(partial(self._chain.delete, attachment))

    def _attachment(self, container_id: str, ifname: str, port: int = 0) -> Attachment:
        mappings = [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}] if port else []
        return Attachment(container_id, self._box, ifname, capabilities={"portMappings": mappings})


def measure_docker(archive: str, rounds: int, containers: int) -> dict[tuple[str, str], list[float]]:
    """(what, who) -> milliseconds of each round."""
    with (
        equipped("ours") as host,
        Containerd(host, tools.containerd24(), tools.runc_of_docker()) as containerd,
        Docker(containerd, tools.dockerd()) as docker,
    ):
        docker.load(archive)
        beside = Beside(host, docker, containers)
        for _ in range(WARM_UP):
            beside.round()
        beside.taken.clear()
        for _ in range(rounds):
            beside.round()
        return beside.taken


# --- the tables ----------------------------------------------------------------------------------------------------


def row(what: str, theirs: str, taken: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """One line: medians and quartiles of both, and ours as a part of theirs (below 1 is faster)."""
    line: dict[str, Any] = {"what": what, "theirs": theirs, "rounds": len(taken["ours"])}
    for arm in (theirs, "ours"):
        low, median, high = statistics.quantiles(taken[arm], n=4)
        line[arm] = {"median": round(median, 1), "quartiles": [round(low, 1), round(high, 1)]}
    return {**line, "ratio": round(line["ours"]["median"] / line[theirs]["median"], 3)}


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows as a table."""
    theirs = rows[0]["theirs"]
    print(f"{'':<66}{theirs + ' ms':>14}{'quartiles':>18}{'ours ms':>10}{'quartiles':>18}{'of theirs':>11}")
    for each in rows:
        cells = "".join(_cell(each[arm], width) for arm, width in ((theirs, 14), ("ours", 10)))
        print(f"{each['what']:<66}{cells}{each['ratio']:>10.2f}x", flush=True)


def _cell(figures: Mapping[str, Any], width: int) -> str:
    low, high = figures["quartiles"]
    return f"{figures['median']:>{width}.1f}{f'{low:.1f} .. {high:.1f}':>18}"


def main() -> int:
    """Run both, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(prog="./dev bench --runtimes", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help=f"rounds that count ({WARM_UP} more warm up)")
    parser.add_argument(
        "--containers", type=int, default=100, help="how many stand beside in Docker's second measurement"
    )
    parser.add_argument("--json", default="bench-runtimes.json", help="where the figures go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="linkspan-bench-") as work:
        archive = write_image(f"{work}/box.tar", [BOX, *PAUSE], tools.busybox(), command=SLEEP)
        runtimes = [
            row(name, "reference", measure(each, archive, options.rounds)) for name, each in RUNTIMES.items()
        ]
        show(runtimes)
        docker = [
            line
            for beside in (0, options.containers)
            for line in _docker_rows(archive, options.rounds, beside)
        ]
        show(docker)
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump({"rounds": options.rounds, "runtimes": runtimes, "docker": docker}, file, indent=1)
    return 0


def _docker_rows(archive: str, rounds: int, beside: int) -> list[dict[str, Any]]:
    taken = measure_docker(archive, rounds, beside)
    return [
        row(
            f"{what}, {beside} containers beside",
            "docker",
            {who: taken[what, who] for who in ("docker", "ours")},
        )
        for what in (JOIN, LEAVE, PUBLISH)
    ]


if __name__ == "__main__":
    sys.exit(main())
