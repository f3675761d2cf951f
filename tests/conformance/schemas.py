"""What a result looks like in each version of the specification, as JSON Schema (SPEC 0.1.0 to 1.1.0, "Result")."""

from __future__ import annotations

from typing import Any

import jsonschema

from tests.conformance.configurations import at_least
from tests.conformance.registry import Failed

_TEXTS = {"type": "array", "items": {"type": "string"}}
_DNS = {
    "type": "object",
    "properties": {"nameservers": _TEXTS, "domain": {"type": "string"}, "search": _TEXTS, "options": _TEXTS},
    "additionalProperties": False,
}
_CIDR = {"type": "string", "pattern": "^[0-9a-f.:]+/[0-9]+$"}
_NUMBERS = {key: {"type": "integer"} for key in ("mtu", "advmss", "priority", "table", "scope")}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def schema(version: str) -> dict[str, Any]:
    """The schema of a result in `version`. Attributes of routes are the latest's: the reference keeps them in every version."""
    route = _object(("dst",), dst=_CIDR, gw={"type": "string"}, **_NUMBERS)
    routes = {"type": "array", "items": route}
    if not at_least(version, "0.3.0"):
        family = _object(("ip",), ip=_CIDR, gateway={"type": "string"}, routes=routes)
        whole = _object((), cniVersion={"const": version}, ip4=family, ip6=family, dns=_DNS)
        return {**whole, "anyOf": [{"required": ["ip4"]}, {"required": ["ip6"]}]}
    interface = {"name": {"type": "string"}, "mac": {"type": "string"}, "sandbox": {"type": "string"}}
    address = {
        "address": _CIDR,
        "gateway": {"type": "string"},
        "interface": {"type": "integer", "minimum": 0},
    }
    required: tuple[str, ...] = ("address",)
    if not at_least(version, "1.0.0"):
        required, address = ("address", "version"), {**address, "version": {"enum": ["4", "6"]}}
    if at_least(version, "1.1.0"):
        interface |= {
            "mtu": {"type": "integer"},
            "socketPath": {"type": "string"},
            "pciID": {"type": "string"},
        }
    return _object(
        ("cniVersion",),
        cniVersion={"const": version},
        interfaces={"type": "array", "items": _object(("name",), **interface)},
        ips={"type": "array", "items": _object(required, **address)},
        routes=routes,
        dns=_DNS,
    )


def conforms(result: Any, version: str) -> None:
    """Raise Failed, naming the place, if a result is not one of `version`."""
    try:
        jsonschema.validate(result, schema(version))
    except jsonschema.ValidationError as error:
        place = "/".join(map(str, error.absolute_path)) or "the result"
        raise Failed(f"not a result of {version}: {place}: {error.message[:120]}") from None
