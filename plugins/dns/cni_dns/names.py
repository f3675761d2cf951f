"""Which names a container has, and what a name may look like. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from linkspan.cni.errors import InvalidConfig

_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{12,}", re.ASCII)
_CNITOOL = re.compile(r"cnitool-[0-9a-f]{20}", re.ASCII)
_NERDCTL = re.compile(r"(.+)-([0-9a-f]{64})", re.ASCII)
_NAMED_NETNS = re.compile(r"(?:/var)?/run/netns/([^/]+)")

#: The most a name can be long in text form (RFC 1035, 2.3.4: 255 octets on the wire).
LONGEST = 253


def is_name(text: str) -> bool:
    """Whether a lower-case text is a name we answer for: labels of 1 to 63 letters, digits, '-' or '_' (RFC 1035 and RFC 2181)."""
    return len(text) <= LONGEST and all(_LABEL.fullmatch(label) for label in text.split("."))


def normalised(text: str, place: str) -> str:
    """The name in lower case without a final dot. InvalidConfig telling `place` if it is none."""
    name = (text[:-1] if text.endswith(".") else text).lower()
    if not text.isascii() or not is_name(name):
        shown = repr(text) if len(text) <= 50 else repr(text[:47] + "...")
        raise InvalidConfig(
            f"{place}: {shown} is not a DNS name",
            "labels of 1 to 63 letters, digits, '-' or '_', parted by dots, 253 characters in all",
        )
    return name


def qualified(name: str, domains: tuple[str, ...]) -> tuple[str, ...]:
    """The name as it is and below each domain; forms that would be too long are left out."""
    return tuple(dict.fromkeys((name, *(f"{name}.{each}" for each in domains if is_name(f"{name}.{each}")))))


def short_id(container_id: str) -> str:
    """The first 12 digits of an id that is hexadecimal (behind a namespace or not), else ""."""
    part = container_id.rpartition("-")[2]
    return part[:12] if _HEX.fullmatch(part) else ""


def bundle_config(container_id: str) -> str:
    """Where containerd keeps the OCI configuration of a container that nerdctl made, "" for another id."""
    found = _NERDCTL.fullmatch(container_id)
    if found is None:
        return ""
    return f"/run/containerd/io.containerd.runtime.v2.task/{found[1]}/{found[2]}/config.json"


def bundle_name(config: bytes | None) -> str:
    """The container's name from its OCI configuration (annotation nerdctl/name), "" if it says none."""
    try:
        name = json.loads(config or b"{}").get("annotations", {}).get("nerdctl/name", "")
    except (ValueError, AttributeError):
        return ""
    return name if isinstance(name, str) else ""


def names_of(
    container_id: str, netns: str, args: Mapping[str, str], aliases: tuple[str, ...], in_bundle: str
) -> tuple[str, ...]:
    """All names of a container, its own first, each once: name, host name, aliases, short id.

    `args` is CNI_ARGS, `in_bundle` the name from the OCI bundle. Raises InvalidConfig for a name that is none.
    """
    given = [
        (args.get("K8S_POD_NAME", ""), "K8S_POD_NAME in CNI_ARGS"),
        (in_bundle, "the annotation nerdctl/name"),
        (args.get("NERDCTL_CNI_DHCP_HOSTNAME", ""), "NERDCTL_CNI_DHCP_HOSTNAME in CNI_ARGS"),
    ]
    found = [normalised(text, place) for text, place in given if text]
    if not found:
        found = [_from_id(container_id, netns)]
    found += [normalised(each, f"$.runtimeConfig.aliases[{i}]") for i, each in enumerate(aliases)]
    return tuple(each for each in dict.fromkeys((*found, short_id(container_id))) if each)


def _from_id(container_id: str, netns: str) -> str:
    """The name an id tells: the part behind containerd's namespace, or with cnitool the network namespace's name."""
    named = _NAMED_NETNS.fullmatch(netns)
    if _CNITOOL.fullmatch(container_id) and named and is_name(named[1].lower()):
        return named[1].lower()
    if short_id(container_id):
        return short_id(container_id)
    part = container_id.partition("-")[2].lower()
    whole = container_id.lower()
    return next((each for each in (part, whole) if each and is_name(each)), "")


def aliases_for(network: str, value: Any) -> tuple[str, ...]:
    """The aliases meant for a network: the list itself, or the network's entry of a map."""
    if isinstance(value, Mapping):
        value = value.get(network)
    return tuple(value or ())
