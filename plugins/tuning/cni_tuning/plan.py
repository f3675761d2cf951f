"""Which steps an ADD takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cni_tuning import NAME
from cni_tuning.config import Attributes, Config, Sysctl, backup_path
from cni_tuning.facts import ALLOWLIST, Facts
from cni_tuning.steps import ChangeInterface, SetSysctl, WriteBackup
from linkspan.call.records import WriteRecord
from linkspan.cni.errors import InvalidConfig, UnsupportedField, shortened

if TYPE_CHECKING:
    from linkspan.call.transaction import Plan, Step
    from linkspan.cni.model import Request


def plan_for(request: Request, config: Config, facts: Facts) -> Plan:
    """Set the sysctls in the order of the configuration, back up the interface's properties, change them.

    Raises InvalidConfig for a sysctl that is not allowed, UnsupportedField for one that this kernel lacks.
    """
    refuse_unlisted(config.sysctls, facts.allowlist)
    return (*_sysctl_steps(request, config, facts), *_interface_steps(request, config, facts))


def refuse_unlisted(sysctls: Iterable[Sysctl], allowlist: bytes | None) -> None:
    """Raise InvalidConfig for a sysctl that no line of the administrator's allowlist matches.

    Each line is a regular expression that is searched anywhere in the name as written. Without a file
    (None) everything is allowed.
    """
    if allowlist is None:
        return
    lines = [line for each in allowlist.decode(errors="replace").splitlines() if (line := each.strip())]
    for sysctl in sysctls:
        if not any(_matches(line, sysctl.key) for line in lines):
            raise InvalidConfig(
                f"Sysctl {sysctl.key[:80]} is not allowed",
                f"Only the following sysctls are allowed ({ALLOWLIST}): [{' '.join(lines)}]",
            )


def _matches(expression: str, key: str) -> bool:
    try:
        return re.search(expression, key) is not None
    except re.error as error:
        raise InvalidConfig(
            f"{ALLOWLIST}: {shortened(expression)!r} is not a valid regular expression",
            f"{error}; correct that line",
        ) from None


def _sysctl_steps(request: Request, config: Config, facts: Facts) -> Iterator[Step]:
    for each in config.sysctls:
        before = facts.sysctls[each.path]
        if before is None:
            raise UnsupportedField(
                f'$.sysctl: this kernel has no sysctl {each.key[:44]} (to be set to "{each.value[:20]}")',
                f"there is no /proc/sys/net/{each.path} in the container",
            )
        yield SetSysctl(request.netns, each.path, each.value, before)


def _interface_steps(request: Request, config: Config, facts: Facts) -> Plan:
    if not config.attributes:
        return ()
    path = backup_path(request, request.attachment)
    # An earlier ADD saved the original values; what the interface has now may be that ADD's.
    original = Attributes.from_backup(facts.backup).or_else(facts.present)
    return (
        WriteRecord(NAME, request.attachment, {"backup": path}),
        WriteBackup(path, original.to_backup(), facts.backup),
        ChangeInterface(request.netns, request.ifname, config.attributes, facts.present),
    )
