"""What must be known of the host before an attachment is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cni_dns.config import gateways
from cni_dns.server import client
from cni_dns.server.listen import is_local
from cni_dns.server.zone import Entry
from linkspan.call.records import read_json
from linkspan.steps.containers import bundle_config, bundle_name

if TYPE_CHECKING:
    from cni_dns.config import Config
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What ADD decides from.

    `bundle_name` is the container's name in its OCI bundle, "" without one. `listen` are the gateways that
    are addresses of this host, where the name server can be asked.
    """

    bundle_name: str
    listen: tuple[str, ...]


def read_facts(request: Request, config: Config, host: Host) -> Facts:
    """Read the facts. Raises InvalidConfig for a prevResult without interfaces, IoFailure."""
    del config
    path = bundle_config(request.container_id)
    return Facts(
        bundle_name=bundle_name(read_json(host.files, path)) if path else "",
        listen=tuple(each for each in gateways(request) if is_local(each)),
    )


def read_entry(attachment: Attachment, host: Host) -> Entry | None:
    """What ADD recorded for an attachment; None if nothing valid is recorded."""
    with client.running(host) as (_, records):
        record = records.read(attachment)
    return None if record is None else _parsed(record)


def read_entries(host: Host) -> tuple[Entry, ...]:
    """Every valid record of this network namespace."""
    with client.running(host) as (_, records):
        found = [_parsed(record) for _, record in records.all()]
    return tuple(entry for entry in found if entry is not None)


def read_stale(request: Request, host: Host) -> tuple[Attachment, ...]:
    """The recorded attachments that GC removes."""
    with client.running(host) as (_, records):
        return tuple(attachment for attachment, _ in records.stale(request))


def _parsed(record: Mapping[str, Any]) -> Entry | None:
    try:
        return Entry.from_record(record)
    except ValueError:
        return None
