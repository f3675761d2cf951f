"""From bytes to bytes: the one path that every call of every plugin takes, in a fresh process or a warm
worker.

`answer` is all of it and performs no I/O of its own; `main` is the only reader of environment and working
directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.call import kept_warnings
from linkspan.call.trace.switch import folder_for
from linkspan.call.transaction import INTERRUPTIONS, Observer, Transaction, as_cni_error
from linkspan.cni.errors import Bug, InvalidConfig, InvalidNetns, NotReady, ToolMissing, TryAgain
from linkspan.cni.request import Input, configured, questionable, read_request
from linkspan.cni.result import encode_error, encode_result
from linkspan.cni.versions import encode_versions

if TYPE_CHECKING:
    from linkspan.call.plugin import Plugin
    from linkspan.call.trace.record import Recorder
    from linkspan.cni.model import Request, Result
    from linkspan.host.contract import Host

#: (exit status, what goes to stdout)
Answer = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who waits for the answer.

    `is_connected` is asked once the attachment is locked and nothing is done yet, and again after ADD: a call
    whose caller is gone is not served, or undone. `log` gets the traceback of an internal fault.
    """

    is_connected: Callable[[], bool] = lambda: True
    log: Callable[[str], object] = lambda _: None


def answer(
    plugin: Plugin,
    stdin: bytes,
    env: Mapping[str, str],
    host: Host,
    *,
    cwd: str = "/",
    caller: Caller | None = None,
    observer: Observer | None = None,
) -> Answer:
    """Serve one call: (0, result) or (1, error object). No exception leaves it."""
    if env.get("CNI_COMMAND") == "VERSION":
        return 0, encode_versions(stdin)
    caller = caller or Caller()
    given = Input.parse(stdin)
    try:
        request = read_request(plugin.type, env, given, cwd=cwd)
        return 0, _served(plugin, request, host, caller, observer)
    except (Exception, *INTERRUPTIONS) as error:
        reported = as_cni_error(error) or Bug.of(error)
        if isinstance(reported, Bug):
            caller.log(reported.trace)
        return 1, encode_error(reported, given.error_version)


def serve(
    plugin: Plugin,
    stdin: bytes,
    env: Mapping[str, str],
    host: Host,
    *,
    cwd: str = "/",
    caller: Caller | None = None,
) -> Answer:
    """`answer`, and a record of the call where tracing is on. A trace that cannot be written is a warning."""
    folder = _trace_folder(env, host)
    recorder = _recorder(plugin, stdin, env, cwd, host) if folder else None
    if recorder is None:
        return answer(plugin, stdin, env, host, cwd=cwd, caller=caller)
    caller = caller or Caller()

    def log(traceback: str) -> None:
        caller.log(traceback)
        recorder.failed(traceback)

    watched = Caller(caller.is_connected, log)
    answered = answer(plugin, stdin, env, recorder.host, cwd=cwd, caller=watched, observer=recorder)
    try:
        recorder.write(folder, answered)
    except (Exception, *INTERRUPTIONS) as error:
        why = error.strerror if isinstance(error, OSError) else repr(error)
        host.warn(f"the call is not traced: {folder}: {why}")
    return answered


def _recorder(plugin: Plugin, stdin: bytes, env: Mapping[str, str], cwd: str, host: Host) -> Recorder | None:
    """What records the call; None if the call cannot be recorded, whatever was sent."""
    from linkspan.call.trace.record import Recorder

    try:
        return Recorder(plugin.type, stdin, env, cwd, host)
    except (Exception, *INTERRUPTIONS) as error:
        host.warn(f"the call is not traced: {error!r}")
        return None


def _trace_folder(env: Mapping[str, str], host: Host) -> str:
    """Tracing is an extra: whatever keeps us from knowing whether it is on does not keep the call from being
    served.
    """
    try:
        return folder_for(env, host)
    except (Exception, *INTERRUPTIONS) as error:
        host.warn(f"the call is not traced: {error}")
        return ""


def perform(plugin: Plugin, request: Request, host: Host) -> Result | None:
    """Carry out a request for a parent plugin, with the parent's host; ADD's result, None for the other
    verbs.

    Raises CniError.
    """
    request = configured(request, plugin.type, plugin.schema)
    with _exclusive(plugin, request, host) as transaction:
        return _performed(plugin, request, host, transaction, Caller())


def _served(plugin: Plugin, request: Request, host: Host, caller: Caller, observer: Observer | None) -> bytes:
    """What stdout gets. ADD's result is encoded while it can still be undone: 0.2.0 has no result without
    addresses.
    """
    request = configured(request, plugin.type, plugin.schema)
    has_deferred = _has_deferred(request, host)
    if has_deferred:
        request = _after_deferred_deletions(request, host)
    earlier = len(host.warnings)
    with _exclusive(plugin, request, host, observer) as transaction:
        if not caller.is_connected():
            raise TryAgain("the caller disconnected before the call was started", "nothing was changed")
        if request.verb == "DEL" and not request.netns and _is_deferred(plugin, request, host):
            return b""
        if has_deferred:
            _settle_deferred(plugin, request, host)
        result = _performed(plugin, request, host, transaction, caller)
        encoded = b"" if result is None else encode_result(result, request.cni_version)
        if request.verb in kept_warnings.VERBS:
            kept_warnings.keep(host, plugin.type, request, host.warnings[earlier:])
    if plugin.after is not None and request.verb in ("ADD", "DEL"):
        told = len(host.warnings)
        _call_after(plugin.after, request, host)
        if request.verb in kept_warnings.VERBS and len(host.warnings) > told:
            kept_warnings.keep(host, plugin.type, request, host.warnings[earlier:])
    return encoded


