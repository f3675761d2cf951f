"""Points in time as Docker's `until` filter takes them: a duration before now, an RFC 3339 time, or
seconds since 1970. Pure.
"""

from __future__ import annotations

import re

_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|s|m|h))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")


def parse_until(text: str, now: int) -> int | None:
    """The point in time in ns since 1970 (as is `now`), or None if the text is not one."""
    if _DURATION.fullmatch(text):
        return now - sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(text))
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
        return round(float(text) * 10**9)
    from datetime import datetime, timezone

    try:
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=timezone.utc)
    return round(parsed.timestamp() * 10**9)
