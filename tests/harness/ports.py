"""The ports process of a private host, and the rules that redirect to it, without the portmap plugin."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TypeVar

from linkspan.cni.model import Attachment
from linkspan.daemon.services import PORTS, LinuxServices
from linkspan.host.linux import LinuxHost
from linkspan.netfilter import relay
from linkspan.netfilter.relay import RelayedPort
from linkspan.netfilter.rules import Change
from linkspan.ports import client
from linkspan.ports.table import HeldPort
from linkspan.steps import relay as relaying
from tests.harness.patience import until
from tests.harness.privatehost import PrivateHost

T = TypeVar("T")
WEB = Attachment("net", "web", "eth0")


def relayed(
    address: str, port: int = 8080, *, family: int = 4, protocol: str = "tcp", to: int = 80, host_ip: str = ""
) -> RelayedPort:
    """A port of the loopback addresses that leads to a container."""
    return RelayedPort(
        family=6 if family == 6 else 4,
        protocol=protocol,
        host_ip=host_ip,
        host_port=port,
        address=address,
        container_port=to,
    )


class PortsProcess:
    """What a plugin and the command do with the ports process of a host."""

    def __init__(self, host: PrivateHost, backend: str = "nftables") -> None:
        self._host = host
        self._backend = backend

    def relay(self, *ports: RelayedPort, attachment: Attachment = WEB) -> tuple[RelayedPort, ...]:
        """Relay ports, and no others of the attachment."""
        return self._ask(lambda linux: relaying.relay(linux, attachment, ports))

    def publish(self, *ports: RelayedPort) -> tuple[RelayedPort, ...]:
        """Relay ports, and redirect to the relay what local programs send there."""
        served = self.relay(*ports)
        if self._backend == "nftables":
            self._add_nftables(served)
        else:
            self._add_iptables(served)
        return served

    def hold(self, port: HeldPort, attachment: Attachment = WEB) -> None:
        """Hold a port."""
        self._ask(lambda linux: client.hold(linux, attachment, port))

    def release(self, port: HeldPort | None = None, attachment: Attachment = WEB) -> None:
        """Hold a port, or all of the attachment, no longer."""
        self._ask(lambda linux: client.release(linux, attachment, port))

    def state(self) -> Mapping[str, object]:
        """What the process says of itself."""
        return self._ask(client.state)

    def redirects(self) -> set[int]:
        """The ports that it listens on for what is relayed."""
        return {port["redirect"] for each in self._ask(client.state)["relayed"] for port in each["ports"]}

    def ensure(self) -> None:
        """Start it if it is needed, as its keeper does, and wait until it answers."""
        self._ask(lambda _: PORTS.start() if PORTS.is_needed() else None)
        until(lambda: bool(self.state()["relayed"] or self.state()["held"]), "the ports process")

    def pids(self) -> list[int]:
        """Every process of that name."""
        return [pid for pid in self._host.processes() if _comm(pid) == "linkspan ports"]

    def pid(self) -> int:
        """The one process of that name."""
        (pid,) = self.pids()
        return pid

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, and wait until it is gone."""
        pid = self.pid()
        os.kill(pid, number)
        until(lambda: pid not in self.pids(), "the end of the ports process")

    def _add_nftables(self, ports: tuple[RelayedPort, ...]) -> None:
        maps = [f"add {kind} inet relay {name} {{ type {of}; }}" for kind, name, of in relay.DECLARED]
        elements = [
            f"add element inet relay {each.name} {{ {' . '.join(each.key)} : {each.value} }}"
            for each in relay.elements(ports, "")
        ]
        hook = "add chain inet relay output { type nat hook output priority -101; policy accept; }"
        rules = [f"add rule inet relay output {rule}" for rule in relay.OUTPUT]
        lines = ["add table inet relay", "delete table inet relay", "add table inet relay"]
        self._host.run(["nft", "-f", "-"], input="\n".join([*lines, *maps, hook, *rules, *elements]))

    def _add_iptables(self, ports: tuple[RelayedPort, ...]) -> None:
        with self._linux() as host:
            for family in (4, 6):
                rules = relay.iptables_rules(each for each in ports if each.family == family)
                change = Change(own=(("OUTPUT", tuple(rules)),))
                host.iptables.apply(6 if family == 6 else 4, "nat", change)

    def _ask(self, question: Callable[[LinuxHost], T]) -> T:
        with self._linux() as host:
            return question(host)

    @contextmanager
    def _linux(self) -> Iterator[LinuxHost]:
        with self._host.entered(), closing(LinuxHost(services=LinuxServices)) as host:
            yield host


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""
