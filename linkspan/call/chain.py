"""A list with what a runtime gives its plugins for one attachment (SPEC 1.1.0, section 3). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from linkspan.cni.request import Input, read_request
from linkspan.cni.versions import VERSIONS

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request

Plugin = Mapping[str, Any]
#: Who delegates: no plugin's type, so that any plugin may be called.
_CALLER = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A list, and what a runtime gives its plugins for an attachment.

    `document` is the list's JSON object, `version` the cniVersion of the calls, `path` CNI_PATH.
    """

    network: str
    document: Mapping[str, Any]
    version: str
    path: str
    attachment: Attachment | None = None
    netns: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    prev_result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The plugins' configurations in order; what is not an object is left out."""
        given = self.document.get("plugins")
        return tuple(each for each in given if isinstance(each, Mapping)) if isinstance(given, list) else ()

    def request(self, verb: str, plugin: Plugin) -> Request:
        """The call of one plugin. Raises CniError."""
        env = {"CNI_COMMAND": verb, "CNI_PATH": self.path}
        if self.attachment is not None:
            env |= {
                "CNI_CONTAINERID": self.attachment.container_id,
                "CNI_IFNAME": self.attachment.ifname,
                "CNI_NETNS": self.netns,
                "CNI_ARGS": ";".join(f"{key}={value}" for key, value in self.args.items()),
            }
        return read_request(_CALLER, env, Input.parse(json.dumps(self._configuration(plugin)).encode()))

    def _configuration(self, plugin: Plugin) -> dict[str, Any]:
        declared = plugin.get("capabilities")
        known = declared if isinstance(declared, Mapping) else {}
        given = {key: each for key, each in self.capabilities.items() if known.get(key) is True}
        return {
            **plugin,
            "name": self.network,
            "cniVersion": self.version,
            **({"runtimeConfig": given} if given else {}),
            **({"prevResult": self.prev_result} if self.prev_result else {}),
        }


def newest_version(document: Mapping[str, Any]) -> str:
    """The newest version of a list that we know (SPEC 1.1.0, section 1: cniVersion, cniVersions)."""
    several = document.get("cniVersions")
    given = [document.get("cniVersion"), *(several if isinstance(several, list) else [])]
    known = [VERSIONS.index(each) for each in given if each in VERSIONS]
    return VERSIONS[max(known)] if known else VERSIONS[0]


def type_of(plugin: Plugin) -> str:
    """The CNI type of a plugin's configuration."""
    return str(plugin.get("type", ""))
