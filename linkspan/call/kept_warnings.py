"""The warnings of calls that succeeded, kept with their attachment: most runtimes show a plugin's stderr to
nobody.

There is a record for each plugin and attachment if there were warnings: {"ADD": [sentence, ...], "CHECK":
[...]}, those of the last call of each verb. DEL and GC remove it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call.records import Records
from linkspan.cni.errors import CniError

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host

#: The folder of the records of all plugins, and the verbs whose warnings are kept, as they are read.
FOLDER = "warnings"
VERBS = ("ADD", "CHECK")


def keep(host: Host, plugin: str, request: Request, sentences: Sequence[str]) -> None:
    """Keep the warnings of an ADD or CHECK instead of those of the one before.

    An ADD without any asks nothing of the host: there is a record only if an ADD is repeated without a DEL.
    """
    _unless_refused(host, partial(_keep, records_of(host, plugin), request, sentences))


def forget(host: Host, plugin: str, request: Request) -> None:
    """Remove what is kept of the attachments that a DEL or GC has removed."""
    _unless_refused(host, partial(_forget, records_of(host, plugin), request))


def kept(host: Host) -> dict[Attachment, tuple[str, ...]]:
    """What attachments were warned of, each sentence once. Raises IoFailure."""
    found: dict[Attachment, dict[str, None]] = {}
    for plugin in host.files.names(paths.records(host.state_dir, FOLDER)):
        for attachment, record in records_of(host, plugin).all():
            found.setdefault(attachment, {}).update(dict.fromkeys(_sentences(record)))
    return {attachment: tuple(sentences) for attachment, sentences in found.items()}


def records_of(host: Host, plugin: str) -> Records:
    """Where the warnings of a plugin are."""
    return Records(host, f"{FOLDER}/{plugin}")


def _keep(records: Records, request: Request, sentences: Sequence[str]) -> None:
    if request.verb == "ADD":
        if sentences:
            records.write(request.attachment, {"ADD": list(sentences)})
        return
    earlier = records.read(request.attachment) or {}
    content = {"ADD": earlier.get("ADD", []), "CHECK": list(sentences)}
    if any(content.values()):
        records.write(request.attachment, content)
    elif earlier:
        records.remove(request.attachment)


def _forget(records: Records, request: Request) -> None:
    stale = [each for each, _ in records.stale(request)] if request.verb == "GC" else [request.attachment]
    for each in stale:
        records.remove(each)


def _sentences(record: Mapping[str, Any]) -> Iterator[str]:
    for verb in VERBS:
        sentences = record.get(verb)
        if isinstance(sentences, list):
            yield from (each for each in sentences if isinstance(each, str))


def _unless_refused(host: Host, act: Callable[[], object]) -> None:
    """Warnings are an extra: what keeps us from keeping them does not keep the call from succeeding."""
    try:
        act()
    except CniError as error:
        host.warn(f"warnings are not kept: {error.msg}")
