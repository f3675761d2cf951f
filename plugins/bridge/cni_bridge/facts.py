"""What is read from the host: before planning, after the plan was carried out, and for DEL and GC."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cni_bridge import NAME
from cni_bridge.config import Config, bridge_name
from linkspan.call import sandbox
from linkspan.call.records import Records
from linkspan.call.sandbox import Sandbox
from linkspan.cni.addresses import FAMILIES, parse_cidr, parse_mac
from linkspan.cni.errors import KernelRefused, NetnsGone
from linkspan.netfilter.backend import NAMES, Backend
from linkspan.steps.backend import choose

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host, KernelRoute, Link
    from linkspan.steps.occupied import Used


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What ADD decides from, besides the result of IPAM.

    `has_host_end` and `has_interface` tell whether links with the names of the pair exist. `default_metrics`
    is the highest metric among the container's default routes, by family that has any. `others` are the
    interfaces of the container's other networks: those that its main table has routes through. `backend` is
    for masquerading, None without it.
    """

    sandbox: Sandbox
    has_host_end: bool
    has_interface: bool
    default_metrics: Mapping[int, int]
    others: tuple[str, ...]
    backend: Backend | None


@dataclass(frozen=True, slots=True)
class Created:
    """The links of an attachment as the kernel has them."""

    bridge: Link
    host_end: Link
    interface: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What ADD writes down for DEL, GC and a reload.

    `ipam` is the configuration that ADD used. `forwards` is the link that the container's packets come from,
    "" until it is known; `addresses` (CIDR) are None until then. `guarded` is the only MAC address that may
    pass, "" if any may. `bound` is the container's MAC address if it may use ARP and neighbour discovery for
    its own addresses only, else "". `routed` is whether the container was on other networks before, so that
    its addresses have routes of their own. `isolated` is None in a record of a build that did not know the
    key, and `sandbox`, the container's namespace, in one of a build that did not record it.
    `links` is how the links were made (`steps.repair`), None if that is unknown.
    """

    bridge: str
    ipam: Mapping[str, Any] | None
    backend: Backend | None
    internal: bool
    isolated: bool | None
    forwards: str = ""
    addresses: tuple[str, ...] | None = None
    guarded: str = ""
    bound: str = ""
    routed: bool = False
    sandbox: Sandbox | None = None
    links: Mapping[str, Any] | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether the attachment has a filter of its frames."""
        return bool(self.guarded or self.bound)

    def to_record(self) -> dict[str, Any]:
        """The content of the record's file."""
        return {
            "bridge": self.bridge,
            "forwards": self.forwards,
            "ipam": self.ipam,
            "backend": self.backend or "",
            "internal": self.internal,
            "isolated": self.isolated,
            "addresses": None if self.addresses is None else list(self.addresses),
            "guarded": self.guarded,
            "bound": self.bound,
            "routed": self.routed,
            sandbox.KEY: None if self.sandbox is None else self.sandbox.to_json(),
            "links": self.links,
        }

    @classmethod
    def from_record(cls, content: Mapping[str, Any]) -> Record:
        """What `to_record` wrote; a field that is absent or invalid is unknown, and stops no DEL."""
        ipam, links = content.get("ipam"), content.get("links")
        return cls(
            bridge=str(content.get("bridge") or ""),
            forwards=str(content.get("forwards") or ""),
            ipam=ipam if isinstance(ipam, Mapping) else None,
            backend=next((each for each in NAMES if each == content.get("backend")), None),
            internal=bool(content.get("internal")),
            isolated=None if content.get("isolated") is None else bool(content["isolated"]),
            addresses=_addresses(content.get("addresses")),
            guarded=_mac(content.get("guarded")),
            bound=_mac(content.get("bound")),
            routed=content.get("routed") is True,
            sandbox=Sandbox.from_json(content.get(sandbox.KEY)),
            links=links if isinstance(links, Mapping) else None,
        )


def _addresses(value: Any) -> tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) and all(map(_is_interface, value)) else None


def _mac(value: Any) -> str:
    """A MAC address, "" for anything else."""
    return parse_mac(value) or "" if isinstance(value, str) else ""


def _is_interface(text: Any) -> bool:
    found = parse_cidr(text)
    return found is not None and found[1] <= found[0].max_prefixlen


def read_facts(request: Request, config: Config, host: Host) -> Facts:
    """Read the facts. Raises KernelRefused, NetnsGone, and ToolMissing if no backend can masquerade."""
    container = host.links(request.netns)
    routes = {family: container.routes(family) for family in FAMILIES}
    metrics = {
        family: [each.priority for each in found if each.is_default] for family, found in routes.items()
    }
    return Facts(
        sandbox=Sandbox.of(host, request.netns),
        has_host_end=host.links().get(request.attachment.host_veth) is not None,
        has_interface=container.get(request.ifname) is not None,
        default_metrics={family: max(found) for family, found in metrics.items() if found},
        others=_others(route for found in routes.values() for route in found),
        backend=read_backend(config, host),
    )


def _others(routes: Iterable[KernelRoute]) -> tuple[str, ...]:
    names = {each.ifname for each in routes if not each.dst.startswith("fe80:")}
    return tuple(sorted(names - {"", "lo"}))


def read_used(config: Config, gateways: Collection[str], host: Host) -> tuple[Used, ...]:
    """What the host uses, if the network's link lacks one of the gateways' addresses (CIDR).

    Nothing if it has them all: then the network is in use already. Raises KernelRefused.
    """
    if set(gateways) <= set(_addresses_of(config.gateway_link, host)):
        return ()
    from linkspan.steps.occupied import used_by_host  # only the first ADD of a network needs it

    return tuple(used_by_host(host, except_links=(config.bridge, config.gateway_link)))


def _addresses_of(name: str, host: Host) -> tuple[str, ...]:
    """The addresses of a link, none if it does not exist."""
    try:
        return host.links().addresses(name, link_local=True)
    except KernelRefused as error:
        if error.errno != errno.ENODEV:
            raise
        return ()


def read_backend(config: Config, host: Host) -> Backend | None:
    """The backend for masquerading, None without it. Raises InvalidConfig, ToolMissing."""
    return choose(host, config.ip_masq_backend, path="$.ipMasqBackend") if config.ip_masq else None


def read_created(request: Request, config: Config, host: Host) -> Created:
    """The links that were created. Raises NetnsGone if the container disappeared meanwhile."""
    bridge = host.links().get(config.bridge)
    host_end = host.links().get(request.attachment.host_veth)
    interface = host.links(request.netns).get(request.ifname)
    if bridge is None or host_end is None or interface is None:
        raise NetnsGone(
            f"the interface {request.ifname} disappeared during setup", f"CNI_NETNS is {request.netns}"
        )
    return Created(bridge, host_end, interface)


def read_record(attachment: Attachment, host: Host) -> Record | None:
    """What ADD recorded for an attachment."""
    content = Records(host, NAME).read(attachment)
    return None if content is None else Record.from_record(content)


def read_stale(request: Request, host: Host) -> list[tuple[Attachment, Record]]:
    """The attachments that GC removes.

    Two lists may have one network name (nerdctl keeps them for each containerd namespace) and differ in the
    bridge.
    """
    stale = [
        (attachment, Record.from_record(content))
        for attachment, content in Records(host, NAME).stale(request)
    ]
    bridge = bridge_name(request)
    return [(attachment, record) for attachment, record in stale if record.bridge in ("", bridge)]
