"""Records: what a plugin did for an attachment, enough to remove it or to build it again.

One JSON file for each (plugin, attachment) in the host's state directory, which does not outlive a boot. A
record is written before the objects it names and removed after them, so after a crash it may list objects
that do not exist, but never omits one that does. What is not a whole record (not JSON, a wrong checksum, a
directory or a link in its place) counts as none and never stops a DEL or a GC; an error in reading is raised,
as it says nothing about what is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

from linkspan import paths
from linkspan.call.transaction import attempt
from linkspan.cni.errors import NotAFile
from linkspan.cni.json_value import parse_json
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from linkspan.call.transaction import Undo
    from linkspan.cni.model import Request
    from linkspan.host.contract import Files, Host

CHECKSUM = "checksum"
_SUFFIX = ".json"


class State(Protocol):
    """Where records are: a host, or a state directory as another mount namespace shows it."""

    @property
    def files(self) -> Files: ...

    @property
    def state_dir(self) -> str: ...


class Records:
    """The records of one plugin on one host."""

    def __init__(self, state: State, plugin: str) -> None:
        self._files = state.files
        self._folder = paths.records(state.state_dir, plugin)

    def write(self, attachment: Attachment, content: Mapping[str, Any]) -> None:
        """Replace the attachment's record. `content` is JSON; the attachment's words are added to it."""
        record = {**attachment.to_json(), **content}
        document = {**record, CHECKSUM: _checksum(record)}
        self._files.write(self._path(attachment), json.dumps(document, indent=1).encode())

    def read(self, attachment: Attachment) -> dict[str, Any] | None:
        """The attachment's record without its checksum, or None. Raises IoFailure."""
        found = self._found(f"{attachment.key}{_SUFFIX}")
        return found[1] if found else None

    def remove(self, attachment: Attachment) -> bool:
        """Remove the attachment's record; False if there was none."""
        return discard(self._files, self._path(attachment))

    def all(self) -> Iterator[tuple[Attachment, dict[str, Any]]]:
        """Every attachment with its record, in no promised order."""
        for name in self._files.names(self._folder):
            found = self._found(name)
            if found is not None:
                yield found

    def stale(self, request: Request) -> list[tuple[Attachment, dict[str, Any]]]:
        """What GC removes: this network's attachments that are not valid; nothing if those are unknown."""
        valid = request.valid_attachments
        if valid is None:
            return []
        return [
            (attachment, record)
            for attachment, record in self.all()
            if attachment.network == request.network
            and (attachment.container_id, attachment.ifname) not in valid
        ]

    def _path(self, attachment: Attachment) -> str:
        return f"{self._folder}/{attachment.key}{_SUFFIX}"

    def _found(self, name: str) -> tuple[Attachment, dict[str, Any]] | None:
        record = read_json(self._files, f"{self._folder}/{name}")
        with suppress(ValueError, RecursionError):
            return _checked(record, name) if isinstance(record, dict) else None
        return None


def has_records(state: State) -> bool:
    """Whether any plugin has a record. Raises IoFailure."""
    folder = paths.records(state.state_dir)
    return any(state.files.names(f"{folder}/{plugin}") for plugin in state.files.names(folder))


def read_json(files: Files, path: str) -> Any:
    """The JSON value in a file of ours; None if nothing is there, or what is there is not JSON or not a file.

    Raises IoFailure for any other error.
    """
    with suppress(NotAFile, ValueError):
        data = files.read(path)
        return None if data is None else parse_json(data)
    return None


def discard(files: Files, path: str) -> bool:
    """Remove a file of ours, or an empty directory in its place; False if there is neither. Raises IoFailure.

    A directory with content is not ours, and stays.
    """
    try:
        return files.remove(path)
    except NotAFile:
        return files.remove_folder(path)


def _checked(record: dict[str, Any], name: str) -> tuple[Attachment, dict[str, Any]] | None:
    """A record without its checksum, if it is whole and in the file of that attachment."""
    stated = record.pop(CHECKSUM, None)
    words: list[Any] = [record.get(word) for word in ("network", "containerID", "ifname")]
    if not all(isinstance(word, str) for word in words):
        return None
    attachment = Attachment(*words)
    # Builds before this one wrote no checksum.
    whole = stated in (None, _checksum(record)) and name == f"{attachment.key}{_SUFFIX}"
    return (attachment, record) if whole else None


def _checksum(record: Mapping[str, Any]) -> str:
    """CRC-32 of the record, whatever the order of its keys: against torn files, not against people."""
    return f"{crc32(json.dumps(record, sort_keys=True).encode()):08x}"


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """Replace an attachment's record, as a step of a plan. Undone, the record that was there before
    is back.
    """

    plugin: str
    attachment: Attachment
    content: Mapping[str, Any]

    def do(self, host: Host) -> Undo:
        records = Records(host, self.plugin)
        before = records.read(self.attachment)
        return attempt(
            host,
            lambda: records.write(self.attachment, self.content),
            lambda: _put_back(records, self.attachment, before),
        )


def _put_back(records: Records, attachment: Attachment, before: Mapping[str, Any] | None) -> None:
    if before is None:
        records.remove(attachment)
    else:
        records.write(attachment, before)
