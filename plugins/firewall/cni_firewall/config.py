"""The configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from linkspan.cni.errors import InvalidConfig

if TYPE_CHECKING:
    from linkspan.cni.model import Request

Backend = Literal["iptables", "nftables", "firewalld"]
Policy = Literal["open", "same-bridge", "isolated"]

DEFAULT_ADMIN_CHAIN = "CNI-ADMIN"
DEFAULT_ZONE = "trusted"

#: A chain's name has at most 28 bytes (XT_EXTENSION_MAXNAMELEN in linux/netfilter/x_tables.h), and no leading
#: hyphen.
_CHAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]{0,27}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration of firewall, checked. `backend` is "" when the choice is ours."""

    backend: Backend | Literal[""] = ""
    admin_chain: str = DEFAULT_ADMIN_CHAIN
    zone: str = DEFAULT_ZONE
    policy: Policy = "open"

    @classmethod
    def from_request(cls, request: Request) -> Config:
        """The configuration of a call whose document the schema has passed. Raises InvalidConfig."""
        document = request.config
        admin_chain = document.get("iptablesAdminChainName") or DEFAULT_ADMIN_CHAIN
        if not _CHAIN.fullmatch(admin_chain):
            raise InvalidConfig(
                f"$.iptablesAdminChainName: {admin_chain[:40]!r} is not a valid chain name",
                "at most 28 letters, digits, - _ and .",
            )
        return cls(
            backend=_one_of(document, "backend", get_args(Backend)) or "",
            admin_chain=admin_chain,
            zone=document.get("firewalldZone") or DEFAULT_ZONE,
            policy=_one_of(document, "ingressPolicy", get_args(Policy)) or "open",
        )


def _one_of(document: Mapping[str, Any], key: str, known: tuple[Any, ...]) -> Any:
    value = document.get(key)
    if value and value not in known:
        raise InvalidConfig(
            f'$.{key}: unknown {"ingress policy" if key == "ingressPolicy" else key} "{value[:40]}"',
            f"one of {', '.join(known)}",
        )
    return value
