"""What a runtime calls a container, for messages: its name where it can be read cheaply, and its short ID."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from linkspan.call.records import Records, read_json
from linkspan.cni.errors import CniError

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host

#: The container ID that nerdctl gives to plugins.
_NERDCTL = re.compile(r"(.+)-([0-9a-f]{64})", re.ASCII)
#: The plugin whose records have names, whatever runtime gave them.
_NAMES = "dns"


def described(host: Host, attachment: Attachment) -> str:
    """A container as its runtime shows it: "web (4f370ed24781)", or its short ID alone. Raises nothing."""
    name = ""
    with suppress(CniError):
        name = _name(host, attachment)
    short = attachment.short_id
    return f"{name} ({short})" if name not in ("", short) else short


def of_nerdctl(container_id: str) -> tuple[str, str] | None:
    """The containerd namespace and the 64 digits in a container ID of nerdctl, None for another ID."""
    found = _NERDCTL.fullmatch(container_id)
    return None if found is None else (found[1], found[2])


def bundle_config(container_id: str) -> str:
    """Where containerd keeps the OCI configuration of a container that nerdctl created, "" for another ID."""
    found = of_nerdctl(container_id)
    if found is None:
        return ""
    return f"/run/containerd/io.containerd.runtime.v2.task/{found[0]}/{found[1]}/config.json"


def bundle_name(config: Any) -> str:
    """The container's name in an OCI configuration (annotation nerdctl/name), "" if there is none."""
    annotations = config.get("annotations") if isinstance(config, dict) else None
    name = annotations.get("nerdctl/name") if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else ""


def _name(host: Host, attachment: Attachment) -> str:
    """The name in the container's bundle, else the first that is recorded to be answered, else ""."""
    path = bundle_config(attachment.container_id)
    found = bundle_name(read_json(host.files, path)) if path else ""
    names = (Records(host, _NAMES).read(attachment) or {}).get("names")
    first = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    return found or first
