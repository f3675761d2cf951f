"""Who has a port or a socket on this host, read from /proc (proc(5): net/udp, net/tcp, net/unix, PID/fd)."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Iterator
from ipaddress import ip_address


def holder_of_port(address: str, port: int) -> str:
    """Who, such as `dnsmasq (pid 123)`, keeps us from listening on an address and port; "another program" if not found."""
    inodes = set(_inodes_on(address, port))
    pid = process_of(inodes) if inodes else None
    return f"{_command(pid)} (pid {pid})" if pid else "another program"


def holder_of_all(port: int) -> str:
    """Whoever listens on a port at every IPv4 address or every address; "" if nobody does."""
    inodes = [*_inodes_on("0.0.0.0", port), *_inodes_on("::", port)]  # noqa: S104 - looked for, not listened on
    if not inodes:
        return ""
    pid = process_of(set(inodes))
    return f"{_command(pid)} (pid {pid})" if pid else "another program"


def process_of(inodes: Collection[int]) -> int | None:
    """The process that has one of these sockets open, or None."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        if any(_link(f"/proc/{pid}/fd/{name}") in wanted for name in names):
            return int(pid)
    return None


def unix_listener(path: str) -> int | None:
    """The inode of a stream socket that listens at a path, in whatever mount namespace but this network namespace."""
    for line in _lines("/proc/self/net/unix"):
        words = line.split(None, 7)
        # Num RefCount Protocol Flags Type St Inode Path; the flag 0x10000 is SO_ACCEPTCON.
        if len(words) == 8 and words[7].rstrip("\n") == path and int(words[3], 16) & 0x10000:
            return int(words[6])
    return None


def _inodes_on(address: str, port: int) -> Iterator[int]:
    wildcards = (_hex("0.0.0.0"), _hex("::"))  # noqa: S104
    wanted = {f"{host}:{port:04X}" for host in (_hex(address), *wildcards)}
    for kind in ("udp", "udp6", "tcp", "tcp6"):
        for line in _lines(f"/proc/self/net/{kind}"):
            words = line.split()
            listening = kind.startswith("udp") or (len(words) > 3 and words[3] == "0A")
            if len(words) > 9 and words[1] in wanted and listening and words[9] != "0":
                yield int(words[9])


def _hex(address: str) -> str:
    """An address as /proc/net prints it: words of 32 bits in the machine's order."""
    packed = ip_address(address).packed
    words = (packed[i : i + 4] for i in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readlines()[1:]
    except OSError:
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _command(pid: int | None) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "another program"


def is_local(address: str) -> bool:
    """Whether an address is one of this network namespace's own (a gateway may be somebody else's router)."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
