"""The two packet-rule backends."""

from __future__ import annotations

from typing import Literal

Backend = Literal["iptables", "nftables"]

NAMES: tuple[Backend, ...] = ("iptables", "nftables")
