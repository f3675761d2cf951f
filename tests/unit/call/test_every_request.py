"""Whatever exception any request of the host raises, ADD leaves what was there before.

Every verb of every plugin is called once to learn its requests, and then once more for each of them and each
exception. A request whose reply is lost has been carried out nevertheless.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from linkspan.host.memory import Failure, MemoryHost, ReplyLost, Request
from tests.harness.memory import BOX, Answer, Desk
from tests.harness.nameserver import serve_names_of

IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]]}
BRIDGE = {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipMasq": True, "ipam": IPAM}
CAPABILITIES = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
PORTMAP = {"type": "portmap", "snat": True, "runtimeConfig": CAPABILITIES}
MAC = "02:11:22:33:44:55"
ARP_NOTIFY = "net.ipv4.conf.eth0.arp_notify"


@dataclass(frozen=True)
class Scenario:
    """A plugin's configuration; a `chained` one gets the result of a bridge ADD as prevResult."""

    config: dict[str, Any]
    chained: bool = False
    files: dict[str, bytes] = field(default_factory=dict)

    def desk(self) -> Desk:
        """A host on which the next call is this plugin's."""
        desk = Desk(MemoryHost())
        for path, content in self.files.items():
            desk.host.files.write(path, content)
        if self.chained:
            assert desk.call("ADD", BRIDGE).status == 0
        return desk

    def call(self, desk: Desk, verb: str, env: Mapping[str, str] | None = None) -> Answer:
        """One call, as a runtime would make it after a successful ADD."""
        config = {**self.config, **({"prevResult": desk.result} if self.chained else {})}
        if verb == "GC":
            config = {**config, "cni.dev/valid-attachments": []}
        return desk.call(verb, config, env=env)


SCENARIOS = {
    "bridge, iptables": Scenario({**BRIDGE, "ipMasqBackend": "iptables"}),
    "bridge, nftables": Scenario({**BRIDGE, "ipMasqBackend": "nftables", "macspoofchk": True, "vlan": 100}),
    "bridge, isolated": Scenario({**BRIDGE, "ipMasqBackend": "nftables", "isolated": True}),
    "bridge, internal": Scenario({"type": "bridge", "isGateway": True, "internal": True, "ipam": IPAM}),
    "host-local": Scenario(
        {"type": "host-local", "ipam": {**IPAM, "resolvConf": "/etc/resolv.conf"}},
        files={"/etc/resolv.conf": b"nameserver 10.0.0.1\n"},
    ),
    "portmap, iptables": Scenario({**PORTMAP, "backend": "iptables"}, chained=True),
    "portmap, nftables": Scenario({**PORTMAP, "backend": "nftables"}, chained=True),
    "portmap, relay": Scenario({**PORTMAP, "backend": "nftables", "localhost": "relay"}, chained=True),
    "firewall, iptables": Scenario({"type": "firewall", "backend": "iptables"}, chained=True),
    "firewall, nftables": Scenario(
        {"type": "firewall", "backend": "nftables", "ingressPolicy": "isolated"}, chained=True
    ),
    "tuning": Scenario(
        {"type": "tuning", "mtu": 1400, "mac": MAC, "promisc": True, "sysctl": {ARP_NOTIFY: "1"}},
        chained=True,
    ),
    "loopback": Scenario({"type": "loopback"}),
    "dns": Scenario({"type": "dns"}, chained=True),
}  # fmt: skip
REFUSALS: dict[str, Callable[[], Failure | ReplyLost]] = {
    "ENOMEM": lambda: errno.ENOMEM,
    "MemoryError": MemoryError,
    "ValueError": lambda: ValueError("nonsense"),
    "KeyboardInterrupt": KeyboardInterrupt,
    "reply lost": lambda: ReplyLost(errno.ENOBUFS),
    "interrupted when done": lambda: ReplyLost(KeyboardInterrupt()),
}


