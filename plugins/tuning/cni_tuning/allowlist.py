"""The administrator's list of sysctls that networks may set. Pure.

Regular expressions, one a line, that must be found anywhere in a sysctl's name as it is written. No file, no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from linkspan.cni.errors import InvalidConfig

PATH = "/etc/cni/tuning/allowlist.conf"


def refuse_others(content: bytes | None, keys: Iterable[str]) -> None:
    """Raise InvalidConfig for a sysctl that the list (None: there is none) does not allow."""
    if content is None:
        return
    lines = [line for each in content.decode(errors="replace").splitlines() if (line := each.strip())]
    for key in keys:
        if not any(_found(line, key) for line in lines):
            raise InvalidConfig(
                f"Sysctl {key[:80]} is not allowed",
                f"Only the following sysctls are allowed ({PATH}): [{' '.join(lines)}]",
            )


def _found(expression: str, key: str) -> bool:
    try:
        return re.search(expression, key) is not None
    except re.error as error:
        raise InvalidConfig(
            f"{PATH}: {expression[:40]!r} is no regular expression", f"{error}; mend that line"
        ) from None
