"""The five verbs of loopback. It has no configuration of its own, and its only step needs no facts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni_loopback import NAME
from cni_loopback.check import problems
from cni_loopback.result import result_of
from cni_loopback.steps import SetUp
from linkspan.call.plugin import Plugin
from linkspan.call.transaction import Transaction
from linkspan.cni.errors import AttachmentWrong, InvalidNetns

if TYPE_CHECKING:
    from linkspan.cni.model import Request, Result
    from linkspan.host.contract import Host


def add(request: Request, host: Host, transaction: Transaction) -> Result:
    """Set lo up."""
    transaction.do(SetUp(request.netns))
    return result_of(request, host.links(request.netns).addresses("lo"))


def delete(request: Request, host: Host) -> None:
    """Set lo down if its namespace still exists and is not the host's."""
    if not request.netns or host.same_netns(request.netns):
        return
    try:
        host.links(request.netns).change("lo", up=False)
    except InvalidNetns:
        return


def check(request: Request, host: Host) -> None:
    """Raise AttachmentWrong unless lo is up."""
    found = problems(request, host)
    if found:
        raise AttachmentWrong.of(found, "DEL and ADD it again")


def gc(request: Request, host: Host) -> None:
    """Nothing of lo outlives its namespace."""


def status(request: Request, host: Host) -> None:
    """Every kernel has lo."""


PLUGIN = Plugin(
    type=NAME,
    schema=os.path.join(os.path.dirname(__file__), "schema.json"),
    add=add,
    delete=delete,
    check=check,
    gc=gc,
    status=status,
)
