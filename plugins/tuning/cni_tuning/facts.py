"""What must be known of the host before planning, and before restoring."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cni_tuning import NAME
from cni_tuning.config import Attributes, Config, backup_path
from linkspan.call.records import Records
from linkspan.cni.errors import KernelRefused, NotAFile

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host, Link

ALLOWLIST = "/etc/cni/tuning/allowlist.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What ADD decides from; only what the configuration would change is read.

    `allowlist` is the content of the administrator's file, None if there is none. `sysctls` has the present
    value of each path, None if this kernel has no such sysctl. `present` is what the interface has now,
    `backup` the file that an earlier ADD wrote.
    """

    allowlist: bytes | None
    sysctls: Mapping[str, str | None]
    present: Attributes
    backup: bytes | None


@dataclass(frozen=True, slots=True)
class Backup:
    """The backup file of an attachment, and the original properties of its interface."""

    path: str
    attributes: Attributes


def read_facts(request: Request, config: Config, host: Host) -> Facts:
    """Read the facts, none at all for an empty configuration.

    Raises KernelRefused, also if the interface does not exist, NetnsGone, IoFailure.
    """
    return Facts(
        allowlist=read_allowlist(config, host),
        sysctls=_sysctls(request, config, host),
        present=_present(request, config, host),
        backup=host.files.read(backup_path(request, request.attachment)) if config.attributes else None,
    )


def read_allowlist(config: Config, host: Host) -> bytes | None:
    """The administrator's allowlist; not read without sysctls."""
    return host.files.read(ALLOWLIST) if config.sysctls else None


def read_backup(request: Request, host: Host) -> Backup:
    """The backup of an attachment, where ADD recorded it, else where the configuration has it."""
    record = Records(host, NAME).read(request.attachment) or {}
    path = _recorded_path(request, request.attachment, record)
    return Backup(path, Attributes.from_backup(_content(host, path)))


def _content(host: Host, path: str) -> bytes | None:
    """The content of a backup file; None if there is no file, but perhaps something else."""
    with suppress(NotAFile):
        return host.files.read(path)
    return None


def read_stale(request: Request, host: Host) -> list[tuple[Attachment, str]]:
    """The attachments whose records GC removes, each with the path of its backup."""
    return [
        (attachment, _recorded_path(request, attachment, record))
        for attachment, record in Records(host, NAME).stale(request)
    ]


def _recorded_path(request: Request, attachment: Attachment, record: Mapping[str, Any]) -> str:
    path = record.get("backup")
    if isinstance(path, str) and path.startswith("/"):
        return path
    return backup_path(request, attachment)


def values_of(link: Link, attributes: Attributes) -> Attributes:
    """A link's own values of the properties that are set in `attributes`."""
    return Attributes(**{name: getattr(link, name) for name, _ in attributes.given()})


def _sysctls(request: Request, config: Config, host: Host) -> dict[str, str | None]:
    if not config.sysctls:
        return {}
    links = host.links(request.netns)
    return {each.path: links.sysctl(each.path) for each in config.sysctls}


def _present(request: Request, config: Config, host: Host) -> Attributes:
    if not config.attributes:
        return Attributes()
    link = host.links(request.netns).get(request.ifname)
    if link is None:
        raise KernelRefused(f"find the interface {request.ifname} in the container", errno.ENODEV)
    return values_of(link, config.attributes)
