"""How big the tables of iptables-legacy are: its kernel part announces no changes, and asking takes 3 µs a
table.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Mapping
from contextlib import closing, suppress

_GET_INFO = 64  # IPT_SO_GET_INFO, IP6T_SO_GET_INFO
_FAMILIES = (
    (socket.AF_INET, socket.SOL_IP, "/proc/thread-self/net/ip_tables_names"),
    (socket.AF_INET6, socket.IPPROTO_IPV6, "/proc/thread-self/net/ip6_tables_names"),
)

#: (address family, table) -> its size in bytes
Sizes = Mapping[tuple[int, str], int]


class _Info(ctypes.Structure):
    """Struct ipt_getinfo and ip6t_getinfo (linux/netfilter_ipv4/ip_tables.h)."""

    _fields_ = [
        ("name", ctypes.c_char * 32),
        ("valid_hooks", ctypes.c_uint),
        ("hook_entry", ctypes.c_uint * 5),
        ("underflow", ctypes.c_uint * 5),
        ("num_entries", ctypes.c_uint),
        ("size", ctypes.c_uint),
    ]


def table_sizes() -> Sizes:
    """The size of every table of iptables-legacy that is in use in our network namespace."""
    found: dict[tuple[int, str], int] = {}
    for family, level, path in _FAMILIES:
        tables = _names(path)
        if tables:
            with suppress(OSError), closing(_raw_socket(family)) as sock:
                found |= {(int(family), table): _size(sock, level, table) for table in tables}
    return found


def has_shrunk(before: Sizes, now: Sizes) -> bool:
    """Whether a table has lost rules."""
    return any(now.get(table, 0) < size for table, size in before.items())


def _names(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


def _raw_socket(family: int) -> socket.socket:
    return socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)


def _size(sock: socket.socket, level: int, table: str) -> int:
    """A table's size; 0 if it is unknown. The socket module passes no question with getsockopt(2)."""
    info = _Info(name=table.encode())
    size = ctypes.c_uint(ctypes.sizeof(info))
    status = ctypes.CDLL(None).getsockopt(
        sock.fileno(), level, _GET_INFO, ctypes.byref(info), ctypes.byref(size)
    )
    return info.size if status == 0 else 0
