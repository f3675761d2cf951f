"""What tuning asks of the host, one request each, each with its undo."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_tuning.attributes import Attributes
from cni_tuning.config import Sysctl
from linkspan.call.records import Records
from linkspan.call.transaction import Transaction, Undo, keep
from linkspan.cni.errors import CniError, KernelRefused, UnsupportedField

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host, Link, Links

PLUGIN = "tuning"


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """A sysctl of the container; its undo is the value before."""

    netns: str
    sysctl: Sysctl

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        before = links.sysctl(self.sysctl.path)
        if before is None:
            raise UnsupportedField(
                f'$.sysctl: this kernel has no {self.sysctl.key[:60]}, to be set to "{self.sysctl.value[:24]}"',
                f"there is no /proc/sys/net/{self.sysctl.path} in the container",
            )
        links.set_sysctl(self.sysctl.path, self.sysctl.value)
        return lambda: links.set_sysctl(self.sysctl.path, before)


@dataclass(frozen=True, slots=True)
class Remember:
    """Record where the backup is: DEL may be told another folder, GC none."""

    attachment: Attachment
    path: str

    def do(self, host: Host) -> Undo:
        records = Records(host, PLUGIN)
        known = records.read(self.attachment) is not None
        records.write(self.attachment, {"backup": self.path})
        return keep if known else lambda: records.remove(self.attachment)


@dataclass(frozen=True, slots=True)
class Backup:
    """Keep what the interface has before it is changed. What an earlier ADD kept is older, and stays."""

    netns: str
    ifname: str
    path: str
    wanted: Attributes

    def do(self, host: Host) -> Undo:
        link = existing(host.links(self.netns), self.ifname)
        earlier = host.files.read(self.path)
        kept = Attributes.from_backup(earlier).or_else(self.wanted.present_in(link))
        host.files.write(self.path, kept.to_backup())
        if earlier is None:
            return lambda: host.files.remove(self.path)
        return lambda: host.files.write(self.path, earlier)


@dataclass(frozen=True, slots=True)
class Tune:
    """Change the interface, all at once; neighbours are told of a new MAC."""

    netns: str
    ifname: str
    wanted: Attributes

    def do(self, host: Host) -> Undo:
        links = host.links(self.netns)
        before = self.wanted.present_in(existing(links, self.ifname))
        with Transaction(host) as transaction:
            # The kernel changes one after the other and stops at the one it refuses.
            transaction.on_failure(lambda: restore(links, self.ifname, before))
            links.change(self.ifname, **dict(self.wanted.given()))
            if self.wanted.mac is not None:
                links.announce(self.ifname)
        return lambda: restore(links, self.ifname, before)


def existing(links: Links, ifname: str) -> Link:
    """The container's interface. Raises KernelRefused(ENODEV) if there is none."""
    link = links.get(ifname)
    if link is None:
        raise KernelRefused(f"find the interface {ifname} in the container", errno.ENODEV)
    return link


def restore(links: Links, ifname: str, kept: Attributes) -> list[str]:
    """Give an interface back what it had, as far as the kernel lets us; what it refuses, as sentences."""
    refused = []
    for name, value in kept.given():
        try:
            links.change(ifname, **{name: value})
        except CniError as error:
            refused.append(f"{name} of {ifname} stays: {error.msg}")
    return refused


def forget(host: Host, attachment: Attachment, path: str) -> None:
    """Remove a backup, then the record that names it."""
    host.files.remove(path)
    Records(host, PLUGIN).remove(attachment)
