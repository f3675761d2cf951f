"""Which addresses were given back last, so that they are the last to be given out again: somebody may still take them for the one before.

Only a preference: a file that is lost, at the latest by a boot, means plain round robin, and no address is refused on its account.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from linkspan import paths
from linkspan.cni.errors import IoFailure

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: How many are remembered of a pool. Round robin takes longer than that to come back in a pool with more room.
REMEMBERED = 256


class Released:
    """The addresses of one pool that were given back, by their text. Both methods want the pool's lock held."""

    def __init__(self, host: Host, pool: str) -> None:
        self._files = host.files
        self._path = paths.released(host.state_dir, pool)

    def oldest_first(self) -> dict[str, int]:
        """Address -> its place in the order of release. Addresses that are taken again may be among them."""
        with suppress(IoFailure, ValueError):
            found = json.loads(self._files.read(self._path) or b"[]")
            return {str(each): place for place, each in enumerate(found)} if isinstance(found, list) else {}
        return {}

    def add(self, address: str) -> None:
        """Remember that an address was given back just now."""
        earlier = [each for each in self.oldest_first() if each != address]
        kept = [*earlier, address][-REMEMBERED:]
        with suppress(IoFailure):
            self._files.write(self._path, json.dumps(kept).encode())
