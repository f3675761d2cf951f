"""The five verbs of bridge, and the reload of its rules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from cni_bridge import handover, lease, spoof
from cni_bridge.config import DEFAULT_BRIDGE, Config, ipam_type
from cni_bridge.look import missing_rules, wrong_inside, wrong_outside
from cni_bridge.plan import layout_of, plan_for, record_of
from cni_bridge.result import result_of
from cni_bridge.steps import PLUGIN as NAME
from cni_bridge.steps import WriteRecord, default_metrics, links_of, refuse_second, remove_pair
from linkspan.call.delegate import delegate
from linkspan.call.plugin import Plugin
from linkspan.call.records import Records
from linkspan.call.reload import rebuild_each
from linkspan.call.transaction import Transaction, Undo, best_effort
from linkspan.cni.addresses import FAMILIES, by_family
from linkspan.cni.errors import AttachmentWrong, NotReady, ToolMissing
from linkspan.cni.model import Attachment
from linkspan.netfilter.backend import NAMES, Backend
from linkspan.steps import masquerade
from linkspan.steps.backend import choose
from linkspan.steps.forwarding import accept_forwarding
from linkspan.steps.isolation import Isolate
from linkspan.steps.masquerade import Masquerade

if TYPE_CHECKING:
    from linkspan.cni.model import Request, Result
    from linkspan.host.contract import Host

Record = Mapping[str, Any]


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Join the container to the bridge, with the addresses that IPAM gives."""
    config = Config.from_request(request)
    # One network of a container at a time: the second default route must get a worse metric than the first.
    with host.files.lock_attachment("container", Attachment("", request.container_id, "")):
        return _added(request, host, config, transaction)


def _added(request: Request, host: Host, config: Config, transaction: Transaction) -> Result:
    metrics = default_metrics(host, request.netns)
    refuse_second(host, request.attachment, request.netns)
    backend = _backend(host, config)
    transaction.do(WriteRecord(request.attachment, record_of(request, config, backend)))
    ipam = lease.reserve(request, host, transaction)
    layout = layout_of(config, request.attachment, ipam, metrics, backend)
    transaction.do(*plan_for(request, config, layout))
    return result_of(
        request, config, layout, links_of(host, request.attachment, config.bridge, request.netns)
    )


def delete(request: Request, host: Host) -> None:
    """Take back whatever ADD made, with or without namespace, prevResult and record; addresses last, once nobody has them."""
    attachment, records = request.attachment, Records(host, NAME)
    record = records.read(attachment) or {}
    # After an edit of the list only the record knows whom to ask for the addresses: it stays until they are given back.
    edited = lease.is_edited(request, record.get("ipam"))
    undo_own = _take_back if edited else _forget
    actions: list[Undo] = [lambda: undo_own(host, attachment, record)]
    actions.append(lambda: handover.remove_pair(request, host))
    if not record:
        actions.append(lambda: handover.remove_masquerade(request, host, records))
    best_effort(*actions, lambda: lease.release(request, host, record.get("ipam")))
    if edited:
        records.remove(attachment)


def check(request: Request, host: Host) -> None:
    """See that links, addresses, routes and rules stand as prevResult says."""
    config = Config.from_request(request)
    if config.ipam:
        delegate(config.ipam, request, host)
    wrong = [*wrong_outside(request, host, config), *wrong_inside(request, host, config)]
    if not wrong:
        record = Records(host, NAME).read(request.attachment) or {}
        backend = (_recorded_backend(record) or _backend(host, config)) if config.ip_masq else None
        wrong = missing_rules(request, host, config, backend)
    if wrong:
        raise AttachmentWrong(wrong[0], "; ".join(wrong[1:]) or "DEL and ADD it again, or `linkspan reload`")


def gc(request: Request, host: Host) -> None:
    """Take back what this bridge made for attachments that the runtime no longer knows; IPAM does the same."""
    stale = _stale(request, host)
    actions: list[Undo] = [partial(_forget, host, attachment, record) for attachment, record in stale]
    cni_type = ipam_type(request)
    if cni_type:
        actions.append(lambda: delegate(cni_type, request, host))
    best_effort(*actions)


def status(request: Request, host: Host) -> None:
    """Whether a container could be attached now."""
    config = Config.from_request(request)
    link = host.links().get(config.bridge)
    if link is not None and link.kind != "bridge":
        raise NotReady(f"$.bridge: {config.bridge} is not a bridge", "name another one, or remove that link")
    try:
        _backend(host, config)
        if config.ipam:
            delegate(config.ipam, request, host)
    except ToolMissing as error:
        raise NotReady(error.msg, error.details) from None


def reload(host: Host) -> None:
    """Build the rules of every living attachment again, whatever flushed them. Nothing comes twice."""
    rebuild_each(host, NAME, partial(_rebuild, host))


def _rebuild(host: Host, attachment: Attachment, record: Record) -> None:
    if host.links().get(attachment.host_veth) is None:
        return
    backend = _recorded_backend(record)
    addresses = record.get("addresses") or ()
    if backend is not None and addresses:
        Masquerade(attachment, tuple(addresses), backend).do(host)
    if record.get("internal"):
        Isolate(str(record["bridge"])).do(host)
    families = tuple(by_family(addresses)) or FAMILIES
    accept_forwarding(str(record["forwards"]), families).do(host)
    if record.get("guarded"):
        spoof.guard(host, attachment, str(record["guarded"]))


def _backend(host: Host, config: Config) -> Backend | None:
    return choose(host, config.ip_masq_backend, path="$.ipMasqBackend") if config.ip_masq else None


def _recorded_backend(record: Record) -> Backend | None:
    return next((each for each in NAMES if each == record.get("backend")), None)


def _stale(request: Request, host: Host) -> list[tuple[Attachment, Record]]:
    """Two lists may share a network name (nerdctl keeps them per containerd namespace): the bridge tells them apart."""
    bridge = request.config.get("bridge") or DEFAULT_BRIDGE
    return [
        (attachment, record)
        for attachment, record in Records(host, NAME).stale(request)
        if record.get("bridge", bridge) == bridge
    ]


def _forget(host: Host, attachment: Attachment, record: Record) -> None:
    _take_back(host, attachment, record)
    Records(host, NAME).remove(attachment)


def _take_back(host: Host, attachment: Attachment, record: Record) -> None:
    backend = _recorded_backend(record)
    actions: list[Undo] = [lambda: remove_pair(host, attachment, recorded=bool(record))]
    if backend is not None:
        addresses = record.get("addresses")
        actions.append(lambda: masquerade.remove(host, attachment, addresses, backend=backend))
    if record.get("guarded"):
        actions.append(lambda: spoof.unguard(host, attachment))
    best_effort(*actions)


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
)
