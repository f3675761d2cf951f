"""ADD, DEL and VERSION of a whole chain, ours and the reference plugins alternately in one private host: `./dev bench`.

The chain is bridge (ipMasq), host-local and portmap with one published port; a second one adds firewall (ingressPolicy same-bridge) and
tuning, as nerdctl and podman write it; ours also with dns. Every round runs every arm once, in a new order, so that whatever else the
machine does falls on all of them. Figures are milliseconds of a whole chain as a runtime feels them: processes started one after
another, from exec to exit. Each arm is compared with the reference's default back end (iptables) on the same chain; there is no dns
plugin to compare with, so those arms carry one plugin more than what they are measured against.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.harness import tools
from tests.harness.chain import Attachment, Chain
from tests.harness.privatehost import PrivateHost

#: Our executables as `linkspan install` writes them where a C compiler is, and as it writes them elsewhere.
OURS, SCRIPTS = "/opt/cni/bin", "/opt/cni/scripts"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VERBS = ("ADD", "DEL", "VERSION")
#: Behind bridge and portmap: what a runtime adds to a list, and our name service.
LONG, NAMES = ("firewall", "tuning"), ("dns",)


@dataclass(frozen=True)
class Arm:
    """One way to run the chain: which executables, which netfilter back end, and whether a resident may answer."""

    name: str
    cni_path: str
    backend: str
    resident: bool = False
    more: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        """The arm this one is compared with."""
        return _name("reference iptables", tuple(each for each in self.more if each != "dns"))

    @property
    def env(self) -> Mapping[str, str]:
        """What the plugins find in their environment besides CNI_*."""
        return (
            {"PATH": PATH}
            if self.resident or self.name.startswith("reference")
            else {"PATH": PATH, "LINKSPAN_STANDALONE": "alone"}
        )


def arms(reference: str) -> list[Arm]:
    """Every arm; the reference comes with both of its back ends too."""
    both = ("iptables", "nftables")
    ours = [("resident", OURS, backend, more) for more in ((), NAMES, LONG) for backend in both]
    ours += [("resident, scripts", SCRIPTS, backend, ()) for backend in both]
    ours += [("standalone", OURS, backend, ()) for backend in both]
    return [
        *(Arm(_name(f"reference {each}"), reference, each) for each in both),
        Arm(_name("reference iptables", LONG), reference, "iptables", more=LONG),
        *(
            Arm(_name(f"{how} {backend}", more), folder, backend, resident=how != "standalone", more=more)
            for how, folder, backend, more in ours
        ),
    ]


def _name(start: str, more: tuple[str, ...] = ()) -> str:
    return " + ".join((start, *more))


def conflist(arm: Arm, index: int) -> dict[str, Any]:
    """The arm's network list: a bridge and a subnet of its own, the same keys for everybody."""
    ranges = [[{"subnet": f"10.{100 + index}.0.0/16"}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {
        "type": "bridge",
        "bridge": f"bench{index}",
        "isGateway": True,
        "ipMasq": True,
        "ipMasqBackend": arm.backend,
        "ipam": ipam,
    }
    portmap = {"type": "portmap", "backend": arm.backend, "capabilities": {"portMappings": True}}
    keys = {"firewall": {"backend": arm.backend, "ingressPolicy": "same-bridge"}}
    plugins = [bridge, portmap, *({"type": each, **keys.get(each, {})} for each in arm.more)]
    return {"cniVersion": "1.0.0", "name": f"bench{index}", "plugins": plugins}


class Bench:
    """The arms in one host, and what they took: (arm, verb) -> milliseconds, one for each round."""

    def __init__(self, host: PrivateHost, every: Sequence[Arm]) -> None:
        self.arms = every
        self.taken: dict[tuple[str, str], list[float]] = {
            (arm.name, verb): [] for arm in every for verb in VERBS
        }
        self._host = host
        self._chains = {
            arm.name: Chain(conflist(arm, index), arm.cni_path, env=arm.env, cwd="/")
            for index, arm in enumerate(every)
        }
        self._netns = {arm.name: host.add_netns(f"bench{index}") for index, arm in enumerate(every)}
        self._ports = {arm.name: 20000 + index for index, arm in enumerate(every)}

    def round(self, number: int, *, count: bool) -> None:
        """Every arm once, in a random order. Must run inside the host's namespaces."""
        for arm in random.sample(list(self.arms), len(self.arms)):
            self._once(arm, number, count=count)

    def populate(self, arm: Arm, containers: int) -> None:
        """Leave `containers` attachments of an arm in place (they share one container's namespace, each its own interface)."""
        chain = self._chains[arm.name]
        for number in range(containers):
            chain.add(self._attachment(arm, f"stay{number}", f"s{number}", 30000 + number))

    def _once(self, arm: Arm, number: int, *, count: bool) -> None:
        chain, attachment = (
            self._chains[arm.name],
            self._attachment(arm, f"c{number}", "eth0", self._ports[arm.name]),
        )
        steps = {
            "ADD": lambda: chain.add(attachment),
            "DEL": lambda: chain.delete(attachment),
            "VERSION": chain.versions,
        }
        for verb in VERBS:
            started = time.perf_counter()
            steps[verb]()
            if count:
                self.taken[arm.name, verb].append((time.perf_counter() - started) * 1000)

    def _attachment(self, arm: Arm, container_id: str, ifname: str, port: int) -> Attachment:
        mapping = {"hostPort": port, "containerPort": 80, "protocol": "tcp"}
        return Attachment(container_id, self._netns[arm.name], ifname, "", {"portMappings": [mapping]})


def report(bench: Bench) -> list[dict[str, Any]]:
    """One row for each arm and verb: median, quartiles and the ratio to the reference's median (below 1 is faster)."""
    rows = []
    bases = {arm.name: arm.base for arm in bench.arms}
    for (arm, verb), taken in bench.taken.items():
        low, median, high = statistics.quantiles(taken, n=4)
        base = statistics.median(bench.taken[bases[arm], verb])
        rows.append(
            {"arm": arm, "verb": verb, "median": round(median, 2), "quartiles": [round(low, 2), round(high, 2)],
             "ratio": round(median / base, 3), "rounds": len(taken)}
        )  # fmt: skip
    return rows


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows as a table."""
    print(f"{'arm':<42}{'verb':<9}{'median ms':>10}{'quartiles':>20}{'of reference':>14}")
    for row in rows:
        low, high = row["quartiles"]
        print(
            f"{row['arm']:<42}{row['verb']:<9}{row['median']:>10.1f}{f'{low:.1f} .. {high:.1f}':>20}{row['ratio']:>13.2f}x"
        )


@contextmanager
def with_resident(host: PrivateHost) -> Iterator[None]:
    """A resident in the host while the benchmark runs."""
    linkspan = [sys.executable, "-m", "linkspan.cli.main"]
    for folder, launcher in ((OURS, "native"), (SCRIPTS, "python")):
        host.run([*linkspan, "install", "--bin-dir", folder, "--launcher", launcher])
    host.run([*linkspan, "resident", "start"])
    yield
    host.run([*linkspan, "resident", "stop"])


def main() -> int:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="rounds that count (three more warm up)")
    parser.add_argument(
        "--containers", type=int, default=0, help="attachments of each arm that stay in place meanwhile"
    )
    parser.add_argument("--json", default="bench.json", help="where the figures go")
    options = parser.parse_args()
    every = arms(tools.reference_plugins())
    with PrivateHost() as host, with_resident(host):
        bench = Bench(host, every)
        with host.entered():
            for arm in every:
                bench.populate(arm, options.containers)
            for number in range(options.rounds + 3):
                bench.round(number, count=number >= 3)
    rows = report(bench)
    show(rows)
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump({"rounds": options.rounds, "containers": options.containers, "rows": rows}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
