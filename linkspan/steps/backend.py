"""Which packet-rule backend serves a call: the one the configuration names, else iptables if it works, else
nftables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.cni.errors import InvalidConfig, ToolMissing
from linkspan.netfilter.backend import NAMES, Backend

if TYPE_CHECKING:
    from linkspan.host.contract import Host


def choose(host: Host, asked: str | None, *, path: str = "$.backend", table: str = "nat") -> Backend:
    """The backend for a configuration's key at `path`; None and "" leave the choice to us.

    Unset means iptables if it is usable, because nerdctl and podman read its rules, else nftables, which also
    serves a host whose iptables `table` was created with nft. Raises InvalidConfig for an unknown name and
    ToolMissing if what is asked for (or anything at all) does not work on this host.
    """
    if asked:
        return _asked(host, asked, path)
    if host.iptables.usable(4) and host.iptables.readable(4, table):
        return "iptables"
    if host.nftables.usable():
        return "nftables"
    raise ToolMissing(
        "neither iptables nor nftables works on this host",
        "install the package iptables, or libnftables1 on a kernel with nf_tables",
    )


def _asked(host: Host, asked: str, path: str) -> Backend:
    if asked not in NAMES:
        raise InvalidConfig(f'{path}: unknown backend "{asked}"', 'use "iptables" or "nftables"')
    usable = host.iptables.usable(4) if asked == "iptables" else host.nftables.usable()
    if not usable:
        raise ToolMissing(f'{path}: "{asked}" does not work on this host', "install it, or remove the key")
    return asked
