"""Serving a call in the process that a runtime started: without a resident, or when none is to be asked."""

import sys


def serve(cni_type: str, command: bytes, stdin: bytes) -> tuple[int, bytes]:
    """Exit status and stdout of one call, whatever goes wrong. `command` is CNI_COMMAND, b"" if the plugin is run by hand."""
    try:
        if command == b"VERSION":
            from linkspan.cni.versions import encode_versions

            return 0, encode_versions(stdin)
        from linkspan.launch.interpreter import enable_site_packages

        enable_site_packages()
        from linkspan.call.dispatch import main

        return main(cni_type, stdin)
    except Exception as error:
        return 1, _cannot_run(error)


def _cannot_run(error: Exception) -> bytes:
    """The error object of an installation that is not complete."""
    import json

    document = {
        "cniVersion": "1.1.0",
        "code": 199,
        "msg": f"linkspan cannot run here: {type(error).__name__}: {error}",
        "details": f"interpreter {sys.executable}; is linkspan installed completely for it? see `linkspan install`",
    }
    return json.dumps(document).encode() + b"\n"
