"""DEL without a namespace for a container that lives on, which is carried out when the container has ended.

`nerdctl kill -s HUP` and `ctr task kill -s HUP` send one whatever the signal does. To carry it out would take
the container's interface away, or, as the reference does, give its address to the next one. So the call is
kept as it came, one file for each plugin and attachment. Files whose content is not whole count as none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call import kept_warnings
from linkspan.call.exclusion import exclusively
from linkspan.call.plugin import load
from linkspan.call.records import discard, read_json
from linkspan.call.sandbox import Sandbox
from linkspan.cni.errors import CniError
from linkspan.cni.model import Attachment
from linkspan.cni.request import Input, configured, read_request

if TYPE_CHECKING:
    from linkspan.call.plugin import Plugin
    from linkspan.cni.model import Request
    from linkspan.host.contract import Files, Host

#: Seconds until a DEL that failed is tried again.
RETRY = 60.0
_VALID = "cni.dev/valid-attachments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """A DEL that is kept: the call as it came, and the container that it waits for.

    `since` is the time when it came, `tried` when it last failed, 0 for never (seconds since the epoch).
    """

    plugin: str
    attachment: Attachment
    sandbox: Sandbox
    stdin: bytes
    env: Mapping[str, str]
    cwd: str
    since: float
    tried: float = 0.0

    def may_be_tried(self, now: float) -> bool:
        """Whether it has not failed a short time ago."""
        return not 0 <= now - self.tried < RETRY

    def is_due(self, host: Host) -> bool:
        """Whether the container has ended. Raises KernelRefused."""
        return not self.sandbox.is_alive(host, self.attachment)


def defer(plugin: str, request: Request, host: Host) -> bool:
    """Keep a DEL that names no namespace if its container lives on; False if it is to be carried out now.

    Raises IoFailure, KernelRefused.
    """
    sandbox = Sandbox.of_attachment(host, request.attachment)
    if sandbox is None or not sandbox.is_alive(host, request.attachment):
        return False
    before = read(host, plugin, request.attachment)
    deferred = Deferred(
        plugin=plugin,
        attachment=request.attachment,
        sandbox=sandbox,
        stdin=request.stdin,
        env=dict(request.env),
        cwd=request.cwd,
        since=before.since if before else time.time(),
    )
    _write(host, deferred)
    return True


def finish(host: Host, *, again: bool = False) -> None:
    """Carry out the DELs whose containers have ended; with `again` also those that failed a short time ago.

    One that fails is kept, with a warning, and stops nothing else. Raises IoFailure.
    """
    for each in all_kept(host.files, host.state_dir):
        if again or each.may_be_tried(time.time()):
            _try(host, each)


def finish_own(host: Host, plugin: str, attachment: Attachment) -> None:
    """Carry out what a plugin has kept for an attachment, whose lock is held, also if the container lives on:
    the runtime attaches it anew. Raises what the DEL raises.
    """
    kept = read(host, plugin, attachment)
    if kept is not None:
        _delete(host, kept)
        drop(host, plugin, attachment)


def _try(host: Host, kept: Deferred) -> None:
    try:
        if kept.is_due(host):
            exclusively(host, kept.plugin, kept.attachment, partial(_carry_out, host, kept))
            _follow(host, kept)
    except Exception as error:
        reason = error.msg if isinstance(error, CniError) else repr(error)
        host.warn(f"{kept.plugin}: DEL of {kept.attachment}, which has ended, failed: {reason}")
        with suppress(CniError):
            _write(host, replace(kept, tried=time.time()))


def _carry_out(host: Host, kept: Deferred) -> None:
    """Unless another call has done it meanwhile, or the attachment is that of a new container by now."""
    if read(host, kept.plugin, kept.attachment) != kept:
        return
    if Sandbox.of_attachment(host, kept.attachment) in (None, kept.sandbox):
        _delete(host, kept)
    drop(host, kept.plugin, kept.attachment)


def _follow(host: Host, kept: Deferred) -> None:
    """What follows from a DEL of the plugin, without its lock."""
    plugin, request = _call(kept)
    if plugin.after is not None:
        plugin.after(request, host)


def _call(kept: Deferred) -> tuple[Plugin, Request]:
    plugin = load(kept.plugin)
    request = read_request(plugin.type, kept.env, Input.parse(kept.stdin), cwd=kept.cwd)
    return plugin, configured(request, plugin.type, plugin.schema)


def _delete(host: Host, kept: Deferred) -> None:
    plugin, request = _call(kept)
    plugin.delete(request, host)
    kept_warnings.forget(host, plugin.type, request)


def read(host: Host, plugin: str, attachment: Attachment) -> Deferred | None:
    """The DEL that a plugin has kept for an attachment, or None. Raises IoFailure."""
    return _at(host.files, _path(host, plugin, attachment))


def drop(host: Host, plugin: str, attachment: Attachment) -> None:
    """Keep it no longer. Raises IoFailure."""
    discard(host.files, _path(host, plugin, attachment))


def all_kept(files: Files, state_dir: str) -> list[Deferred]:
    """All of them in the order in which they came. Raises IoFailure."""
    folder = paths.deferred(state_dir)
    found = (_at(files, f"{folder}/{name}") for name in files.names(folder))
    return sorted((each for each in found if each is not None), key=lambda each: each.since)


def sparing(request: Request, host: Host) -> Request:
    """A GC that also counts as valid the attachments of its network whose DEL is kept, since they live on.

    Raises IoFailure.
    """
    valid = request.valid_attachments
    if valid is None:
        return request
    spared = {
        (each.attachment.container_id, each.attachment.ifname)
        for each in all_kept(host.files, host.state_dir)
        if each.attachment.network == request.network
    } - valid
    if not spared:
        return request
    document = {**request.document, _VALID: [_as_json(each) for each in sorted(valid | spared)]}
    return replace(
        request,
        valid_attachments=valid | spared,
        document=document,
        stdin=json.dumps(document).encode(),
    )


def _as_json(attachment: tuple[str, str]) -> dict[str, str]:
    return {"containerID": attachment[0], "ifname": attachment[1]}


def _path(host: Host, plugin: str, attachment: Attachment) -> str:
    return f"{paths.deferred(host.state_dir)}/{plugin}.{attachment.key}.json"


def _write(host: Host, deferred: Deferred) -> None:
    document = {
        **deferred.attachment.to_json(),
        "plugin": deferred.plugin,
        "sandbox": deferred.sandbox.to_json(),
        "stdin": deferred.stdin.decode("utf-8", "surrogateescape"),
        "env": dict(deferred.env),
        "cwd": deferred.cwd,
        "since": deferred.since,
        "tried": deferred.tried,
    }
    path = _path(host, deferred.plugin, deferred.attachment)
    host.files.write(path, json.dumps(document, indent=1).encode())


def _at(files: Files, path: str) -> Deferred | None:
    document = read_json(files, path)
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        return _decoded(document)
    return None


def _decoded(document: Any) -> Deferred | None:
    sandbox = Sandbox.from_json(document["sandbox"])
    if sandbox is None:
        return None
    return Deferred(
        plugin=str(document["plugin"]),
        attachment=Attachment.from_json(document),
        sandbox=sandbox,
        stdin=document["stdin"].encode("utf-8", "surrogateescape"),
        env={str(name): str(value) for name, value in document["env"].items()},
        cwd=str(document["cwd"]),
        since=float(document["since"]),
        tried=float(document["tried"]),
    )
