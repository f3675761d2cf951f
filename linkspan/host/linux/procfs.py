"""Processes, and which of them has a port or a socket (proc(5): PID/comm, PID/cmdline, PID/fd, net/tcp,
net/unix).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address

from linkspan.host.contract import Process

_LISTENS = 0x10000  # SO_ACCEPTCON, linux/net.h: the flag in net/unix of a socket that listens
_TCP_LISTEN = "0A"  # TCP_LISTEN, net/tcp_states.h: the state in net/tcp
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - looked for, not listened on


def processes() -> Iterator[int]:
    """The id of every process that can be seen."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def command(pid: int) -> str:
    """What a process calls itself, at most 15 characters; "" if it is gone."""
    return "".join(_lines(f"/proc/{pid}/comm")).rstrip("\n")


def end_session(leader: int) -> None:
    """Kill every process of a session (setsid(2)) whose leader is dead: what it started and did not end."""
    killed: set[int] = set()
    while left := {pid for pid in processes() if _session(pid) == leader} - killed - {leader}:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= left


def owner_of_port(address: str, port: int) -> str:
    """Who, such as `dnsmasq (pid 123)`, has a TCP or UDP port of an address; else "another program"."""
    return _described(_sockets_at((address, *_EVERY_ADDRESS), port))


def owner_of_port_everywhere(port: int) -> str:
    """Who, as in `owner_of_port`, has a port at every IPv4 address or at every address; "" if nobody does."""
    inodes = _sockets_at(_EVERY_ADDRESS, port)
    return _described(inodes) if inodes else ""


def owner_of(protocol: str, port: int) -> str:
    """Who, as in `owner_of_port`, has a port of "tcp" or "udp" at whatever address; "" if nobody does."""
    inodes = _sockets((protocol, f"{protocol}6"), lambda local: local.endswith(f":{port:04X}"))
    return _described(inodes) if inodes else ""


def process_with_socket(inodes: Collection[int]) -> int | None:
    """A process that has one of these sockets open, or None."""
    expected = _targets(inodes)
    return next((pid for pid in processes() if _sockets_of(pid, expected)), None) if expected else None


def processes_with_sockets(
    inodes: Collection[int], pids: Collection[int] | None = None
) -> dict[int, tuple[Process, ...]]:
    """See contract.Processes.with_sockets."""
    expected = _targets(inodes)
    found: dict[int, list[Process]] = {}
    for pid in (processes() if pids is None else pids) if expected else ():
        for inode in _sockets_of(pid, expected):
            found.setdefault(inode, []).append(_process(pid))
    return {inode: tuple(each) for inode, each in found.items()}


def listeners_at(path: str) -> frozenset[int]:
    """The inodes of the sockets that `control.Endpoint` made at a path, in any mount namespace."""
    found = set()
    for line in _lines("/proc/self/net/unix")[1:]:
        # Num RefCount Protocol Flags Type St Inode Path, where Path is the name it was bound to before it
        # was renamed.
        fields = line.rstrip("\n").split(None, 7)
        if len(fields) == 8 and int(fields[3], 16) & _LISTENS and fields[7].rpartition(".")[0] == path:
            found.add(int(fields[6]))
    return frozenset(found)


def _targets(inodes: Collection[int]) -> dict[str, int]:
    """What the links of open sockets lead to -> their inodes."""
    return {f"socket:[{inode}]": inode for inode in inodes if inode}


def _sockets_of(pid: int, expected: Mapping[str, int]) -> set[int]:
    """Those of the sockets that a process has open; none if it is gone or another user's."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return set()
    targets = (_target(f"/proc/{pid}/fd/{name}") for name in names)
    return {expected[each] for each in targets if each in expected}


def _process(pid: int) -> Process:
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        uid = -1  # gone
    words = "".join(_lines(f"/proc/{pid}/cmdline")).split("\0")
    return Process(pid=pid, uid=uid, name=command(pid), arguments=tuple(words[:-1]))


def _described(inodes: Collection[int]) -> str:
    pid = process_with_socket(inodes)
    return f"{command(pid) or 'another program'} (pid {pid})" if pid else "another program"


def _sockets_at(addresses: Collection[str], port: int) -> frozenset[int]:
    """The inodes of the sockets of UDP, and of those of TCP that listen, at a port of these addresses."""
    expected = {f"{_hexadecimal(address)}:{port:04X}" for address in addresses}
    return _sockets(("udp", "udp6", "tcp", "tcp6"), expected.__contains__)


def _sockets(protocols: Collection[str], is_wanted: Callable[[str], bool]) -> frozenset[int]:
    """The inodes of sockets that receive from anybody, of these files of /proc/net and bound where asked."""
    found = set()
    for protocol in protocols:
        for line in _lines(f"/proc/self/net/{protocol}")[1:]:
            # sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
            fields = line.split()
            receives = protocol.startswith("udp") or fields[3:4] == [_TCP_LISTEN]
            if len(fields) > 9 and is_wanted(fields[1]) and receives:
                found.add(int(fields[9]))
    return frozenset(found - {0})


def _hexadecimal(address: str) -> str:
    """An address as /proc/net prints it: words of 32 bits in the machine's byte order."""
    packed = ip_address(address).packed
    words = (packed[i : i + 4] for i in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readlines()
    except OSError:
        return []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
