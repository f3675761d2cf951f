"""Names and identifiers of networks. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: nerdctl's rule, which is Docker's (nerdctl, pkg/identifiers): at least two characters.
PATTERN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
#: libcni puts a network's name, a container ID of up to 76 characters and an interface name into one file
#: name of at most 255 bytes.
LONGEST = 128
#: The networks without a list: the host's own network namespace, and a namespace with only `lo`.
HOST, NONE = "host", "none"
#: Their identifiers, of which `network_id` is the function.
PREDEFINED_IDS = {
    HOST: "4740ae6347b0172c01254ff55bae5aff5199f4446e7f6d643d40185b3f475145",
    NONE: "140bedbf9c3f6d56a9846d2ba7088798683f4da0c248231336e6a05679e4fdfe",
}


def network_id(name: str) -> str:
    """64 hex digits, as nerdctl and podman derive them from a name."""
    # Loads OpenSSL, which costs more than all of `ls` that is ours; lists have their identifiers in them.
    from hashlib import sha256

    return sha256(name.encode()).hexdigest()


def default_bridge(name: str) -> str:
    """The bridge of a network unless it is chosen: nerdctl's rule for networks other than its default."""
    return f"br-{network_id(name)[:12]}"


def is_valid(name: str) -> bool:
    """Whether every runtime accepts a network of this name."""
    return len(name) <= LONGEST and PATTERN.fullmatch(name) is not None


def is_namespace(name: str) -> bool:
    """Whether a containerd namespace, and so a subdirectory, may have this name."""
    return re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", name) is not None


def similar(word: str, known: Iterable[str]) -> list[str]:
    """Up to three known words that a mistyped one may stand for, the most similar first."""
    from difflib import get_close_matches

    return get_close_matches(word, sorted(set(known)), n=3, cutoff=0.6)
