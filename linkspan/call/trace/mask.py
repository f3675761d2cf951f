"""Hiding in a trace whatever no plugin of ours reads: it may be a secret of somebody else's. Pure.

Masking is idempotent. A replay of the masked call asks the host for the same things but for the masked parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from linkspan.cni.json_value import parse_json
from linkspan.cni.schema import Schema, resolved

MASKED = "***"
_SHORTEST = 8
#: The CNI_ARGS that plugins read, or that CONVENTIONS.md names.
_ARGS = frozenset(
    ("IgnoreUnknown", "IP", "MAC", "GATEWAY", "K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID")
)  # fmt: skip
#: The contract's own keys.
_CONTRACT: Schema = {
    "properties": {
        key: {}
        for key in (
            "cniVersion",
            "name",
            "type",
            "prevResult",
            "cni.dev/valid-attachments",
            "cni.dev/attachments",
        )
    }
}
#: The variables that say which call this is.
_IDENTITY = frozenset(("CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_PATH"))
#: The parts of a container's OCI bundle that the dns plugin reads.
_BUNDLE = ("annotations", "hostname")


class Mask:
    """What to hide of one call: the values of keys and variables that no plugin reads, wherever they turn up.

    Values of fewer than eight characters stay as they are: words such as `true` would be found everywhere.
    """

    def __init__(self, stdin: bytes, env: Mapping[str, str], schemas: Sequence[Schema]) -> None:
        self._schemas = [(each, each) for each in (_CONTRACT, *schemas)]
        self._secrets: set[str] = set()
        self.stdin = self._document(stdin)
        self.environment = {name: self._variable(name, value) for name, value in env.items()}
        # Some runtimes repeat the container's id, or a part of it, where plugins do not read it.
        shown = [value for name, value in self.environment.items() if name in _IDENTITY]
        self._secrets = {each for each in self._secrets if not any(each in value for value in shown)}

    def applied(self, value: Any) -> Any:
        """Encoded values (codec) with the strings that contain a secret replaced."""
        if isinstance(value, Mapping):
            return {key: self.applied(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.applied(each) for each in value]
        hidden = isinstance(value, str) and any(each in value for each in self._secrets)
        return MASKED if hidden else value

    def _document(self, stdin: bytes) -> bytes:
        """The configuration, masked; what is not JSON is masked whole."""
        try:
            document = parse_json(stdin)
        except ValueError:
            return MASKED.encode()
        return json.dumps(self._named(document, self._schemas)).encode()

    def _named(self, value: Any, named: Sequence[tuple[Schema, Schema]]) -> Any:
        """`value` as far as a schema of (schema, its root) names it; where one says nothing more, all of it
        is read.
        """
        schemas = [(resolved(schema, root), root) for schema, root in named]
        if isinstance(value, Mapping) and all("properties" in schema for schema, _ in schemas):
            return {key: self._member(key, each, schemas) for key, each in value.items()}
        if isinstance(value, list) and all("items" in schema for schema, _ in schemas):
            return [
                self._named(each, [(schema["items"], root) for schema, root in schemas]) for each in value
            ]
        return value

    def _member(self, key: str, value: Any, schemas: Sequence[tuple[Schema, Schema]]) -> Any:
        named = [
            (below, root)
            for schema, root in schemas
            for name, below in schema["properties"].items()
            if name.lower() == key.lower()
        ]
        return self._named(value, named) if named else self._hidden(value)

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._hidden(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._hidden(each) for each in value]
        if len(str(value)) < _SHORTEST or isinstance(value, bool):
            return value
        if value != MASKED:
            self._secrets.add(str(value))
        return MASKED

    def _variable(self, name: str, value: str) -> str:
        if name == "CNI_ARGS":
            pairs = (each.partition("=") for each in value.split(";"))
            return ";".join(
                f"{key}{equals}{each if key in _ARGS else self._hidden(each)}" for key, equals, each in pairs
            )
        is_read = name.startswith(("CNI_", "LINKSPAN_")) or name == "PATH"
        return value if is_read else str(self._hidden(value))


def file(path: str, content: bytes) -> bytes:
    """The content of a file: of a container's OCI bundle (config.json) only what plugins read."""
    if not path.endswith("/config.json"):
        return content
    try:
        document = parse_json(content)
    except ValueError:
        return content
    if not isinstance(document, Mapping):
        return content
    return json.dumps({key: document[key] for key in _BUNDLE if key in document}).encode()
