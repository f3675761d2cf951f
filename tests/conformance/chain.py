"""A network list, run as the CNI library does, with the freedoms that real runtimes take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.conformance import configurations as conf
from tests.conformance.answer import Answer
from tests.conformance.registry import CHAINED
from tests.conformance.world import World

JsonObject = dict[str, Any]

#: What each role declares an interest in.
CAPABILITIES = {
    "bridge": ("ips", "mac"),
    "portmap": ("portMappings",),
    "tuning": ("mac",),
    "dns": ("aliases", "dns"),
}


@dataclass
class Chain:
    """The plugins of a network: (role, its keys), first to last. Roles that the suite lacks are left out.

    `capabilities` is what the runtime offers; each role gets what it declares.
    """

    w: World
    plugins: Sequence[tuple[str, JsonObject]]
    name: str = conf.NETWORK
    version: str = "1.0.0"
    capabilities: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plugins = [(role, keys) for role, keys in self.plugins if role in self.w.suite.executables]

    def document(self, role: str, keys: JsonObject) -> JsonObject:
        """One plugin's configuration, without prevResult."""
        declared = dict.fromkeys(CAPABILITIES.get(role, ()), True)
        offered = {name: self.capabilities[name] for name in declared if name in self.capabilities}
        return {
            "cniVersion": self.version,
            "name": self.name,
            "type": self.w.suite.type_of(role),
            **keys,
            **({"capabilities": declared} if declared else {}),
            **({"runtimeConfig": offered} if offered else {}),
        }

    def add(self, **who: Any) -> JsonObject:
        """ADD of every plugin; the last result. `who` is as for World.call."""
        result: JsonObject | None = None
        for role, keys in self.plugins:
            result = self.w.call(role, "ADD", self.document(role, keys), prev=result, **who).result
        assert result is not None, "a list has at least one plugin"
        return result

    def try_add(self, **who: Any) -> Answer:
        """ADD as far as it goes: the answer of the last plugin that was run."""
        result: JsonObject | None = None
        for role, keys in self.plugins:
            answer = self.w.call(role, "ADD", self.document(role, keys), prev=result, **who)
            if not answer.succeeded:
                return answer
            result = answer.result
        return answer

    def check(self, result: JsonObject, **who: Any) -> None:
        """CHECK of every plugin."""
        for role, keys in self.plugins:
            self.w.call(role, "CHECK", self.document(role, keys), prev=result, **who).silent()

    def delete(self, result: JsonObject | None, **who: Any) -> None:
        """DEL of every plugin, last to first; each must succeed."""
        for role, keys in reversed(self.plugins):
            self.w.call(role, "DEL", self.document(role, keys), prev=result, **who).silent(
                f"in a chain, {who}"
            )

    def settle(self, **options: Any) -> None:
        """One container comes and goes, so that what is shared is there."""
        who = {"cid": "warm", "netns": "warm", **options}
        self.w.netns("warm")
        self.delete(self.add(**who), **who)
        self.w.kill("warm")


def full(w: World, **options: Any) -> Chain:
    """Bridge, published ports, firewall, tuning, and names where the suite has them."""
    plugins: list[tuple[str, JsonObject]] = [
        ("bridge", conf.working("bridge", {"ipam": w.suite.type_of("ipam")})),
        *((role, {"domainName": "cases.example"} if role == "dns" else {}) for role in CHAINED),
    ]
    return Chain(w, plugins, **options)


def conflist(chain: Chain, **keys: Any) -> JsonObject:
    """The same as a file for a runtime."""
    plugins = [chain.document(role, own) for role, own in chain.plugins]
    for plugin in plugins:
        for key in ("cniVersion", "name", "runtimeConfig"):
            plugin.pop(key, None)
    return {"cniVersion": chain.version, "name": chain.name, "plugins": plugins, **keys}
