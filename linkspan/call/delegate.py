"""Running another plugin for a plugin: IPAM for bridge (SPEC 1.1.0, section 4).

An executable that is ours is called in this process, with the same request; any other is run with the
caller's environment, working directory and stderr, and a marker that keeps plugins of ours below it from
asking a busy resident.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan import ALONE, STANDALONE
from linkspan.cni.errors import CniError, DelegateFailed, InvalidConfig, ToolMissing, UndecodableInput
from linkspan.cni.json_value import parse_json
from linkspan.cni.model import Result
from linkspan.cni.request import decode_document
from linkspan.cni.result import decode_result

if TYPE_CHECKING:
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host

#: Of an error object (libcni, types.Error: an unsigned int).
_LARGEST_CODE = 2**32 - 1


def delegate(cni_type: str, request: Request, host: Host, *, verb: str = "") -> Result | None:
    """Call `cni_type` with this request (as another `verb`, if given): its result for ADD, None otherwise.

    Raises DelegateFailed with the delegate's own code, message and details, ToolMissing when CNI_PATH has no
    such executable, InvalidConfig for a type that is no plain name.
    """
    if verb:
        request = request.as_verb(verb)
    executable = find(cni_type, request, host)
    ours = host.processes.own_type(executable)
    if ours == request.plugin:
        _refuse_itself(cni_type, request)
        return None
    if ours:
        return _call_ours(ours, request, host)
    return _call_foreign(executable, request, host)


def _refuse_itself(cni_type: str, request: Request) -> None:
    """A plugin would wait for the lock that it holds itself. DEL has nothing to remove: no such ADD
    succeeded.
    """
    if request.verb not in ("DEL", "GC"):
        raise InvalidConfig(
            f"$.ipam.type: {cni_type!r} is the plugin that delegates",
            "name an IPAM plugin, such as host-local",
        )


def find(cni_type: str, request: Request, host: Host) -> str:
    """The path of the executable of that type, searched in CNI_PATH. Raises as `delegate` does."""
    if "/" in cni_type or cni_type in (".", ".."):
        raise InvalidConfig(
            f"$.ipam.type: {cni_type!r} is a path", "name the plugin; it is searched in CNI_PATH"
        )
    executable = host.processes.find(cni_type, request.path)
    if executable is None:
        raise ToolMissing(
            f"the plugin {cni_type!r} is not in CNI_PATH",
            f"install it in a directory of CNI_PATH, which is {':'.join(request.path) or 'empty'}",
        )
    return executable


def _call_ours(cni_type: str, request: Request, host: Host) -> Result | None:
    from linkspan.call.dispatch import perform
    from linkspan.call.plugin import load

    return perform(load(cni_type), request, host)


def _call_foreign(executable: str, request: Request, host: Host) -> Result | None:
    env = {**request.env, STANDALONE: ALONE}
    finished = host.processes.run([executable], stdin=request.stdin, env=env, cwd=request.cwd)
    if finished.status != 0:
        raise _failure(executable, finished.status, finished.stdout)
    if request.verb != "ADD":
        return None
    try:
        return decode_result(decode_document(finished.stdout), request.cni_version)
    except CniError as error:
        raise UndecodableInput(f"{executable} returned an invalid result for ADD: {error.msg}") from None


def _failure(executable: str, status: int, stdout: bytes) -> CniError:
    """The delegate's own error; UndecodableInput if it answered none, or a code that libcni cannot read."""
    try:
        document = parse_json(stdout)
        code, msg, details = int(document["code"]), str(document["msg"]), str(document.get("details", ""))
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
        code, msg, details = 0, "", ""
    if not 0 < code <= _LARGEST_CODE:
        return UndecodableInput(
            f"{executable} failed with status {status} and no error object on stdout",
            "what it wrote to stderr may say why",
        )
    return DelegateFailed(code, msg, details)
