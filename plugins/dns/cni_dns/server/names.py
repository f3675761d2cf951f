"""What a DNS name may look like, and how it is qualified by a domain. Pure."""

from __future__ import annotations

import re

from linkspan.cni.errors import shortened

_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)

RULE = "labels of 1 to 63 letters, digits, '-' or '_', separated by dots, at most 253 characters"
#: The longest name in text form (RFC 1035, 2.3.4: 255 octets on the wire).
MAX_LENGTH = 253


def is_name(text: str) -> bool:
    """Whether a text in lower case is a name that we answer for.

    Its labels are 1 to 63 letters, digits, '-' or '_' (RFC 1035, and RFC 2181 for the last).
    """
    return len(text) <= MAX_LENGTH and all(_LABEL.fullmatch(label) for label in text.split("."))


def normalized(text: str) -> str:
    """The name in lower case without a final dot; "" if the text is not a DNS name."""
    name = (text[:-1] if text.endswith(".") else text).lower()
    return name if text.isascii() and is_name(name) else ""


def not_a_name(text: str, place: str) -> str:
    """What is said of a text at `place` that is not a DNS name."""
    return f"{place}: {shortened(text, 50)!r} is not a DNS name"


def qualified(name: str, domains: tuple[str, ...]) -> tuple[str, ...]:
    """The name as it is and below each domain; forms that would be too long are left out."""
    return tuple(dict.fromkeys((name, *(f"{name}.{each}" for each in domains if is_name(f"{name}.{each}")))))
