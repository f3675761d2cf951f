"""The five verbs of loopback."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni_loopback.result import result_of
from cni_loopback.steps import SetUp
from linkspan.call.plugin import Plugin
from linkspan.call.transaction import Transaction
from linkspan.cni.errors import AttachmentWrong, InvalidNetns
from linkspan.cni.model import Result

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Set lo up. An earlier plugin's result comes back unchanged."""
    transaction.do(SetUp(request.netns))
    return request.prev_result or result_of(request.netns, host.links(request.netns).addresses("lo"))


def delete(request: Request, host: Host) -> None:
    """Take lo down where there still is one."""
    if not request.netns or host.same_netns(request.netns):
        return
    try:
        host.links(request.netns).change("lo", up=False)
    except InvalidNetns:
        return


def check(request: Request, host: Host) -> None:
    """See that lo is up."""
    link = host.links(request.netns).get("lo")
    if link is None or not link.up:
        raise AttachmentWrong("the container's lo is down", "DEL and ADD it again")


def gc(request: Request, host: Host) -> None:
    """Nothing of lo outlives its namespace."""


def status(request: Request, host: Host) -> None:
    """Every kernel has lo."""


PLUGIN = Plugin(
    type="loopback",
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
)
