"""The steps of an ADD. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni_tuning.steps import Backup, Remember, SetSysctl, Tune

if TYPE_CHECKING:
    from cni_tuning.config import Config
    from linkspan.call.transaction import Plan
    from linkspan.cni.model import Request


def plan_for(request: Request, config: Config) -> Plan:
    """Sysctls as they are written, then what was before is kept, then the interface is changed."""
    sysctls: Plan = tuple(SetSysctl(request.netns, each) for each in config.sysctls)
    if not config.attributes:
        return sysctls
    path = backup_path(request, config.data_dir)
    return (
        *sysctls,
        Remember(request.attachment, path),
        Backup(request.netns, request.ifname, path, config.attributes),
        Tune(request.netns, request.ifname, config.attributes),
    )


def backup_path(request: Request, data_dir: str) -> str:
    """The attachment's backup file, under the reference's name: either can restore what the other changed."""
    return f"{data_dir}/{request.container_id}_{request.ifname}.json"
