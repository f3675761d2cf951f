"""The chains of plugins that attachments were made by. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.call.chain import Chain
from linkspan.cni.errors import InvalidConfig, ToolMissing
from linkspan.runtime.lists import InvalidList, parse

if TYPE_CHECKING:
    from linkspan.cni.errors import CniError
    from linkspan.runtime.endpoints import Endpoint


def of_endpoint(endpoint: Endpoint, path: str) -> Chain | None:
    """The chain that an attachment was made by; None if libcni has not kept it. `path` is CNI_PATH."""
    try:
        one = parse(endpoint.list_text, "")
    except InvalidList:
        return None
    return Chain(
        network=one.name,
        document=one.document,
        version=str(endpoint.result.get("cniVersion") or one.document.get("cniVersion") or ""),
        path=path,
        attachment=endpoint.attachment,
        netns=endpoint.sandbox,
        args=endpoint.args,
        capabilities=endpoint.capabilities,
        prev_result=endpoint.result,
    )


def reason(error: CniError) -> str:
    """An error of a plugin on one line; with what to do where the message alone does not tell."""
    if isinstance(error, (ToolMissing, InvalidConfig)) and error.details:
        return f"{error.msg} ({error.details})"
    return error.msg
