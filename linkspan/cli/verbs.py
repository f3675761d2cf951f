"""Which verbs there are, and the overview of them. Imports no verb, and not click."""

from __future__ import annotations

from linkspan import __version__
from linkspan.cni.versions import VERSIONS

#: Verb -> what it does, in a sentence. Verb `a-b` is `command` in the module `linkspan.cli.a_b`.
VERBS = {
    "check": "Compare what attached containers have with what they were given.",
    "connect": "Attach a running container to a further network.",
    "create": "Create a network and print its ID.",
    "disconnect": "Detach a container from a network.",
    "exec": "Run a program of the host in the network namespace of a container.",
    "gc": "Take back what belongs to attachments whose container is gone.",
    "inspect": "Show networks in full, with their containers.",
    "install": "Write the plugins' executables, and sample lists on request.",
    "ls": "List networks.",
    "network": "Manage the networks that nerdctl, ctr, CRI and podman use.",
    "port": "Show where the host listens for the published ports of a container.",
    "ps": "List the containers of every runtime with their networks.",
    "reload": "Restore bridges, gateways, packet rules and names of the attached containers.",
    "replay": "Make a recorded plugin call again.",
    "resident": "Start, stop or show the resident of this network namespace.",
    "rm": "Remove networks that no container is attached to.",
    "status": "Say of every network whether a container could be attached now.",
    "trace-calls": "Record every plugin call in this network namespace.",
    "uninstall": "Remove what install wrote, and restore what it had replaced.",
}
DESCRIPTION = "Container networking for one Linux host, as CNI plugins."
VERSION = f"linkspan {__version__}, CNI {VERSIONS[0]} to {VERSIONS[-1]}"


def overview() -> str:
    """The text of `linkspan --help`."""
    width = max(map(len, VERBS)) + 2
    verbs = "\n".join(f"  {verb:{width}}{sentence}" for verb, sentence in sorted(VERBS.items()))
    return (
        "Usage: linkspan [OPTIONS] COMMAND [ARGS]...\n\n"
        f"  {DESCRIPTION}\n\n"
        "Options:\n"
        "  --version   Show the version and exit.\n"
        "  --debug     Show where an error was raised.\n"
        "  -h, --help  Show this message and exit.\n\n"
        f"Commands:\n{verbs}"
    )
