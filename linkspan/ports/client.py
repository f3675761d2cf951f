"""Asking the ports process to hold ports; it is started if it does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call.records import Records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host
    from linkspan.ports.table import HeldPort

#: The folder of its records of held ports: {"ports": [HeldPort as JSON]} for each attachment.
RECORDS = "held"


def hold(host: Host, attachment: Attachment, port: HeldPort) -> None:
    """Keep others from listening on a port.

    Raises PortTaken naming the one that has it, TryAgain, IoFailure.
    """
    _ask(host, "hold", attachment, start=True, port=port.to_json())


def release(host: Host, attachment: Attachment, port: HeldPort | None = None) -> None:
    """Hold a port, or without one all ports of the attachment, no longer. Raises TryAgain, IoFailure."""
    document = None if port is None else port.to_json()
    if _ask(host, "release", attachment, start=port is not None, port=document) is None:
        Records(host, RECORDS).remove(attachment)


def state(host: Host) -> Mapping[str, Any]:
    """{"relayed": [...], "held": [...], "connections": number}; empty if no process runs.

    Raises TryAgain.
    """
    empty: Mapping[str, Any] = {"relayed": [], "held": [], "connections": 0}
    return host.services.ask(paths.PORTS, {"do": "list"}, start=False) or empty


def _ask(
    host: Host, verb: str, attachment: Attachment, *, start: bool, **more: Any
) -> Mapping[str, Any] | None:
    return host.services.ask(paths.PORTS, {"do": verb, **attachment.to_json(), **more}, start=start)
