"""Which packet-rule backend serves a call: the one the configuration names, else iptables if it works, else
nftables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkspan.cni.errors import InvalidConfig, ToolMissing
from linkspan.netfilter.backend import NAMES, Backend

if TYPE_CHECKING:
    from linkspan.host.contract import Host

#: What makes a backend usable. Debian's package of the library is called otherwise than that of the program.
PACKAGES = {
    "iptables": "install the package iptables",
    "nftables": "install the package libnftables1 (nftables elsewhere) on a kernel with nf_tables",
}


def choose(host: Host, configured: str | None, *, path: str = "$.backend", table: str = "nat") -> Backend:
    """The backend for a configuration's key at `path`; None and "" leave the choice to us.

    Unset means iptables if it is usable, because nerdctl and podman read its rules, else nftables, which also
    serves a host whose iptables `table` was created with nft. Raises InvalidConfig for an unknown name and
    ToolMissing if the one that is configured (or any at all) does not work on this host.
    """
    if configured:
        return _configured(host, configured, path)
    if host.iptables.usable(4) and host.iptables.readable(4, table):
        return "iptables"
    if host.nftables.usable():
        return "nftables"
    raise ToolMissing(
        "neither iptables nor nftables works on this host",
        f"{PACKAGES['iptables']}, or {PACKAGES['nftables']}",
    )


def _configured(host: Host, name: str, path: str) -> Backend:
    if name not in NAMES:
        raise InvalidConfig(f'{path}: unknown backend "{name}"', 'use "iptables" or "nftables"')
    usable = host.iptables.usable(4) if name == "iptables" else host.nftables.usable()
    if not usable:
        raise ToolMissing(
            f'{path}: "{name}" does not work on this host', f"{PACKAGES[name]}, or remove the key"
        )
    return name
