"""A verb of a whole list for one attachment, as libcni calls it: our plugins in this process, any other as
the executable that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from linkspan.call.chain import Chain, Plugin, newest_version, type_of
from linkspan.call.delegate import delegate, find
from linkspan.cni.errors import CniError
from linkspan.cni.model import Result
from linkspan.cni.request import configured
from linkspan.cni.versions import at_least

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host

_CHECK_SINCE, _STATUS_SINCE = "0.4.0", "1.1.0"


def add(chain: Chain, host: Host) -> dict[str, Any]:
    """ADD of every plugin, each with the result of the one before; the last result's JSON.

    After a failure all are asked for DEL, as runtimes do. Raises CniError.
    """
    from linkspan.cni.result import result_document

    document: dict[str, Any] = {}
    try:
        for plugin in chain.plugins:
            request = replace(chain, prev_result=document).request("ADD", plugin)
            result = delegate(type_of(plugin), request, host)
            document = result_document(result or Result(), chain.version)
    except CniError as error:
        try:
            delete(replace(chain, prev_result=document), host, lambda: True)
        except CniError as other:
            error.also(other)
        raise
    return document


def check(chain: Chain, host: Host) -> Iterator[tuple[str, CniError]]:
    """CHECK of every plugin, even after one that fails: the plugin's type and its error.

    Nothing if the list has disableCheck, or a version that has no CHECK, as with libcni.
    """
    if chain.document.get("disableCheck") is True or not at_least(chain.version, _CHECK_SINCE):
        return
    for plugin in chain.plugins:
        try:
            delegate(type_of(plugin), chain.request("CHECK", plugin), host)
        except CniError as error:
            yield type_of(plugin), error


def status(
    network: str, document: Mapping[str, Any], path: str, host: Host
) -> Iterator[tuple[str, CniError]]:
    """STATUS of every plugin of a list: the plugin's type and its error.

    Plugins of others are asked only by lists of a version that has STATUS; ours have it in any.
    """
    asks_all = at_least(newest_version(document), _STATUS_SINCE)
    chain = Chain(network=network, document=document, version=_STATUS_SINCE, path=path)
    for plugin in chain.plugins:
        try:
            request = chain.request("STATUS", plugin)
            if asks_all or host.processes.own_type(find(type_of(plugin), request, host)):
                delegate(type_of(plugin), request, host)
        except CniError as error:
            yield type_of(plugin), error


def delete(chain: Chain, host: Host, still: Callable[[], bool]) -> None:
    """DEL of every plugin in reverse, as long as `still` says so.

    Our plugins ask it while no other verb of theirs is at work on the attachment. A plugin that fails does
    not keep the others from theirs: the first failure is raised at the end.
    """
    from linkspan.call.transaction import best_effort

    def one(plugin: Plugin) -> None:
        request = chain.request("DEL", plugin)
        ours = host.processes.own_type(find(type_of(plugin), request, host))
        if ours:
            delete_if(ours, request, host, still)
        elif still():
            delegate(type_of(plugin), request, host)

    best_effort(*(partial(one, each) for each in reversed(chain.plugins)))


def delete_if(cni_type: str, request: Request, host: Host, still: Callable[[], bool]) -> None:
    """DEL of a plugin of ours, if `still` says so once no other verb of it is at work on the attachment."""
    from linkspan.call import kept_warnings
    from linkspan.call.exclusion import exclusively
    from linkspan.call.plugin import load

    plugin = load(cni_type)
    request = configured(request, plugin.type, plugin.schema)

    def act() -> None:
        if still():
            plugin.delete(request, host)
            kept_warnings.forget(host, plugin.type, request)

    exclusively(host, plugin.type, request.attachment, act)
