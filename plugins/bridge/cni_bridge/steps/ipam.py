"""The attachment's addresses: requested from the IPAM plugin, and returned to the one that allocated them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cni_bridge.config import ipam_type
from linkspan.call.delegate import delegate
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Result

if TYPE_CHECKING:
    from linkspan.call.transaction import Transaction
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host

Ipam = Mapping[str, Any]


def reserve(request: Request, host: Host, transaction: Transaction) -> Result:
    """The IPAM plugin's result of ADD; an empty result without one.

    If it fails, or anything after it does, it is called with DEL (SPEC 1.1.0, section 4).

    Raises what the plugin raised, and InvalidConfig if it returned no address.
    """
    cni_type = ipam_type(request)
    if not cni_type:
        return Result()
    transaction.on_failure(lambda: delegate(cni_type, request, host, verb="DEL"))
    result = delegate(cni_type, request, host)
    if result is None or not result.ips:
        raise InvalidConfig(
            f"$.ipam.type: {cni_type} returned no address", "remove ipam for a layer-2-only network"
        )
    return result


def release(request: Request, host: Host, recorded: Ipam | None) -> None:
    """DEL of the IPAM plugin that ADD called; `recorded` is its configuration then."""
    if recorded and is_edited(request, recorded):
        request = _with_ipam(request, recorded)
    if ipam_type(request):
        delegate(ipam_type(request), request, host)


def is_edited(request: Request, recorded: Ipam | None) -> bool:
    """Whether the configuration's `ipam` differs from the one that ADD recorded."""
    return bool(recorded) and recorded != request.config.get("ipam")


def _with_ipam(request: Request, ipam: Ipam) -> Request:
    document = {**request.document, "ipam": ipam}
    return replace(
        request,
        config={**request.config, "ipam": ipam},
        document=document,
        stdin=json.dumps(document).encode(),
    )
