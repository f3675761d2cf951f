"""From bytes to bytes: the one path that every call of every plugin takes, in a fresh process or a warm worker.

`answer` is all of it and touches nothing itself; `main` is the only reader of stdin, environment and working directory, and the
only writer of stdout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from linkspan.cni import wire
from linkspan.cni.errors import Bug, CniError, InvalidConfig, InvalidNetns, NotReady, TryAgain
from linkspan.cni.schema import check, load
from linkspan.cni.versions import VERSIONS, encode_versions

if TYPE_CHECKING:
    from linkspan.call.plugin import Plugin
    from linkspan.cni.model import Request, Result
    from linkspan.host.contract import Host

#: (exit status, what goes to stdout)
Answer = tuple[int, bytes]


def always_wanted() -> bool:
    """Whether the caller still waits: a process of its own dies with its caller."""
    return True


def answer(
    plugin: Plugin,
    stdin: bytes,
    env: Mapping[str, str],
    host: Host,
    *,
    cwd: str = "/",
    wanted: Callable[[], bool] = always_wanted,
) -> Answer:
    """Serve one call: (0, result) or (1, error object). No exception leaves it.

    `wanted` is asked once the attachment is ours and nothing is done yet: a call whose caller is gone is not served. An ADD whose caller
    went away meanwhile is undone before the attachment is given up, so that the DEL that follows finds its order kept.
    """
    if env.get("CNI_COMMAND") == "VERSION":
        return 0, encode_versions(stdin)
    try:
        request = wire.read_request(plugin.type, env, stdin, load(plugin.schema), cwd=cwd)
        result = perform(plugin, request, host, wanted=wanted)
        return 0, b"" if result is None else _encoded(plugin, request, host, result)
    except CniError as error:
        return 1, wire.encode_error(error, wire.error_version(stdin))
    except Exception as error:
        return 1, wire.encode_error(_as_bug(error), wire.error_version(stdin))


def _encoded(plugin: Plugin, request: Request, host: Host, result: Result) -> bytes:
    """ADD's answer. What this version of CNI cannot say (0.2.0 knows no result without addresses) is taken back."""
    try:
        return wire.encode_result(result, request.cni_version)
    except CniError:
        perform(plugin, replace(request.as_verb("DEL"), prev_result=None), host)
        raise


def perform(
    plugin: Plugin, request: Request, host: Host, *, wanted: Callable[[], bool] = always_wanted
) -> Result | None:
    """Carry out one decoded request; ADD's result, None for the other verbs. Raises CniError.

    Delegation to a plugin of ours comes in here too, with the parent's host.
    """
    if request.verb in ("ADD", "CHECK", "GC", "STATUS"):
        check(request.config, plugin.schema)
    if request.verb == "STATUS":
        plugin.status(request, host)
        _see_that_state_can_be_written(host)
        return None
    if request.verb == "GC":
        plugin.gc(request, host)
        return None
    _guard_netns(request, host)
    with host.files.lock_attachment(plugin.type, request.attachment):
        if not wanted():
            raise TryAgain("the caller went away before its turn", "nothing was done")
        return _perform_locked(plugin, request, host, wanted)


def _perform_locked(
    plugin: Plugin, request: Request, host: Host, wanted: Callable[[], bool]
) -> Result | None:
    if request.verb == "DEL":
        plugin.delete(request, host)
        return None
    if plugin.chained and request.prev_result is None:
        raise InvalidConfig(
            f"{request.plugin} must be called as a chained plugin: prevResult is missing",
            "list it after a plugin that makes an interface, such as bridge",
        )
    if request.verb == "CHECK":
        if request.prev_result is None:
            raise InvalidConfig(
                "prevResult is missing", "CHECK judges what ADD answered: pass its result as prevResult"
            )
        plugin.check(request, host)
        return None
    result = plugin.add(request, host)
    if not wanted():
        plugin.delete(replace(request.as_verb("DEL"), prev_result=None), host)
        raise TryAgain("the caller went away during ADD", "what ADD had made was taken back")
    return result


def _see_that_state_can_be_written(host: Host) -> None:
    """Every ADD locks its attachment there, and most leave a record."""
    if not host.files.can_write(host.state_dir):
        raise NotReady(
            f"state cannot be written in {host.state_dir}", "is it on a file system that is read-only?"
        )


def _guard_netns(request: Request, host: Host) -> None:
    """Never work on the host's own namespace (a recycled /proc/PID path leads there) unless told that it is meant."""
    overridden = request.env.get("CNI_NETNS_OVERRIDE", "").lower() in ("1", "true")
    if request.verb in ("ADD", "CHECK") and not overridden and host.same_netns(request.netns):
        raise InvalidNetns(
            "plugin's netns and netns from CNI_NETNS should not be the same",
            f"CNI_NETNS is {request.netns}; set CNI_NETNS_OVERRIDE=1 if this is meant",
        )


def _as_bug(error: Exception) -> Bug:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    return Bug(f"a fault in linkspan: {type(error).__name__} at {place}", f"{error}; please report it")


#: The release of the reference plugins that ours stand in for: nerdctl reads it off `firewall` and asks for 1.7.1 or later.
STANDS_IN_FOR = "1.9.1"


def banner(cni_type: str) -> str:
    """What an executable says of itself when it is run by hand, for stderr; the first two lines are the reference's."""
    from linkspan import __version__

    return (
        f"CNI {cni_type} plugin v{STANDS_IN_FOR}\n"
        f"CNI protocol versions supported: {', '.join(VERSIONS)}\n"
        f"linkspan {__version__}: a container runtime runs this plugin. See `linkspan --help`.\n"
    )


def main(cni_type: str, stdin: bytes | None) -> int:
    """Serve the call this process was started for and return its exit status. `stdin` is what was read of it already, if anything."""
    import os

    if not os.environ.get("CNI_COMMAND"):
        os.write(2, banner(cni_type).encode())
        return 0
    if stdin is None:
        stdin = _read_all(0)
    if os.environ["CNI_COMMAND"] == "VERSION":
        status, stdout = 0, encode_versions(stdin)
    else:
        status, stdout = _answer_here(cni_type, stdin)
    _write_all(1, stdout)
    return status


def _answer_here(cni_type: str, stdin: bytes) -> Answer:
    import os

    from linkspan.call.plugin import load as load_plugin
    from linkspan.host.linux import LinuxHost

    host = LinuxHost()
    try:
        return answer(load_plugin(cni_type), stdin, dict(os.environ), host, cwd=_working_directory())
    finally:
        host.close()


def _working_directory() -> str:
    import os

    try:
        return os.getcwd()
    except OSError:
        return "/"


def _read_all(fd: int) -> bytes:
    import os

    chunks = []
    while chunk := os.read(fd, 1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


def _write_all(fd: int, data: bytes) -> None:
    import os

    while data:
        data = data[os.write(fd, data) :]
