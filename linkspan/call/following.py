"""Attachments that `linkspan connect` made follow their container: they are made again when the runtime
attaches a restarted container, and detached when it detaches one that has ended.

The runtime knows nothing of them. What it does is seen in the verbs of one attachment that it makes, the
anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from linkspan.call import chain_verbs, connections
from linkspan.call.connections import Connection, is_gone
from linkspan.cni.errors import CniError
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from linkspan.call.chain import Chain
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


@contextmanager
def exclusively(host: Host, container_id: str) -> Iterator[None]:
    """Exclude everybody else who connects or disconnects a container."""
    with host.files.lock_attachment("connections", Attachment("", container_id, "")):
        yield


def follow(request: Request, host: Host) -> None:
    """Have connections follow what the runtime did to their anchor. A failure is a warning: the runtime's own
    call has succeeded.
    """
    try:
        if not connections.of_container(host.files, request.container_id):
            return
        with exclusively(host, request.container_id):
            for each in connections.of_container(host.files, request.container_id):
                anchor = (request.network, request.ifname)
                if each.anchor == connections.ANY and request.verb == "ADD":
                    _follow(replace(each, anchor=anchor), request, host)
                elif each.anchor == anchor:
                    _follow(each, request, host)
    except CniError as error:
        host.warn(f"connections of {request.container_id}: {error.msg}")


def _follow(one: Connection, request: Request, host: Host) -> None:
    try:
        if request.verb == "ADD":
            attach(one, host, request.netns)
        else:
            # A DEL without a namespace says nothing about the container: `nerdctl kill -s HUP` sends one.
            detach(one, host, still=(lambda: True) if request.netns else partial(is_gone, one, host))
    except CniError as error:
        verb = "attached to" if request.verb == "ADD" else "detached from"
        host.warn(f"container {one.container} is not {verb} network {one.chain.network}: {error.msg}")


def attach(one: Connection, host: Host, netns: str) -> None:
    """Attach a container, with the addresses that it had last. The record is written first.

    What an ended container has left is removed before. Raises CniError; then nothing but the record is left.
    """
    chain = replace(_with_addresses(one.chain, one.addresses), netns=netns, prev_result={})
    if not is_gone(one, host):
        return
    one = replace(one, netns_identity=host.netns_identity(netns), boot=host.boot)
    connections.write(host.files, replace(one, chain=replace(one.chain, netns=netns, prev_result={})))
    if one.addresses:
        chain_verbs.delete(replace(chain, netns=""), host, partial(is_gone, one, host))
    result = chain_verbs.add(chain, host)
    done = replace(one.chain, netns=netns, prev_result=result)
    connections.write(host.files, replace(one, chain=done, addresses=addresses_of(result)))


def detach(one: Connection, host: Host, still: Callable[[], bool]) -> None:
    """Detach a container if `still` says so, and keep the record. Raises CniError."""
    chain_verbs.delete(one.chain, host, still)
    if still():
        chain = replace(one.chain, netns="", prev_result={})
        connections.write(host.files, replace(one, chain=chain))


def clear_interrupted(host: Host, container_id: str) -> list[Connection]:
    """Remove what a killed `connect` has left of a container's connections, and return these.

    Those that were made once are made again by the next start. Wants the container's lock held.
    """
    found = [each for each in connections.of_container(host.files, container_id) if each.is_interrupted]
    for each in found:
        # Only with the container's namespace a DEL removes what ADD made inside besides the interface.
        is_same = each.netns_identity and host.netns_identity(each.chain.netns) == each.netns_identity
        netns = each.chain.netns if is_same else ""
        chain_verbs.delete(replace(each.chain, netns=netns), host, lambda: True)
        if each.addresses:
            connections.write(host.files, replace(each, chain=replace(each.chain, netns="")))
        else:
            connections.remove(host.files, each.attachment)
    return found


def addresses_of(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The addresses (CIDR) in the JSON of a result."""
    ips = result.get("ips")
    found = ips if isinstance(ips, list) else []
    return tuple(str(each["address"]) for each in found if isinstance(each, Mapping) and "address" in each)


def _with_addresses(chain: Chain, addresses: tuple[str, ...]) -> Chain:
    """The chain with addresses asked for: by the capability ips or, where the list lacks it, by CNI_ARGS."""
    if not addresses or not chain.plugins:
        return chain
    declared = chain.plugins[0].get("capabilities")
    if isinstance(declared, Mapping) and declared.get("ips") is True:
        return replace(chain, capabilities={**chain.capabilities, "ips": list(addresses)})
    return replace(chain, args={**chain.args, "IP": addresses[0].partition("/")[0]})
