"""Which steps an ADD takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cni_tuning import NAME
from cni_tuning.config import Attributes, Config, Sysctl, backup_path
from cni_tuning.facts import ALLOWLIST, Facts
from cni_tuning.steps import ChangeInterface, SetSysctl, WriteBackup
from linkspan.call.records import WriteRecord
from linkspan.cni.addresses import LEAST_MTU
from linkspan.cni.errors import InvalidConfig, UnsupportedField, shortened
from linkspan.cni.model import Result
from linkspan.steps.extras import Warn

if TYPE_CHECKING:
    from linkspan.call.transaction import Plan, Step
    from linkspan.cni.model import Request


def plan_for(request: Request, config: Config, facts: Facts) -> Plan:
    """Set the sysctls in the order of the configuration, back up the interface's properties, change them.

    Raises InvalidConfig for a sysctl that is not allowed and an MTU that is too small for an address,
    UnsupportedField for a sysctl that this kernel lacks.
    """
    refuse_unlisted(config.sysctls, facts.allowlist)
    ipv6 = _ipv6_addresses(request)
    _refuse_small_mtu(config, ipv6)
    return (
        *_sysctl_steps(request, config, facts),
        *_interface_steps(request, config, facts),
        *(Warn(f"tuning: {each}") for each in _losses(request, config, ipv6)),
    )


def _ipv6_addresses(request: Request) -> tuple[str, ...]:
    found = (request.prev_result or Result()).addresses_of(request.ifname)
    return tuple(each.address for each in found if each.family == 6)


def _refuse_small_mtu(config: Config, ipv6: Sequence[str]) -> None:
    """The kernel takes all IPv6 addresses from an interface with such an MTU."""
    mtu, least = config.attributes.mtu, LEAST_MTU[6]
    if ipv6 and mtu and mtu < least:
        raise InvalidConfig(
            f"$.mtu: {mtu} is too small for {ipv6[0]}: IPv6 needs {least} bytes (RFC 8200, 5)",
            f"set mtu to {least} or more, or remove the IPv6 range",
        )


def _losses(request: Request, config: Config, ipv6: Sequence[str]) -> Iterator[str]:
    """What the interface loses by a sysctl although prevResult has it, as sentences."""
    paths = [f"ipv6/conf/{each}/disable_ipv6" for each in ("all", request.ifname)]
    for each in config.sysctls:
        if ipv6 and each.path in paths and each.value.strip() != "0":
            yield f"$.sysctl: {each.key} removes {', '.join(ipv6)} from {request.ifname}"


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
