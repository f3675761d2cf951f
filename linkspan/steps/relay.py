"""Having ports of the loopback addresses relayed to a container by the ports process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call.records import Records
from linkspan.netfilter.relay import RelayedPort

if TYPE_CHECKING:
    from collections.abc import Mapping

    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host

#: The folder of the process's records of relayed ports: {"ports": [RelayedPort as JSON]} for each attachment.
RECORDS = "relayed"


def relay(host: Host, attachment: Attachment, ports: Iterable[RelayedPort]) -> tuple[RelayedPort, ...]:
    """Relay these ports of an attachment and no others. Raises TryAgain, IoFailure.

    Returns those that are relayed, with the port to redirect them to: ports of a family that this host does
    not have are left out.
    """
    expected = [each.to_json() for each in ports]
    reply = _ask(host, attachment, "relay", start=bool(expected), ports=expected)
    if reply is None:
        Records(host, RECORDS).remove(attachment)
    return _ports(reply)


def relayed(host: Host, attachment: Attachment) -> tuple[RelayedPort, ...]:
    """The ports of an attachment that are relayed; the process is started if it does not run.

    Raises TryAgain, IoFailure.
    """
    return _ports(_ask(host, attachment, "relayed", start=True))


def _ask(
    host: Host, attachment: Attachment, verb: str, *, start: bool, **more: Any
) -> Mapping[str, Any] | None:
    return host.services.ask(paths.PORTS, {"do": verb, **attachment.to_json(), **more}, start=start)


def _ports(reply: Mapping[str, Any] | None) -> tuple[RelayedPort, ...]:
    return () if reply is None else tuple(RelayedPort.from_json(each) for each in reply["ports"])
