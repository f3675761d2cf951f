"""`linkspan network`: the verbs on networks. Those that no other command has the name of need no
`network` in front.
"""

from __future__ import annotations

from linkspan.cli.group import Verbs

#: Verb -> what it does, in a sentence.
VERBS = {
    "connect": "Attach a running container to a further network.",
    "create": "Create a network and print its ID.",
    "disconnect": "Detach a container from a network.",
    "inspect": "Show networks in full, with their containers.",
    "ls": "List networks.",
    "prune": "Remove all networks that no container is attached to.",
    "rm": "Remove networks that no container is attached to.",
    "update": "Change a network's list in place.",
}

command = Verbs(VERBS, name="network", help="Manage the networks that nerdctl, ctr, CRI and podman use.")
