"""The launcher's own decisions: whether a resident is one to talk to, and when a call counts as sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from linkspan.launch import client, protocol


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(ours, the resident's) ends of a connection, with a patience that a test can afford."""
    ours, its = socket.socketpair()
    ours.settimeout(0.05)
    with ours, its:
        yield ours, its


def test_the_greeting_of_a_resident_that_greets_as_we_would_matches(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    whole = protocol.greeting()
    ends[1].sendall(whole[:5])
    threading.Timer(0.01, ends[1].sendall, (whole[5:],)).start()
    assert client.greeting_matches(ends[0])


@pytest.mark.parametrize("said", [b"", b"linkspan", b"linkspan other net:[1] mnt:[1]\n", b"\n"])
def test_the_greeting_of_a_resident_that_is_silent_or_another_does_not(
    ends: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    ends[1].sendall(said)
    assert not client.greeting_matches(ends[0])


def test_the_greeting_of_a_resident_that_hangs_up_does_not(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].close()
    assert not client.greeting_matches(ends[0])


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x20abc", b"\0\0\0\4\0\0\0\x09"])
def test_an_answer_that_never_comes_whole_is_none(
    ends: tuple[socket.socket, socket.socket], sent: bytes
) -> None:
    ends[1].sendall(sent)
    ends[1].close()
    assert client._receive(ends[0]) is None


def test_an_answer_is_status_and_stdout(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].sendall(protocol.pack([b"1", b"out"]))
    assert client._receive(ends[0]) == (1, b"out")


class HungUp:
    """A resident that took the whole frame, carried it out, answered and hung up before we go on."""

    def settimeout(self, _: float | None) -> None:
        pass

    def sendmsg(self, pieces: list[bytes], _: Any) -> int:
        return sum(map(len, pieces))

    def sendall(self, _: bytes) -> None:
        raise BrokenPipeError


class Halfway(HungUp):
    """A resident that hung up before it had the frame."""

    def sendmsg(self, pieces: list[bytes], _: Any) -> int:
        return sum(map(len, pieces)) - 1


def test_a_call_that_was_sent_whole_counts_as_sent_though_the_resident_is_gone() -> None:
    """It may have been carried out: running it here would run it twice."""
    assert client._send(HungUp(), "bridge", b"{}")  # type: ignore[arg-type]


def test_a_call_that_was_cut_short_counts_as_not_sent() -> None:
    """Nobody begins a call he has not got whole."""
    assert not client._send(Halfway(), "bridge", b"{}")  # type: ignore[arg-type]
