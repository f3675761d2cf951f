"""libcni's cache of results: a file NETWORK-ID-IFNAME for each attachment (libcni, api.go)."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment

CACHE_DIR = "/var/lib/cni/results"


def entry_of(attachment: Attachment) -> str:
    """The file that libcni keeps of an attachment."""
    return f"{CACHE_DIR}/{attachment.network}-{attachment.container_id}-{attachment.ifname}"


def has_others(known: Collection[str]) -> bool:
    """Whether there is an entry of a network other than `known`. Reads none of them; false for who
    may not look.
    """
    prefixes = tuple(f"{each}-" for each in known)
    try:
        return not all(each.startswith(prefixes) for each in os.listdir(CACHE_DIR))
    except OSError:
        return False
