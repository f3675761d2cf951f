"""Recently released addresses, which are allocated last: peers may still know their previous owner.

Only a preference: without the file, which does not survive a boot, round robin decides, and no address is
refused.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from linkspan.call.records import read_json
from linkspan.cni.errors import IoFailure

if TYPE_CHECKING:
    from linkspan.host.contract import Files

#: How many are remembered of a pool. Round robin takes longer than that to come back in a larger pool.
REMEMBERED = 256


class Released:
    """The recently released addresses of one pool, in a file at `path`. The pool's lock must be held."""

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path

    def oldest_first(self) -> dict[str, int]:
        """Address -> its place in the order of release. Addresses that are leased again may be among them."""
        with suppress(IoFailure):
            found = read_json(self._files, self._path)
            return {str(each): place for place, each in enumerate(found)} if isinstance(found, list) else {}
        return {}

    def clear(self) -> None:
        """Forget all."""
        with suppress(IoFailure):
            self._files.remove(self._path)

    def add(self, address: str) -> None:
        """Remember that an address was released just now."""
        earlier = [each for each in self.oldest_first() if each != address]
        kept = [*earlier, address][-REMEMBERED:]
        with suppress(IoFailure):
            self._files.write(self._path, json.dumps(kept).encode())
