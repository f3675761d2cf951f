"""The words between plugin and server: a JSON object behind its length, four octets, most significant first. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LONGEST = 1 << 24


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as it goes over the socket."""
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data


def unpack(data: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """(first whole message, what follows it); (None, data) until it is whole. ValueError for what is no message."""
    size = int.from_bytes(data[:4], "big")
    if len(data) >= 4 and size > LONGEST:
        raise ValueError(f"a message of {size} bytes")
    if len(data) < 4 or len(data) < 4 + size:
        return None, data
    message = json.loads(data[4 : 4 + size])
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    return message, data[4 + size :]