def _call_after(after: Callable[[Request, Host], None], request: Request, host: Host) -> None:
    """What follows from a call is an extra: the call itself has succeeded."""
    try:
        after(request, host)
    except (Exception, *INTERRUPTIONS) as error:
        host.warn(f"after {request.verb}: {error}")


def _with_spared(request: Request, host: Host) -> Request:
    """A GC that takes what `linkspan connect` attached for valid, which no runtime knows."""
    if request.valid_attachments is None or not host.files.names(paths.connections()):
        return request
    from linkspan.call.connections import spared

    return replace(request, valid_attachments=request.valid_attachments | spared(host, request.network))


def _has_deferred(request: Request, host: Host) -> bool:
    """Whether a DEL waits for its container, which calls that change anything see to first."""
    return request.verb in ("ADD", "DEL", "GC") and bool(host.files.names(paths.deferred(host.state_dir)))


def _after_deferred_deletions(request: Request, host: Host) -> Request:
    """Carry out the DELs whose containers have ended. The others are of living ones, which GC spares."""
    from linkspan.call import deferral

    deferral.finish(host, again=request.verb == "GC")
    return deferral.sparing(request, host) if request.verb == "GC" else request


def _is_deferred(plugin: Plugin, request: Request, host: Host) -> bool:
    from linkspan.call import deferral

    return deferral.defer(plugin.type, request, host)


def _settle_deferred(plugin: Plugin, request: Request, host: Host) -> None:
    """A DEL of this attachment may be waiting for its container: an ADD comes after it, a DEL replaces it."""
    from linkspan.call import deferral

    if request.verb == "ADD":
        deferral.finish_own(host, plugin.type, request.attachment)
    elif request.verb == "DEL":
        deferral.drop(host, plugin.type, request.attachment)


@contextmanager
def _exclusive(
    plugin: Plugin, request: Request, host: Host, observer: Observer | None = None
) -> Iterator[Transaction]:
    """The call's transaction, inside the lock of its attachment where it has one: no other verb sees half of
    it.
    """
    _guard_netns(request, host)
    if request.verb == "ADD":
        for sentence in questionable(request, plugin.schema):
            host.warn(f"{plugin.type}: {sentence}")
    of_attachment = request.verb in ("ADD", "DEL", "CHECK")
    lock = host.files.lock_attachment(plugin.type, request.attachment) if of_attachment else nullcontext()
    with lock, Transaction(host, observer) as transaction:
        yield transaction


def _performed(
    plugin: Plugin, request: Request, host: Host, transaction: Transaction, caller: Caller
) -> Result | None:
    if request.verb in ("ADD", "CHECK"):
        _require_prev_result(plugin, request)
    if request.verb == "ADD":
        result = plugin.add(request, host, transaction)
        if not caller.is_connected():
            raise TryAgain("the caller disconnected during ADD", "the ADD was rolled back")
        return result
    if request.verb == "STATUS":
        _require_ready(plugin, request, host)
    else:
        act = {"DEL": plugin.delete, "CHECK": plugin.check, "GC": plugin.gc}
        request = _with_spared(request, host) if request.verb == "GC" else request
        act[request.verb](request, host)
        if request.verb != "CHECK":
            kept_warnings.forget(host, plugin.type, request)
    return None


def _require_prev_result(plugin: Plugin, request: Request) -> None:
    if request.prev_result is not None:
        return
    if plugin.chained:
        raise InvalidConfig(
            f"{request.plugin} must be called as a chained plugin: prevResult is missing",
            "list it after a plugin that creates an interface, such as bridge",
        )
    if request.verb == "CHECK":
        raise InvalidConfig("prevResult is missing", "CHECK needs the result of ADD as prevResult")


def _require_ready(plugin: Plugin, request: Request, host: Host) -> None:
    """Raise NotReady unless an ADD could be served now.

    What the plugin misses on the host is missing for ADD too. Every ADD locks its attachment in the state
    directory, and most leave a record there.
    """
    try:
        plugin.status(request, host)
    except ToolMissing as error:
        raise NotReady(error.msg, error.details) from None
    if not host.files.can_write(host.state_dir):
        raise NotReady(
            f"{host.state_dir} is not writable", "check whether its file system is read-only or full"
        )


def _guard_netns(request: Request, host: Host) -> None:
    """Never work on the host's own namespace, to which a recycled /proc/PID path leads, unless intended."""
    if request.own_netns_allowed or request.verb not in ("ADD", "CHECK"):
        return
    if host.same_netns(request.netns):
        raise InvalidNetns(
            "plugin's netns and netns from CNI_NETNS should not be the same",
            f"CNI_NETNS is {request.netns}; set CNI_NETNS_OVERRIDE=1 if this is intended",
        )
