"""The five verbs of tuning. nerdctl and podman chain it with nothing to do, so that must cost nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from cni_tuning import allowlist
from cni_tuning.attributes import Attributes
from cni_tuning.config import Config, data_dir
from cni_tuning.plan import backup_path, plan_for
from cni_tuning.result import with_changes
from cni_tuning.steps import PLUGIN as NAME
from cni_tuning.steps import forget, restore
from linkspan.call.plugin import Plugin
from linkspan.call.records import Records
from linkspan.call.transaction import Transaction, best_effort
from linkspan.cni.errors import AttachmentWrong, InvalidConfig, InvalidNetns, NotReady
from linkspan.cni.model import Result

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host, Link, Links


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Set the sysctls and change the interface, or leave everything as it was."""
    result = request.prev_result or Result()
    config = Config.from_request(request)
    if config.sysctls:
        allowlist.refuse_others(host.files.read(allowlist.PATH), (each.key for each in config.sysctls))
    transaction.do(*plan_for(request, config))
    return with_changes(result, request.ifname, config.attributes)


def delete(request: Request, host: Host) -> None:
    """Give the interface back what it had, if it is there, and remove the backup in any case."""
    record = Records(host, NAME).read(request.attachment) or {}
    path = record.get("backup") or backup_path(request, data_dir(request))
    kept = Attributes.from_backup(host.files.read(path))
    if kept and request.netns:
        _restore(request, host, kept)
    forget(host, request.attachment, path)


def check(request: Request, host: Host) -> None:
    """See that sysctls and interface are as configured, or as a later plugin says in prevResult that it made them."""
    config = Config.from_request(request)
    if not config.sysctls and not config.attributes:
        return
    links = host.links(request.netns)
    link = links.get(request.ifname)
    if link is None:
        wrong = [f"the interface {request.ifname} is missing in the container"]
    else:
        wrong = [*_wrong_sysctls(links, config), *_wrong_attributes(request, config, link)]
    if wrong:
        raise AttachmentWrong(wrong[0][:120], "; ".join(wrong[1:]) or "DEL and ADD it again")


def gc(request: Request, host: Host) -> None:
    """Remove the backups of this network's attachments that the runtime no longer knows."""
    stale = Records(host, NAME).stale(request)
    best_effort(
        *(partial(forget, host, attachment, str(record.get("backup", ""))) for attachment, record in stale)
    )


def status(request: Request, host: Host) -> None:
    """Whether the administrator's list allows what would be set."""
    config = Config.from_request(request)
    if not config.sysctls:
        return
    try:
        allowlist.refuse_others(host.files.read(allowlist.PATH), (each.key for each in config.sysctls))
    except InvalidConfig as error:
        raise NotReady(error.msg, error.details) from None


def _restore(request: Request, host: Host, kept: Attributes) -> None:
    if host.same_netns(request.netns) and request.env.get("CNI_NETNS_OVERRIDE", "").lower() not in (
        "1",
        "true",
    ):
        return
    try:
        links = host.links(request.netns)
    except InvalidNetns:
        return
    if links.get(request.ifname) is not None:
        for sentence in restore(links, request.ifname, kept):
            host.warn(f"tuning: {sentence}")


def _wrong_sysctls(links: Links, config: Config) -> Iterator[str]:
    """The kernel prints several numbers with tabs between them, however they were written."""
    for each in config.sysctls:
        present = links.sysctl(each.path)
        if present is None:
            yield f"the sysctl {each.key} is missing in the container"
        elif present.split() != each.value.split():
            yield f"the sysctl {each.key} is {present!r}, not {each.value!r}"


def _wrong_attributes(request: Request, config: Config, link: Link) -> Iterator[str]:
    present = config.attributes.present_in(link)
    stated = _stated(request)
    for name, wanted in config.attributes.given():
        value = getattr(present, name)
        if name == "promisc" and link.promiscuity:
            continue
        if value not in (wanted, getattr(stated, name)):
            yield f"{name} of {request.ifname} is {value}, not {wanted}"


def _stated(request: Request) -> Attributes:
    """What the chain's result says of the interface: a plugin listed later may have changed it again."""
    for each in (request.prev_result or Result()).interfaces:
        if each.sandbox and each.name == request.ifname:
            return Attributes(mac=each.mac.lower() or None, mtu=each.mtu)
    return Attributes()


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
    chained=True,
)
