"""A kernel that answers netlink as a test says: errors come inside messages, as the kernel sends them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import pytest

from linkspan.host.linux.netlink.client import HEADER, NLMSG_DONE, NLMSG_ERROR, Netlink

NLM_F_MULTI, NLM_F_DUMP_INTR, NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x2, 0x10, 0x100, 0x200

#: What a kernel answers: given the type of a request, the (type, flags, payload) of each message.
Answer = Callable[[int], Iterable[tuple[int, int, bytes]]]


def error(number: int, words: str = "") -> tuple[int, int, bytes]:
    """An acknowledgement that carries an error number (0 for success), and the kernel's own words."""
    payload = struct.pack("=i", -number) + bytes(HEADER.size)
    if not words:
        return NLMSG_ERROR, NLM_F_CAPPED, payload
    text = words.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(text), 1) + text  # NLMSGERR_ATTR_MSG
    return NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, payload + attribute


def done(number: int = 0, flags: int = 0) -> tuple[int, int, bytes]:
    """The end of a dump."""
    return NLMSG_DONE, NLM_F_MULTI | flags, struct.pack("=i", -number)


def datagram(sequence: int, messages: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Messages in one datagram, each padded to four bytes."""
    return b"".join(
        HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload + bytes(-len(payload) % 4)
        for kind, flags, payload in messages
    )


def answering(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> list[int]:
    """Replace the kernel for every netlink socket of this process.

    The types of the requests, in order, as they are sent.
    """
    asked: list[int] = []
    sequences: list[int] = []

    def send(_: Netlink, request: bytes) -> None:
        _, kind, _, sequence, _ = HEADER.unpack_from(request)
        asked.append(kind)
        sequences.append(sequence)

    def receive(_: Netlink) -> bytes:
        return datagram(sequences[-1], answer(asked[-1]))

    monkeypatch.setattr(Netlink, "send", send)
    monkeypatch.setattr(Netlink, "receive", receive)
    return asked


def refusing(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let every request be answered with an error number."""
    return answering(monkeypatch, lambda _: [error(number)])
