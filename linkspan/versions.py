"""The CNI versions we speak, and the answer to VERSION: apart from `wire`, because runtimes ask for it at every turn.

Imports json only, and that when it is needed: podman runs VERSION on every plugin of every network each time it starts.
"""

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
LATEST = VERSIONS[-1]


def encode_versions(stdin: bytes) -> bytes:
    """The answer to VERSION: the caller's cniVersion echoed when it gives one, else the latest. Never fails."""
    import json

    try:
        asked = json.loads(stdin).get("cniVersion")
    except (ValueError, RecursionError, AttributeError):
        asked = None
    version = asked if isinstance(asked, str) and asked else LATEST
    document = {"cniVersion": version, "supportedVersions": list(VERSIONS)}
    return json.dumps(document, sort_keys=True).encode() + b"\n"
