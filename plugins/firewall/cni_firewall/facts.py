"""What must be known before planning: of the host, and of what an earlier ADD admitted."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cni_firewall import NAME
from cni_firewall.config import DEFAULT_ADMIN_CHAIN, DEFAULT_ZONE, Backend, Policy
from cni_firewall.steps import firewalld
from linkspan.call.decode import from_json
from linkspan.call.records import Records
from linkspan.cni.addresses import Family, by_family
from linkspan.cni.errors import ToolMissing
from linkspan.cni.model import Result
from linkspan.netfilter.backend import Backend as PacketBackend
from linkspan.steps import backend

if TYPE_CHECKING:
    from cni_firewall.config import Config
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host, Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What one attachment is admitted to, complete: every rule of every backend follows from this value
    alone.

    `addresses` are the container's, without prefix length. `bridge` and `port` are the bridge and the
    attachment's link on the host, each "" if there is none. `fence` is the backend that applies `policy` to
    the bridge, "" for the policy open. `chosen` is whether `backend` was our choice, not the list's.
    """

    backend: Backend
    addresses: tuple[str, ...]
    admin_chain: str = DEFAULT_ADMIN_CHAIN
    zone: str = DEFAULT_ZONE
    policy: Policy = "open"
    bridge: str = ""
    fence: PacketBackend | Literal[""] = ""
    port: str = ""
    chosen: bool = False

    def __post_init__(self) -> None:
        for each in self.addresses:
            ipaddress.ip_address(each)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of its addresses."""
        return tuple(by_family(self.addresses))

    @property
    def in_iptables(self) -> tuple[Family, ...]:
        """The families that have rules of their own in iptables."""
        return self.families if "iptables" in (self.backend, self.fence) else ()

    @property
    def interface(self) -> str:
        """The host's interface towards the container, "" if it is not known."""
        return self.bridge or self.port

    def of_family(self, family: Family) -> tuple[str, ...]:
        """Its addresses of one family."""
        return by_family(self.addresses).get(family, ())

    def to_record(self) -> dict[str, Any]:
        """As JSON; `Records` adds the attachment's words."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Admission | None:
        """What `to_record` made, None for anything else."""
        fields = {name: record[name] for name in cls.__slots__ if name in record}
        try:
            return from_json(cls, fields)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What ADD decides from. `bridge`, `port` and `fence` are as in Admission.

    `earlier` is what an earlier ADD of the attachment admitted.
    """

    earlier: Admission | None
    backend: Backend
    bridge: str
    port: str
    fence: PacketBackend | Literal[""]


def read_facts(request: Request, config: Config, host: Host) -> Facts:
    """Read the facts. Raises ToolMissing for the backend, KernelRefused, IoFailure."""
    chosen = choose(host, config.backend)
    links = _host_side(request.prev_result or Result(), host)
    return Facts(
        earlier=recorded(host, request.attachment),
        backend=chosen,
        bridge=_bridge(links, host),
        port=next((each.name for each in links if each.kind != "bridge"), ""),
        fence=_fence(host, chosen) if config.policy != "open" else "",
    )


def recorded(host: Host, attachment: Attachment) -> Admission | None:
    """What an ADD recorded; None without a record, or if it is damaged."""
    record = Records(host, NAME).read(attachment)
    return None if record is None else Admission.from_record(record)


def choose(host: Host, configured: str) -> Backend:
    """The backend for `$.backend`. Raises ToolMissing.

    Unset means firewalld if it is running, else iptables if it works, else nftables.
    """
    if configured not in ("", "firewalld"):
        return _packet_backend(host, configured)
    if firewalld.runs(host):
        return "firewalld"
    if configured:
        raise ToolMissing(
            '$.backend: "firewalld" does not answer on this host', "start firewalld, or remove the key"
        )
    return _packet_backend(host)


def current_backend(host: Host, admission: Admission) -> Backend:
    """The backend for an earlier admission: a firewalld started since drops what is not in its zones."""
    if admission.chosen and admission.backend != "firewalld" and firewalld.runs(host):
        return "firewalld"
    return admission.backend


def _packet_backend(host: Host, configured: str = "") -> PacketBackend:
    return backend.choose(host, configured, table="filter")


def _fence(host: Host, chosen: Backend) -> PacketBackend:
    """The backend that isolates bridges: firewalld's zones do not."""
    return _packet_backend(host) if chosen == "firewalld" else chosen


def _host_side(result: Result, host: Host) -> tuple[Link, ...]:
    links = host.links()
    found = (links.get(each.name) for each in result.host_side())
    return tuple(each for each in found if each is not None)


def _bridge(links: tuple[Link, ...], host: Host) -> str:
    """The bridge among the links, or the one that a link among them is a port of, or ""."""
    for link in links:
        master = host.links().by_index(link.master) if link.master and link.kind != "bridge" else link
        if master is not None and master.kind == "bridge":
            return master.name
    return ""
