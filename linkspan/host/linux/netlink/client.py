"""A netlink socket that sends one request and waits for its answer (netlink(7), linux/netlink.h).

Everything that this package asks the kernel over netlink passes through `Netlink`: sequence numbers,
acknowledgements, dumps, error numbers and the kernel's own words for them are read here and nowhere else.
The other modules only know the messages of their protocol.

Datagrams leave through `Netlink.send` and arrive through `Netlink.receive`: a test that replaces these
decides what the kernel answers.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from linkspan.host.linux.netlink.attributes import parse, string
from linkspan.paths import cookie_of

NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_NETFILTER = 0, 4, 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
#: struct nlmsghdr: length, type, flags, sequence number, port.
HEADER = struct.Struct("=IHHII")

_NLM_F_DUMP_INTR, _NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x10, 0x100, 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _GET_STRICT_CHK = 10, 11, 12
_LARGEST = 1 << 18
_DUMP_TRIES = 10
#: struct timeval: the longest wait for an answer. The kernel has worked when a request is sent, so an answer
#: that is not there then has been lost.
_TIMEOUT = struct.pack("@ll", 5, 0)


class NetlinkError(OSError):
    """An error number with which the kernel answered, and its own words for it (NLMSGERR_ATTR_MSG)."""

    def __init__(self, number: int, words: str = "") -> None:
        super().__init__(number, words or os.strerror(number))


class Request(NamedTuple):
    """A request without its header: message type, payload, and flags that its kind of request needs."""

    kind: int
    payload: bytes
    flags: int = 0


class Message(NamedTuple):
    """One message of an answer; `payload` is what follows struct nlmsghdr."""

    kind: int
    flags: int
    sequence: int
    payload: bytes


class Netlink:
    """A socket of one netlink protocol in the network namespace that `enter` enters.

    It is opened when it is first used. Requests raise NetlinkError for an error that the kernel answers, and
    OSError for one of the socket itself, which is then dropped: the next request opens another. Not for use
    by two threads at once, nor on both sides of a fork.
    """

    def __init__(
        self, protocol: int, enter: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self._protocol = protocol
        self._enter = enter
        self._socket: socket.socket | None = None
        self._buffer = bytearray(_LARGEST)  # kept: a new one for each answer costs more than the answer
        self._sequence = 0

    def get(self, request: Request) -> bytes:
        """The payload of the one message that answers a request."""
        return self._exchange(request, 0)[0].payload

    def dump(self, request: Request) -> list[bytes]:
        """The payload of every message that answers a request.

        A dump that a change has interrupted is repeated.
        """
        for _ in range(_DUMP_TRIES):
            found = self._exchange(request, NLM_F_DUMP)
            if not any(message.flags & _NLM_F_DUMP_INTR for message in found):
                return [message.payload for message in found if message.kind != NLMSG_DONE]
        raise NetlinkError(errno.EAGAIN, "the table changed during every attempt to read it")

    def do(self, request: Request) -> None:
        """Return once the kernel has acknowledged a request."""
        self._exchange(request, NLM_F_ACK)

    def descriptor(self) -> int:
        """The socket's file descriptor, for ioctls on its network namespace; it is opened if it is not.

        Raises OSError.
        """
        return self._opened().fileno()

    def netns_cookie(self) -> int:
        """The kernel's number for the socket's network namespace; 0 before Linux 5.14. Raises OSError."""
        return cookie_of(self._opened())

    def close(self) -> None:
        """Close the socket; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, datagram: bytes) -> None:
        """Hand one datagram to the kernel, which has worked on it when this returns. Raises OSError."""
        self._opened().send(datagram)

    def receive(self) -> bytes:
        """The next datagram from the kernel.

        Raises OSError: ETIMEDOUT if none comes, EMSGSIZE if it does not fit.
        """
        try:
            size = self._opened().recv_into(self._buffer, 0, socket.MSG_TRUNC)
        except BlockingIOError:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
        if size > _LARGEST:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        return bytes(memoryview(self._buffer)[:size])

    def _exchange(self, request: Request, flags: int) -> list[Message]:
        """Send a request and read its answer.

        After any failure but the kernel's own the socket is dropped: half an answer may be left in it.
        """
        self._sequence += 1
        size, sent_flags = HEADER.size + len(request.payload), flags | request.flags | NLM_F_REQUEST
        try:
            self.send(HEADER.pack(size, request.kind, sent_flags, self._sequence, 0) + request.payload)
            return list(self._answer(single=not flags))
        except NetlinkError:
            raise
        except BaseException:
            self.close()
            raise

    def _answer(self, *, single: bool) -> Iterator[Message]:
        """The messages that answer the last request: one, or all up to acknowledgement or end of dump.

        Raises NetlinkError.
        """
        while True:
            for message in messages(self.receive()):
                if message.sequence != self._sequence:
                    continue  # of a dump that was given up
                if message.kind in (NLMSG_ERROR, NLMSG_DONE):
                    _raise_if_error(message)
                if message.kind == NLMSG_ERROR:
                    return
                yield message
                if single or message.kind == NLMSG_DONE:
                    return

    def _opened(self) -> socket.socket:
        if self._socket is None:
            with self._enter():
                self._socket = _open(self._protocol)
        return self._socket


def _open(protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        for option in (_CAP_ACK, _EXT_ACK, _GET_STRICT_CHK):
            made.setsockopt(_SOL_NETLINK, option, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
        made.bind((0, 0))
    except OSError:
        made.close()
        raise
    return made


def messages(datagram: bytes) -> Iterator[Message]:
    """The messages in a datagram."""
    at = 0
    while at + HEADER.size <= len(datagram):
        size, kind, flags, sequence, _ = HEADER.unpack_from(datagram, at)
        yield Message(kind, flags, sequence, datagram[at + HEADER.size : at + size])
        at += (size + 3) & ~3 or HEADER.size


def nfgenmsg(family: int) -> bytes:
    """Struct nfgenmsg (linux/netfilter/nfnetlink.h), which begins every message of netfilter."""
    return struct.pack("!BBH", family, 0, 0)


def _raise_if_error(message: Message) -> None:
    """For an acknowledgement (struct nlmsgerr), or the end of a dump, that carries an error number."""
    number = -struct.unpack_from("=i", message.payload)[0] if len(message.payload) >= 4 else 0
    if number > 0:
        raise NetlinkError(number, _words(message))


def _words(message: Message) -> str:
    """What the kernel says beyond the number.

    It follows struct nlmsgerr, from which CAP_ACK leaves the request out.
    """
    if not (message.flags & _NLM_F_ACK_TLVS and message.flags & _NLM_F_CAPPED):
        return ""
    return string(parse(message.payload, 4 + HEADER.size).get(_NLMSGERR_ATTR_MSG))
