"""Long-lived processes in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from linkspan import paths

#: The relay's TCP port of each family, and the first of its UDP ports.
_TCP_PORTS, _FIRST_UDP_PORT = {4: 61004, 6: 61006}, 61100
#: The id of a process that was started here.
_PID = 4242


class MemoryServices:
    """The contract's Services. `running` has the names of those that were started, `pids` the ids of those
    that a test gives one.

    The ports process relays all that it is asked to, except for `without_families`, which its host lacks.
    """

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.pids: dict[str, int] = {}
        self.without_families: set[int] = set()
        self.relayed: dict[tuple[str, str, str], list[dict[str, Any]]] = {}

    def ask(
        self, service: str, message: Mapping[str, Any], *, start: bool = True
    ) -> Mapping[str, Any] | None:
        """See contract.Services. Only the ports process is there."""
        if service != paths.PORTS:
            raise NotImplementedError(service)
        if not start and service not in self.running:
            return None
        self.running.add(service)
        attachment = (message["network"], message["containerID"], message["ifname"])
        if message["do"] == "relay":
            self._relay(attachment, message["ports"])
        return {"ok": True, "ports": [dict(each) for each in self.relayed.get(attachment, ())]}

    def pid(self, service: str) -> int:
        """See contract.Services."""
        return self.pids.get(service, _PID if service in self.running else 0)

    def lines(self) -> Iterator[str]:
        """What is relayed, for MemoryHost.state."""
        for attachment, ports in self.relayed.items():
            for each in ports:
                yield f"relayed {'/'.join(attachment)} {each['protocol']}/{each['host_port']}"

    def _relay(self, attachment: tuple[str, str, str], ports: list[dict[str, Any]]) -> None:
        served = [dict(each) for each in ports if each["family"] not in self.without_families]
        for index, each in enumerate(served):
            tcp = each["protocol"] == "tcp"
            each["redirect"] = _TCP_PORTS[each["family"]] if tcp else _FIRST_UDP_PORT + index
        self.relayed.pop(attachment, None)
        if served:
            self.relayed[attachment] = served
