"""What makes up an attachment as ADD made it, so that what is missing can be made again.

Packet rules name a bridge, and a container keeps its address and routes: a bridge of the same name and MAC
address with the same ports and gateways is all that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cni_bridge.steps.bridge import EnsureBridge, EnsureVlanLink
from cni_bridge.steps.frame_filter import FilterFrames
from cni_bridge.steps.gateway import AssignGateway, EnableForwarding
from cni_bridge.steps.pair import JoinBridge, SetVlans
from linkspan.call.restoring import LookedAt, MadeOf
from linkspan.cni.addresses import FAMILIES, Family, by_family, family_of, without_prefix
from linkspan.steps.closing import Close
from linkspan.steps.forwarding import accept_forwarding, replace_rule_of_earlier_versions
from linkspan.steps.isolation import Isolate
from linkspan.steps.masquerade import Masquerade

if TYPE_CHECKING:
    from cni_bridge.config import Config
    from cni_bridge.facts import Record
    from linkspan.call.restoring import Part
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the bridge, its port and its gateway were configured. `gateways` are in CIDR form.

    `routes` is whether the host forwards for the network. The others are as in Config.
    """

    mtu: int = 0
    promisc: bool = False
    has_vlans: bool = False
    hairpin: bool = False
    port_isolation: bool = False
    untagged_vlan: int = 0
    tagged_vlans: tuple[tuple[int, int], ...] = ()
    preserve_default_vlan: bool = False
    vlan: int = 0
    gateways: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    routes: bool = False

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of the gateways."""
        present = {family_of(without_prefix(each)) for each in self.gateways}
        return tuple(family for family in FAMILIES if family in present)

    def to_record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, content: Any) -> Settings | None:
        """What `to_record` made; None for anything else, as in a record of an earlier build."""
        from linkspan.call.decode import from_json

        try:
            return from_json(cls, content) if isinstance(content, Mapping) else None
        except ValueError:
            return None


def settings_of(config: Config, gateways: tuple[str, ...]) -> Settings:
    """The settings of an attachment with this configuration."""
    return Settings(
        mtu=config.mtu,
        promisc=config.promisc,
        has_vlans=config.has_vlans,
        hairpin=config.hairpin,
        port_isolation=config.port_isolation,
        untagged_vlan=config.untagged_vlan,
        tagged_vlans=config.tagged_vlans,
        preserve_default_vlan=config.preserve_default_vlan,
        vlan=config.vlan,
        gateways=gateways,
        subnets=config.subnets,
        routes=config.is_gateway and not config.internal,
    )


def parts(
    host: Host, attachment: Attachment, record: Record, *, rules_only: bool
) -> Iterator[Part | LookedAt]:
    """What makes up an attachment whose host end exists, links first; nothing if it does not exist."""
    if host.links().get(attachment.host_veth) is None:
        return
    links = _links(attachment, record)
    yield from map(LookedAt, links) if rules_only else links
    if record.internal:
        yield Isolate(record.bridge)
    if record.isolated:
        yield Close(record.forwards, record.bridge)
    elif record.isolated is None:
        replace_rule_of_earlier_versions(host, record.forwards)
    addresses = record.addresses or ()
    yield accept_forwarding(record.forwards, tuple(by_family(addresses)) or FAMILIES)
    if record.is_filtered:
        yield FilterFrames(attachment, record.guarded, record.bound, addresses)
    if record.backend is not None and addresses:
        yield Masquerade(attachment, addresses, record.backend)


def _links(attachment: Attachment, record: Record) -> Iterator[Part]:
    """The links of an attachment, in the order in which they are made."""
    settings, port, bridge = Settings.from_record(record.links), attachment.host_veth, record.bridge
    if settings is None:
        # How an earlier build made them is unknown.
        yield MadeOf(JoinBridge(port, bridge).missing, lambda _: None)
        return
    yield EnsureBridge(
        bridge,
        settings.mtu,
        promisc=settings.promisc,
        vlan_filtering=settings.has_vlans,
        ipv6=6 in settings.families,
    )
    yield JoinBridge(port, bridge, hairpin=settings.hairpin, isolated=settings.port_isolation)
    if settings.has_vlans:
        keep = settings.preserve_default_vlan
        yield SetVlans(port, settings.untagged_vlan, settings.tagged_vlans, keep_default=keep)
    if settings.gateways:
        yield from _gateway(record.forwards, bridge, port, settings)


def _gateway(link: str, bridge: str, port: str, settings: Settings) -> Iterator[Part]:
    if settings.vlan:
        yield EnsureVlanLink(link, bridge, settings.vlan, ipv6=6 in settings.families)
    yield AssignGateway(link, settings.gateways, bridge=bridge, port=port, subnets=settings.subnets)
    if settings.routes:
        yield EnableForwarding(settings.families)
