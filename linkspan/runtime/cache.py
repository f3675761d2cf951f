"""libcni's cache of results: a file NETWORK-ID-IFNAME for each attachment (libcni, api.go)."""

from __future__ import annotations

import os
from collections.abc import Collection

CACHE_DIR = "/var/lib/cni/results"


def has_others(known: Collection[str]) -> bool:
    """Whether there is an entry of a network other than `known`. Reads none of them; false for who
    may not look.
    """
    prefixes = tuple(f"{each}-" for each in known)
    try:
        return not all(each.startswith(prefixes) for each in os.listdir(CACHE_DIR))
    except OSError:
        return False
