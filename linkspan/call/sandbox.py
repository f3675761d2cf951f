"""Which network namespace an attachment leads into, and whether the container in it lives on.

The plugin that makes a container's interface writes it into its record, where the DEL of every plugin of the
list finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linkspan.call.records import Records
from linkspan.host.contract import Netns

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host

#: The plugin that makes interfaces, and the key of its record.
_MAKER, KEY = "bridge", "sandbox"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A container's network namespace in one boot; `path` is where ADD found it."""

    netns: Netns
    path: str
    boot: str

    @classmethod
    def of(cls, host: Host, path: str) -> Sandbox:
        """The one at a path. Raises NetnsGone, InvalidNetns, KernelRefused."""
        return cls(host.namespaces.identify(path), path, host.boot)

    @classmethod
    def of_attachment(cls, host: Host, attachment: Attachment) -> Sandbox | None:
        """The one that the attachment was recorded with; None for one that no plugin of ours has made, or an
        earlier build. Raises IoFailure.
        """
        record = Records(host, _MAKER).read(attachment)
        return None if record is None else cls.from_json(record.get(KEY))

    def to_json(self) -> dict[str, Any]:
        """As records have it."""
        return {
            "inode": self.netns.inode,
            "cookie": self.netns.cookie,
            "path": self.path,
            "boot": self.boot,
        }

    @classmethod
    def from_json(cls, document: Any) -> Sandbox | None:
        """What `to_json` made; None for anything else."""
        if not isinstance(document, Mapping):
            return None
        inode, cookie = document.get("inode"), document.get("cookie")
        path, boot = document.get("path"), document.get("boot")
        if (
            isinstance(inode, int)
            and isinstance(cookie, int)
            and isinstance(path, str)
            and isinstance(boot, str)
        ):
            return cls(Netns(inode, cookie), path, boot)
        return None

    def is_alive(self, host: Host, attachment: Attachment) -> bool:
        """Whether the attachment's veth pair exists and a process or a mount still uses its namespace.

        A namespace that the kernel is still destroying is not in use. Raises KernelRefused.
        """
        return (
            self.boot == host.boot
            and host.links().get(attachment.host_veth) is not None
            and host.namespaces.is_held(self.netns, likely=self.path)
        )
