"""Asking the ports process of this network namespace, and starting it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call.records import Records
from linkspan.cni.errors import CniError, DelegateFailed, IoFailure, PortTaken, TryAgain
from linkspan.daemon.control import Client, Message, reach
from linkspan.daemon.service import Service
from linkspan.netfilter.relay import RelayedPort
from linkspan.ports.table import HeldPort

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host

SERVICE = Service(paths.PORTS, f"{os.path.dirname(__file__)}/__main__.py", role="ports")
#: The folders of its records. Each attachment has one: {"ports": [RelayedPort or HeldPort as JSON]}.
RELAYED, HELD = "relayed", "held"
#: Seconds: until a started process must answer, until one must reply, and between two attempts to start one.
START, REPLY, _AGAIN = 8.0, 5.0, 1.0
_INTERVAL = 0.005

#: Sends a message to the ports process and returns its reply. The second argument tells whether to start the
#: process if none runs; if not, there is no reply then.
Ask = Callable[[Mapping[str, Any], bool], "Message | None"]


def ask(message: Mapping[str, Any], start: bool) -> Message | None:  # noqa: FBT001 - see Ask
    """See Ask. Raises what the process raised, TryAgain without a reply, IoFailure if it does not start."""
    deadline, started = time.monotonic() + START, 0.0
    while True:
        process = reach(SERVICE.socket, REPLY)
        if process is not None:
            reply = _reply(process, message)
            if reply is not None:
                return reply
        elif not start:
            return None
        now = time.monotonic()
        if now > deadline:
            raise IoFailure("the ports process did not start", f"see {SERVICE.log}")
        if process is None and now - started > _AGAIN:
            SERVICE.start()
            started = now
        time.sleep(_INTERVAL)


def _reply(process: Client, message: Mapping[str, Any]) -> Message | None:
    """The reply, or None if the process was just leaving: every request may be repeated."""
    with closing(process):
        try:
            reply = process.ask(message)
        except TimeoutError:
            raise TryAgain(
                f"the ports process (pid {process.pid}) does not reply",
                "stop that process; the next ADD starts another",
            ) from None
        except ConnectionError:
            return None
        except (OSError, ValueError) as error:
            raise TryAgain("the connection to the ports process was lost", str(error)) from None
    if not reply.get("ok"):
        raise _refusal(int(reply["code"]), str(reply["msg"]), str(reply["details"]))
    return reply


def _refusal(code: int, msg: str, details: str) -> CniError:
    return PortTaken(msg, details) if code == PortTaken.code else DelegateFailed(code, msg, details)


def ensure(host: Host) -> None:
    """Start the process if there is something to relay or hold and none runs; does not wait for it.

    Raises IoFailure, OSError.
    """
    recorded = (record for name in (RELAYED, HELD) for record in Records(host, name).all())
    if any(True for _ in recorded):
        process = reach(SERVICE.socket, REPLY)
        if process is None:
            SERVICE.start()
        else:
            process.close()


class Ports:
    """The requests. All raise TryAgain and IoFailure, and may be repeated."""

    def __init__(self, host: Host, ask: Ask = ask) -> None:
        self._host = host
        self._ask = ask

    def relay(self, attachment: Attachment, ports: Iterable[RelayedPort]) -> tuple[RelayedPort, ...]:
        """Relay these ports of an attachment and no others.

        Returns those that are relayed, with the port to redirect them to: ports of a family that this host
        does not have are left out.
        """
        expected = [each.to_json() for each in ports]
        reply = self._request("relay", attachment, start=bool(expected), ports=expected)
        if reply is None:
            Records(self._host, RELAYED).remove(attachment)
            return ()
        return tuple(RelayedPort.from_json(each) for each in reply["ports"])

    def hold(self, attachment: Attachment, port: HeldPort) -> None:
        """Keep others from listening on a port. Raises PortTaken naming the one that has it."""
        self._request("hold", attachment, start=True, port=port.to_json())

    def release(self, attachment: Attachment, port: HeldPort | None = None) -> None:
        """Hold a port, or without one all ports of the attachment, no longer; fine if it is not held."""
        document = None if port is None else port.to_json()
        if self._request("release", attachment, start=port is not None, port=document) is None:
            Records(self._host, HELD).remove(attachment)

    def state(self) -> Message:
        """{"relayed": [...], "held": [...], "connections": number}, empty if no process runs."""
        empty: Message = {"relayed": [], "held": [], "connections": 0}
        return self._ask({"do": "list"}, False) or empty

    def _request(self, verb: str, attachment: Attachment, *, start: bool, **more: Any) -> Message | None:
        words = {
            "network": attachment.network,
            "containerID": attachment.container_id,
            "ifname": attachment.ifname,
        }
        return self._ask({"do": verb, **words, **more}, start)
