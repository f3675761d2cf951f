"""`--opt` of a new network: Docker's keys, their short forms, and nerdctl's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address

from linkspan.cni.addresses import LEAST_MTU
from linkspan.runtime import names
from linkspan.runtime.labels import parse_pairs
from linkspan.runtime.network import (
    HOST_BINDING_OPTION,
    ICC_OPTION,
    MASQUERADE_OPTION,
    MTU_OPTION,
    NAME_OPTION,
)

_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")  # Go, strconv.ParseBool, in lower case

#: option -> further spellings
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    NAME_OPTION: ("bridge.name", "name"),
    ICC_OPTION: ("enable_icc", "icc"),
    MASQUERADE_OPTION: ("enable_ip_masquerade", "ip-masq"),
    HOST_BINDING_OPTION: ("host_binding_ipv4", "ip"),
    MTU_OPTION: ("driver.mtu", "mtu"),
}


class InvalidOption(Exception):
    """An option that is not supported or has an invalid value; `fix` is what is allowed."""

    def __init__(self, text: str, fix: str = "") -> None:
        super().__init__(text)
        self.fix = fix


def parse(words: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE words as options under Docker's full names, with valid values. Raises InvalidOption."""
    full = {short: name for name, spellings in SPELLINGS.items() for short in (name, *spellings)}
    found = {}
    for key, value in parse_pairs(words).items():
        if key not in full:
            close = names.similar(key, full) or list(SPELLINGS)
            raise InvalidOption(f"unsupported option {key!r}", f"one of {', '.join(close)}")
        found[full[key]] = _VALUES[full[key]](key, value)
    return found


def is_true(value: str | None, *, default: bool) -> bool:
    """A boolean option that `parse` has checked."""
    return default if value is None else value == "true"


def _boolean(key: str, value: str) -> str:
    if value.lower() in _TRUE:
        return "true"
    if value.lower() in _FALSE:
        return "false"
    raise InvalidOption(f"invalid value {value!r} for option {key}", "true or false")


def _mtu(key: str, value: str) -> str:
    if not value.isdecimal() or not (int(value) == 0 or LEAST_MTU[4] <= int(value) <= 65535):
        raise InvalidOption(f"invalid value {value!r} for option {key}", "0, or 68 to 65535 bytes")
    return str(int(value))


def _link_name(key: str, value: str) -> str:
    """What the kernel accepts as a name (dev_valid_name in net/core/dev.c)."""
    size = len(value.encode("utf-8", "surrogateescape"))
    if not 0 < size <= 15 or value in (".", "..") or any(each in "/:%" or each.isspace() for each in value):
        raise InvalidOption(
            f"invalid value {value!r} for option {key}", "1 to 15 bytes, without whitespace, /, : or %"
        )
    return value


def _address(key: str, value: str) -> str:
    try:
        return str(IPv4Address(value))
    except ValueError:
        raise InvalidOption(f"invalid value {value!r} for option {key}", "an IPv4 address") from None


_VALUES: Mapping[str, Callable[[str, str], str]] = {
    NAME_OPTION: _link_name,
    ICC_OPTION: _boolean,
    MASQUERADE_OPTION: _boolean,
    HOST_BINDING_OPTION: _address,
    MTU_OPTION: _mtu,
}
