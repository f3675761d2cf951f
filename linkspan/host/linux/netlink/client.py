"""A route netlink socket that sends pyroute2's messages and waits for each answer.

pyroute2 knows how to write every attribute, and that is what it serves for. Its own sockets run an event loop for each request, and
importing the package whole loads eleven protocols: 0.3 ms and 110 ms that every call of a plugin would pay.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any

NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE, NLM_F_DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
NEW, CREATE = NLM_F_ACK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL

_NLMSG_ERROR, _NLMSG_DONE = 2, 3  # linux/netlink.h
_NLM_F_DUMP_INTR, _NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x10, 0x100, 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _STRICT = 10, 11, 12
_SIOCGIFNAME, _SIOCGIFINDEX = 0x8910, 0x8933  # linux/sockios.h
_HEADER = struct.Struct("=IHHII")
_LARGEST = 1 << 18
_DUMP_TRIES = 10

Attributes = Mapping[str, Any]


class Refused(OSError):
    """The kernel's error number, and its own words where it has any (NLMSGERR_ATTR_MSG)."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(number, words)
        self.words = words


def message_class(name: str) -> Any:
    """A message class of pyroute2, such as `rtnl.ifinfmsg.ifinfmsg`, without its package's own start-up.

    The package stands in sys.modules unexecuted unless somebody has imported it whole.
    """
    if "pyroute2" not in sys.modules:
        spec = find_spec("pyroute2")
        if spec is None:
            raise ModuleNotFoundError("No module named 'pyroute2'", name="pyroute2")
        sys.modules["pyroute2"] = module_from_spec(spec)
    module, _, cls = name.rpartition(".")
    return getattr(import_module(f"pyroute2.netlink.{module}"), cls)


class Netlink:
    """One NETLINK_ROUTE socket, of the network namespace in which it was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        for option in (_CAP_ACK, _EXT_ACK, _STRICT):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def index(self, name: str) -> int | None:
        """The index of a link, or None (netdevice(7), SIOCGIFINDEX)."""
        request = struct.pack("16si20x", name.encode(), 0)
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFINDEX, request)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return int(struct.unpack_from("i", answer, 16)[0])

    def name(self, index: int) -> str:
        """The name of a link, "" if it is gone (netdevice(7), SIOCGIFNAME)."""
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFNAME, struct.pack("16xi20x", index))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return ""
            raise
        return answer[:16].rstrip(b"\0").decode(errors="surrogateescape")

    def ask(
        self, kind: int, flags: int, cls: Any, fields: Mapping[str, int], attributes: Attributes | None = None
    ) -> list[bytes]:
        """One request of type `kind`, a message of pyroute2's `cls`: the answer's payloads, none where it is an acknowledgement.

        Raises Refused. A dump that the kernel says was interrupted is asked for again.
        """
        for _ in range(_DUMP_TRIES):
            self._sequence += 1
            header = {"type": kind, "flags": flags | NLM_F_REQUEST, "sequence_number": self._sequence}
            self._socket.send(_encoded(cls, header, fields, attributes or {}))
            try:
                return list(self._answer(dump=flags & NLM_F_DUMP == NLM_F_DUMP))
            except InterruptedError:
                continue
        raise Refused(errno.EAGAIN, "the table changed during every attempt to read it")

    def send(self, kind: int, payload: bytes) -> None:
        """One request whose payload is written already, acknowledged. Raises Refused."""
        self._sequence += 1
        flags = NLM_F_REQUEST | NLM_F_ACK
        self._socket.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags, self._sequence, 0) + payload)
        list(self._answer(dump=False))

    def _answer(self, *, dump: bool) -> Iterator[bytes]:
        interrupted = False
        while True:
            received = self._socket.recv(_LARGEST)
            for kind, flags, sequence, data in _messages(received):
                if sequence != self._sequence:
                    continue  # of a dump that was given up
                interrupted = interrupted or bool(flags & _NLM_F_DUMP_INTR)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    _raise_if_refused(data, flags)
                    if interrupted:
                        raise InterruptedError
                    return
                yield data[_HEADER.size :]
                if not dump:
                    return


def _messages(received: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence number, the whole message) of each message in a datagram."""
    at = 0
    while at < len(received):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(received, at)
        yield kind, flags, sequence, received[at : at + size]
        at += (size + 3) & ~3


def _raise_if_refused(data: bytes, flags: int) -> None:
    """For an acknowledgement, or the end of a dump, that carries an error number (struct nlmsgerr)."""
    number = -struct.unpack_from("=i", data, _HEADER.size)[0] if len(data) >= _HEADER.size + 4 else 0
    if number > 0:
        raise Refused(number, _words(data) if flags & _NLM_F_ACK_TLVS and flags & _NLM_F_CAPPED else "")


def _words(data: bytes) -> str:
    at = _HEADER.size * 2 + 4
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if kind == _NLMSGERR_ATTR_MSG:
            return data[at + 4 : at + size].rstrip(b"\0").decode(errors="replace")
        at += max(4, (size + 3) & ~3)
    return ""


def _encoded(cls: Any, header: Mapping[str, int], fields: Mapping[str, int], attributes: Attributes) -> bytes:
    message = cls()
    message["header"] = header
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = _nested(attributes)
    message.encode()
    return bytes(message.data)


def _nested(attributes: Attributes) -> list[tuple[str, Any]]:
    """Mappings inside mappings as pyroute2's lists of pairs."""
    return [
        (name, {"attrs": _nested(value)} if isinstance(value, Mapping) else value)
        for name, value in attributes.items()
    ]
