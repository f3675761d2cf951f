"""Records: what a plugin did for an attachment, enough to take it back or to build it again.

One JSON file for each (plugin, attachment) under the host's state folder, which does not outlive a boot. A
record is written before the objects it names and removed after them, so whoever dies between leaves a record
that says too much, never too little.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call.transaction import attempt
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from linkspan.call.transaction import Undo
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


class Records:
    """The records of one plugin on one host."""

    def __init__(self, host: Host, plugin: str) -> None:
        self._files = host.files
        self._folder = paths.records(host.state_dir, plugin)

    def write(self, attachment: Attachment, content: Mapping[str, Any]) -> None:
        """Replace the attachment's record. `content` is JSON; the attachment's words are added to it."""
        whole = {
            "network": attachment.network,
            "containerID": attachment.container_id,
            "ifname": attachment.ifname,
            **content,
        }
        self._files.write(self._path(attachment), json.dumps(whole, indent=1).encode())

    def read(self, attachment: Attachment) -> dict[str, Any] | None:
        """The attachment's record, or None. A torn or foreign file counts as none."""
        return self._parsed(self._path(attachment))

    def remove(self, attachment: Attachment) -> bool:
        """Remove the attachment's record; False if there was none."""
        return self._files.remove(self._path(attachment))

    def all(self) -> Iterator[tuple[Attachment, dict[str, Any]]]:
        """Every attachment with its record, in no promised order."""
        for name in self._files.names(self._folder):
            record = self._parsed(f"{self._folder}/{name}")
            if record is not None:
                yield Attachment(record["network"], record["containerID"], record["ifname"]), record

    def stale(self, request: Request) -> list[tuple[Attachment, dict[str, Any]]]:
        """What GC takes back: this network's attachments that are not among the valid ones; nothing when
        those are not known.
        """
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
        return f"{self._folder}/{attachment.key}.json"

    def _parsed(self, path: str) -> dict[str, Any] | None:
        data = self._files.read(path)
        if data is None:
            return None
        try:
            record = json.loads(data)
        except ValueError:
            return None
        words = ("network", "containerID", "ifname")
        whole = isinstance(record, dict) and all(isinstance(record.get(word), str) for word in words)
        return record if whole else None


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
