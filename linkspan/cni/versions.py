"""The CNI versions we speak, and the answer to VERSION: apart from `wire`, because runtimes ask for it at
every turn.

podman runs VERSION on every plugin of every network each time it starts, so the question as runtimes write it
is answered without json, which takes as long to load as the interpreter to start.
"""

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
LATEST = VERSIONS[-1]
_SUPPORTED = ", ".join([f'"{version}"' for version in VERSIONS])
_PLAIN_QUESTIONS = {
    f'{{"cniVersion":{blank}"{version}"}}'.encode(): version for version in VERSIONS for blank in ("", " ")
}


def encode_versions(stdin: bytes) -> bytes:
    """The answer to VERSION: the caller's cniVersion echoed when it gives one, else the latest. Never
    fails.
    """
    version = _PLAIN_QUESTIONS.get(stdin.strip()) if stdin else LATEST
    return _answer(f'"{version}"' if version else _asked(stdin))


def _asked(stdin: bytes) -> str:
    """The JSON string to echo, whatever was sent."""
    import json

    try:
        asked = json.loads(stdin).get("cniVersion")
    except (ValueError, RecursionError, AttributeError):
        asked = None
    return json.dumps(asked if isinstance(asked, str) and asked else LATEST)


def _answer(version: str) -> bytes:
    return f'{{"cniVersion": {version}, "supportedVersions": [{_SUPPORTED}]}}\n'.encode()


def at_least(version: str, minimum: str) -> bool:
    """Whether a known CNI version is `minimum` or later."""
    return VERSIONS.index(version) >= VERSIONS.index(minimum)


#: The release of the reference plugins that ours replace: nerdctl reads it from `firewall` and requires 1.7.1
#: or later.
REFERENCE_RELEASE = "1.9.1"


def banner(cni_type: str) -> str:
    """What an executable says of itself when it is run by hand; the first two lines are the reference's."""
    from linkspan import __version__

    return (
        f"CNI {cni_type} plugin v{REFERENCE_RELEASE}\n"
        f"CNI protocol versions supported: {', '.join(VERSIONS)}\n"
        f"linkspan {__version__}: a container runtime runs this plugin. See `linkspan --help`.\n"
    )
