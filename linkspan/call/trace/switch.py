"""Whether calls are traced: for whoever sets LINKSPAN_TRACE, or for all calls after `linkspan trace-calls
on`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: The environment variable that names the folder, for the calls of whoever sets it.
VARIABLE = "LINKSPAN_TRACE"


def folder_for(env: Mapping[str, str], host: Host) -> str:
    """The folder into which calls are traced, "" if they are not: the caller's variable, else what the
    administrator set.
    """
    return (
        env.get(VARIABLE) or (host.files.read(path(host.state_dir)) or b"").decode(errors="replace").strip()
    )


def path(state_dir: str) -> str:
    """The file that turns tracing on for every call in a network namespace: it names the folder."""
    return f"{state_dir}/trace-calls"
