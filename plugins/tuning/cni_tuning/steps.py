"""What tuning changes of the host, and how it is restored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_tuning import NAME
from cni_tuning.config import Attributes
from linkspan.call.records import Records, discard
from linkspan.call.transaction import Undo, attempt
from linkspan.cni.errors import CniError, InvalidNetns

if TYPE_CHECKING:
    from cni_tuning.facts import Backup
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host, Links


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """Set a sysctl of the container, `path` below /proc/sys/net."""

    netns: str
    path: str
    value: str
    before: str

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        return attempt(
            host,
            lambda: links.set_sysctl(self.path, self.value),
            lambda: links.set_sysctl(self.path, self.before),
        )


@dataclass(frozen=True, slots=True)
class WriteBackup:
    """Write the backup file; `before` is its earlier content, None if it is new."""

    path: str
    content: bytes
    before: bytes | None

    def do(self, host: Host) -> Undo:
        return attempt(host, lambda: host.files.write(self.path, self.content), lambda: self._put_back(host))

    def _put_back(self, host: Host) -> None:
        if self.before is None:
            host.files.remove(self.path)
        else:
            host.files.write(self.path, self.before)


@dataclass(frozen=True, slots=True)
class ChangeInterface:
    """Change an interface of the container in one request, and notify its neighbours of a new MAC address.

    The kernel changes one property after the other, and stops at the first that it refuses.
    """

    netns: str
    ifname: str
    attributes: Attributes
    before: Attributes

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        return attempt(host, lambda: self._change(links), lambda: restore(links, self.ifname, self.before))

    def _change(self, links: Links) -> None:
        links.change(self.ifname, **dict(self.attributes.given()))
        if self.attributes.mac is not None:
            links.announce(self.ifname)


def restore(links: Links, ifname: str, original: Attributes) -> list[str]:
    """Give an interface its original properties back; the failures as sentences."""
    failures = []
    for name, value in original.given():
        try:
            links.change(ifname, **{name: value})
        except CniError as error:
            failures.append(f"{name} of {ifname} was not restored: {error.msg}")
    return failures


def restore_from(backup: Backup, request: Request, host: Host) -> None:
    """Restore a container's interface if it still exists; what cannot be restored is a warning.

    A recycled /proc/PID path may lead to the host, whose interface of that name is not the container's.
    """
    if not backup.attributes or not request.netns:
        return
    if host.same_netns(request.netns) and not request.own_netns_allowed:
        return
    try:
        links = host.links(request.netns)
    except InvalidNetns:
        return
    if links.get(request.ifname) is not None:
        for failure in restore(links, request.ifname, backup.attributes):
            host.warn(f"tuning: {failure}")


def forget(host: Host, attachment: Attachment, path: str) -> None:
    """Remove a backup file, then the record that names it."""
    discard(host.files, path)
    Records(host, NAME).remove(attachment)
