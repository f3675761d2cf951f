"""Serving a call in the process that a runtime started: without a resident, or when none is to be asked."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from linkspan.host.contract import Services


def serve(cni_type: str, command: bytes, stdin: bytes) -> tuple[int, bytes]:
    """Exit status and stdout of one call, whatever goes wrong.

    `command` is CNI_COMMAND, b"" if the plugin is run by hand.
    """
    try:
        from linkspan.launch.interpreter import enable_site_packages

        enable_site_packages()
        return _serve_plugin(cni_type, stdin) if command else _introduce(cni_type)
    except Exception as error:
        return 1, _cannot_run(error)


def _serve_plugin(cni_type: str, stdin: bytes) -> tuple[int, bytes]:
    import os

    from linkspan.call.dispatch import serve
    from linkspan.call.plugin import load
    from linkspan.host.linux import LinuxHost

    host = LinuxHost(services=_services)
    try:
        return serve(load(cni_type), stdin, dict(os.environ), host, cwd=_working_directory())
    finally:
        host.close()


def _services() -> "Services":
    from linkspan.daemon.services import LinuxServices

    return LinuxServices()


def _working_directory() -> str:
    import os

    try:
        return os.getcwd()
    except OSError:
        return "/"


def _introduce(cni_type: str) -> tuple[int, bytes]:
    """What an executable says on stderr when it is run by hand."""
    import os

    from linkspan.cni.versions import banner

    os.write(2, banner(cni_type).encode())
    return 0, b""


def _cannot_run(error: Exception) -> bytes:
    """The error object of an installation that is not complete."""
    import json

    document = {
        "cniVersion": "1.1.0",
        "code": 199,
        "msg": f"linkspan cannot run here: {type(error).__name__}: {error}",
        "details": f"interpreter {sys.executable}; is linkspan installed for it? see `linkspan install`",
    }
    return json.dumps(document).encode() + b"\n"
