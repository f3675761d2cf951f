"""What a container's OCI bundle says of it: its config.json (OCI runtime specification, config.md). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from linkspan.cni.json_value import parse_json
from linkspan.runtime.lists import as_list, as_mapping, strings_of

#: The files by which a program finds addresses of names (resolver(3), hosts(5)).
RESOLVER_FILES = ("/etc/resolv.conf", "/etc/hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A config.json.

    `own_netns`: whether the container has another network namespace than the process that starts it;
    `netns` is the path of the one that it joins, "" for a new one. `control_group` is the last part of its
    control group's path. `resolver_files` is RESOLVER_FILES -> the file of the host that is mounted there.
    """

    annotations: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    own_netns: bool = False
    netns: str = ""
    control_group: str = ""
    resolver_files: Mapping[str, str] = field(default_factory=dict)

    def is_in_control_group(self, groups: str) -> bool:
        """Whether a process is the container's, given its /proc/PID/cgroup. True if the spec names none.

        systemd has PREFIX-NAME.scope for what the spec calls SLICE:PREFIX:NAME.
        """
        name = self.control_group
        parts = re.split(r"[/:\n]", groups)
        return not name or any(each == name or each.endswith(f"-{name}.scope") for each in parts)


def parse(data: bytes | None) -> Spec | None:
    """The spec in a file's content; None for anything else."""
    try:
        document = parse_json(data or b"")
    except ValueError:
        return None
    if not isinstance(document, Mapping):
        return None
    linux = as_mapping(document.get("linux"))
    networks = [each for each in map(as_mapping, as_list(linux.get("namespaces"))) if _is_network(each)]
    return Spec(
        annotations=strings_of(document.get("annotations")),
        hostname=str(document.get("hostname") or ""),
        own_netns=bool(networks),
        netns=str(networks[0].get("path") or "") if networks else "",
        control_group=re.split("[/:]", str(linux.get("cgroupsPath") or ""))[-1],
        resolver_files=_resolver_files(document.get("mounts")),
    )


def _is_network(namespace: Mapping[str, object]) -> bool:
    return namespace.get("type") == "network"


def _resolver_files(mounts: object) -> Mapping[str, str]:
    found = map(as_mapping, as_list(mounts))
    return {
        str(each["destination"]): str(each["source"])
        for each in found
        if each.get("destination") in RESOLVER_FILES and each.get("source")
    }