@dataclass(frozen=True)
class Difference:
    """What two states of a host differ in."""

    gained: frozenset[str]
    lost: frozenset[str]

    @classmethod
    def between(cls, before: frozenset[str], after: frozenset[str]) -> Difference:
        """Locks stay as files; which addresses were given back, and in what order, is remembered.

        A new bridge stays, and forwards or not: that depends on how far ADD came.
        """
        ignored = ("/locks/", "/released/", "/forwarding ")
        gained, lost = (
            frozenset(each for each in lines if not any(word in each for word in ignored))
            for lines in (after - before, before - after)
        )
        return cls(gained, lost)

    def on_the_host(self) -> Difference:
        """Without the container's namespace: what cannot be restored there is a warning, and ends with it."""
        return Difference(
            *(
                frozenset(each for each in lines if not each.startswith(BOX))
                for lines in (self.gained, self.lost)
            )
        )


def requests_of(scenario: Scenario, verb: str) -> list[Request]:
    """The requests of a verb that succeeds."""
    desk = scenario.desk()
    with serve_names_of(desk.host):
        if verb not in ("ADD", "STATUS"):
            assert scenario.call(desk, "ADD").status == 0
        desk.host.revive()
        answer = scenario.call(desk, verb)
        assert answer.status == 0, answer
        return list(desk.host.requests)


def stays(scenario: Scenario) -> Difference:
    """What an ADD and its DEL leave by design: shared bridges and chains, locks, cursors, forwarding."""
    desk = scenario.desk()
    with serve_names_of(desk.host):
        before = desk.host.state()
        assert scenario.call(desk, "ADD").status == 0
        assert scenario.call(desk, "DEL").status == 0
        return Difference.between(before, desk.host.state())


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_an_add_that_any_request_fails_leaves_what_was_there(name: str, refusal: str) -> None:
    scenario = SCENARIOS[name]
    allowed = stays(scenario)
    for request in requests_of(scenario, "ADD"):
        desk = scenario.desk()
        with serve_names_of(desk.host):
            before = desk.host.state()
            desk.host.revive()
            desk.host.refuse = {request: REFUSALS[refusal]()}
            answer = scenario.call(desk, "ADD")
            left = Difference.between(before, desk.host.state())
        if answer.status:  # some requests are extras whose failure is a warning
            assert left.gained <= allowed.gained, (request, left.gained - allowed.gained)
            assert left.lost <= allowed.lost, (request, left.lost - allowed.lost)


@pytest.mark.parametrize("refusal", ["ENOMEM", "MemoryError", "reply lost"])
@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_failed_removal_leaves_the_next_one_removes(name: str, verb: str, refusal: str) -> None:
    scenario = SCENARIOS[name]
    allowed = stays(scenario)
    for request in requests_of(scenario, verb):
        desk = scenario.desk()
        with serve_names_of(desk.host):
            before = desk.host.state()
            assert scenario.call(desk, "ADD").status == 0
            desk.host.revive()
            desk.host.refuse = {request: REFUSALS[refusal]()}
            scenario.call(desk, verb)
            desk.host.revive()
            assert scenario.call(desk, "DEL").status == 0
            left = Difference.between(before, desk.host.state()).on_the_host()
        assert left.gained <= allowed.gained, (request, left.gained - allowed.gained)
        assert left.lost <= allowed.lost, (request, left.lost - allowed.lost)


@pytest.mark.parametrize("refusal", ["ENOMEM", "MemoryError", "reply lost"])
@pytest.mark.parametrize("verb", ["CHECK", "STATUS"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_question_that_any_request_fails_changes_nothing_but_what_was_warned_of(
    name: str, verb: str, refusal: str
) -> None:
    scenario = SCENARIOS[name]
    for request in requests_of(scenario, verb):
        desk = scenario.desk()
        with serve_names_of(desk.host):
            assert verb == "STATUS" or scenario.call(desk, "ADD").status == 0
            before = desk.host.state()
            desk.host.revive()
            desk.host.refuse = {request: REFUSALS[refusal]()}
            scenario.call(desk, verb)
            assert {each for each in desk.host.state() if "/records/warnings/" not in each} == before
