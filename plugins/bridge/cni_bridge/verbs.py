"""The five verbs of bridge."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cni_bridge.config import Config, ipam_type
from cni_bridge.plan import layout_of, plan_for
from cni_bridge.result import result_of
from cni_bridge.steps import PLUGIN as NAME
from cni_bridge.steps import count_ways_out, links_of, remove_pair
from linkspan import masquerade
from linkspan.backend import NAMES, choose
from linkspan.delegate import delegate
from linkspan.errors import AttachmentWrong, CniError, InvalidConfig, NotReady, ToolMissing
from linkspan.model import Result
from linkspan.plan import Undo, best_effort, carry_out
from linkspan.plugin import Plugin
from linkspan.state import Records

if TYPE_CHECKING:
    from linkspan.host.contract import Host
    from linkspan.model import Attachment, Request


def add(request: Request, host: Host) -> Result:
    """Join the container to the bridge, with the addresses that IPAM gives."""
    config = Config.from_request(request)
    ways_out = count_ways_out(host, request.netns)
    backend = choose(host, config.ip_masq_backend, path="$.ipMasqBackend") if config.ip_masq else None
    ipam = _reserve(request, host, config)
    try:
        layout = layout_of(config, request.attachment, ipam, ways_out, backend)
        undo = carry_out(plan_for(request, config, layout), host)
        try:
            links = links_of(host, request.attachment, config.bridge, request.netns)
        except CniError:
            undo()
            raise
    except CniError as error:
        _give_back(request, host, config, error)
        raise
    return result_of(request, config, links, addresses=layout.addresses, routes=layout.routes, ipam=ipam)


def delete(request: Request, host: Host) -> None:
    """Take back whatever ADD made, with or without namespace, prevResult and record."""
    ipam = ipam_type(request)
    actions: list[Undo] = [lambda: _take_back(host, request.attachment)]
    if ipam:
        actions.append(lambda: delegate(ipam, request, host))
    best_effort(*actions)


def check(request: Request, host: Host) -> None:
    """See that links, addresses, routes and masquerading stand as prevResult says."""
    config = Config.from_request(request)
    if config.ipam:
        delegate(config.ipam, request, host)
    wrong = [*_wrong_links(request, host, config), *_wrong_inside(request, host)]
    if config.ip_masq and not wrong:
        wrong = _missing_masquerade(request, host, config)
    if wrong:
        raise AttachmentWrong(wrong[0], "; ".join(wrong[1:]) or "DEL and ADD it again")


def gc(request: Request, host: Host) -> None:
    """Take back what this network made for attachments that the runtime no longer knows; IPAM does the same."""
    valid = request.valid_attachments
    ipam = ipam_type(request)
    stale = [
        attachment
        for attachment, _ in Records(host, NAME).all()
        if valid is not None
        and attachment.network == request.network
        and (attachment.container_id, attachment.ifname) not in valid
    ]
    actions = [_taking_back(host, attachment) for attachment in stale]
    if ipam and valid is not None:
        actions.append(lambda: delegate(ipam, request, host))
    best_effort(*actions)


def status(request: Request, host: Host) -> None:
    """Whether a container could be attached now."""
    config = Config.from_request(request)
    try:
        if config.ip_masq:
            choose(host, config.ip_masq_backend, path="$.ipMasqBackend")
    except ToolMissing as error:
        raise NotReady(error.msg, error.details) from None
    link = host.links().get(config.bridge)
    if link is not None and link.kind != "bridge":
        raise NotReady(f"$.bridge: {config.bridge} is not a bridge", "name another one, or remove that link")
    if config.ipam:
        delegate(config.ipam, request, host)


def _reserve(request: Request, host: Host, config: Config) -> Result:
    if not config.ipam:
        return Result()
    result = delegate(config.ipam, request, host)
    if result is None or not result.ips:
        error = InvalidConfig(
            f"$.ipam.type: {config.ipam} gave no address", "leave ipam out for a network of layer 2 only"
        )
        _give_back(request, host, config, error)
        raise error
    return result


def _give_back(request: Request, host: Host, config: Config, error: CniError) -> None:
    """Let IPAM take its addresses back after `error`, which stays the one that is told."""
    if not config.ipam:
        return
    try:
        delegate(config.ipam, request, host, verb="DEL")
    except CniError as another:
        error.also(another)


def _take_back(host: Host, attachment: Attachment) -> None:
    record = Records(host, NAME).read(attachment)
    best_effort(
        lambda: _stop_masquerading(host, attachment, record),
        lambda: remove_pair(host, attachment),
    )
    Records(host, NAME).remove(attachment)


def _taking_back(host: Host, attachment: Attachment) -> Undo:
    return lambda: _take_back(host, attachment)


def _stop_masquerading(host: Host, attachment: Attachment, record: Mapping[str, Any] | None) -> None:
    told = record or {}
    backend = next((each for each in NAMES if each == told.get("backend")), None)
    if backend is not None:
        masquerade.remove(host, attachment, told.get("addresses"), backend=backend)


def _wrong_links(request: Request, host: Host, config: Config) -> list[str]:
    links = host.links()
    bridge, outside = links.get(config.bridge), links.get(request.attachment.host_veth)
    if bridge is None:
        return [f"the bridge {config.bridge} is missing"]
    wrong = [] if bridge.up else [f"the bridge {config.bridge} is down"]
    if outside is None:
        return [*wrong, f"the host's end {request.attachment.host_veth} is missing"]
    if outside.master != bridge.index:
        wrong.append(f"{outside.name} is not a port of {config.bridge}")
    if not outside.up:
        wrong.append(f"{outside.name} is down")
    if config.is_gateway and request.prev_result is not None:
        present = {each.partition("/")[0] for each in links.addresses(config.bridge)}
        gateways = {each.gateway for each in request.prev_result.addresses_of(request.ifname) if each.gateway}
        wrong += [
            f"the bridge {config.bridge} lacks the gateway address {each}"
            for each in sorted(gateways - present)
        ]
    return wrong


def _wrong_inside(request: Request, host: Host) -> list[str]:
    inside = host.links(request.netns)
    link = inside.get(request.ifname)
    if link is None:
        return [f"the interface {request.ifname} is missing in {request.netns}"]
    result = request.prev_result or Result()
    stated = next((each for each in result.interfaces if each.sandbox and each.name == request.ifname), None)
    wrong = []
    if stated is None:
        wrong.append(f"prevResult has no interface {request.ifname} with a sandbox")
    elif stated.mac and stated.mac.lower() != link.mac:
        wrong.append(f"{request.ifname} has the MAC {link.mac}, not {stated.mac}")
    present = inside.addresses(request.ifname)
    for address in result.addresses_of(request.ifname):
        if address.address not in present:
            wrong.append(f"{request.ifname} lacks the address {address.address}")
    return wrong + _missing_routes(request, host, result)


def _missing_routes(request: Request, host: Host, result: Result) -> list[str]:
    """Routes are prevResult's as a whole; those of families that this interface lacks belong to another one."""
    families = {each.family for each in result.addresses_of(request.ifname)}
    inside = host.links(request.netns)
    present = {
        each.dst
        for family in (4, 6)
        if family in families
        for each in inside.routes(6 if family == 6 else 4, table=0)
    }
    return [
        f"the route to {each.dst} is missing in the container"
        for each in result.routes
        if each.family in families and each.dst not in present
    ]


def _missing_masquerade(request: Request, host: Host, config: Config) -> list[str]:
    record = Records(host, NAME).read(request.attachment) or {}
    backend = record.get("backend") or choose(host, config.ip_masq_backend, path="$.ipMasqBackend")
    addresses = [each.address for each in (request.prev_result or Result()).addresses_of(request.ifname)]
    return masquerade.missing(host, backend, request.attachment, addresses)


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
)
