"""Which packet-rule back end serves a call: the one the configuration names, else iptables where it works, else nftables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from linkspan.cni.errors import InvalidConfig, ToolMissing

if TYPE_CHECKING:
    from linkspan.host.contract import Host

Backend = Literal["iptables", "nftables"]

NAMES: tuple[Backend, ...] = ("iptables", "nftables")


def choose(host: Host, asked: str | None, *, path: str = "$.backend", table: str = "nat") -> Backend:
    """The back end for a configuration's key at `path`; None and "" leave the choice to us.

    Unset means iptables where it is usable, because nerdctl and podman read its rules, else nftables, which also serves a host
    where somebody made iptables' `table` with nft. Raises InvalidConfig for an unknown name and ToolMissing when what is
    asked for (or anything at all) does not work on this host.
    """
    if asked:
        return _asked(host, asked, path)
    if host.iptables.usable(4) and host.iptables.readable(4, table):
        return "iptables"
    if host.nftables.usable():
        return "nftables"
    raise ToolMissing(
        "neither iptables nor nftables works on this host",
        "install the package iptables, or libnftables1, and see that the kernel has nf_tables",
    )


def _asked(host: Host, asked: str, path: str) -> Backend:
    if asked not in NAMES:
        raise InvalidConfig(f'{path}: unknown backend "{asked}"', 'use "iptables" or "nftables"')
    usable = host.iptables.usable(4) if asked == "iptables" else host.nftables.usable()
    if not usable:
        raise ToolMissing(f'{path}: "{asked}" does not work on this host', "install it, or leave the key out")
    return asked
