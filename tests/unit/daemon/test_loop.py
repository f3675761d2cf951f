"""The event loop: sockets, timers and signals get their action, and one that fails stops no other."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from linkspan.daemon.loop import READ, WRITE, Loop

Pair = tuple[socket.socket, socket.socket]


class Failures(list[Exception]):
    """What actions raised."""


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def loop(failures: Failures) -> Loop:
    """A loop that ends after a second whatever a test does."""
    made = Loop(failures.append)
    made.later(1.0, made.stop)
    return made


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, its = socket.socketpair()
    with ours, its:
        yield ours, its


def test_a_socket_that_is_readable_gets_its_action(loop: Loop, pair: Pair) -> None:
    loop.watch(pair[0], READ, loop.stop)
    loop.later(0.01, lambda: pair[1].sendall(b"x"))
    loop.run()
    assert pair[0].recv(1) == b"x"


def test_a_socket_that_was_hung_up_gets_its_action(loop: Loop, pair: Pair) -> None:
    loop.watch(pair[0], READ, loop.stop)
    pair[1].close()
    loop.run()
    assert pair[0].recv(1) == b""


def test_the_action_that_was_given_last_counts(loop: Loop, pair: Pair) -> None:
    loop.watch(pair[0], READ, lambda: pytest.fail("the first action was called"))
    loop.watch(pair[0], WRITE, loop.stop)
    loop.run()


@pytest.mark.parametrize("end", ["unwatch", "close"])
def test_a_socket_that_is_no_longer_watched_gets_nothing(
    loop: Loop, failures: Failures, pair: Pair, end: str
) -> None:
    loop.watch(pair[0], READ, lambda: pytest.fail("it was called"))
    pair[1].sendall(b"x")
    getattr(loop, end)(pair[0])
    getattr(loop, end)(pair[0])
    loop.later(0.05, loop.stop)
    loop.run()
    assert failures == []


def test_an_event_of_a_closed_socket_does_not_reach_the_one_that_has_its_number(loop: Loop) -> None:
    """Both are ready in one batch; whichever comes first closes the other and takes its number."""
    pairs = [socket.socketpair() for _ in range(2)]
    reused: list[str] = []

    def replace(other: Pair) -> None:
        if reused:
            return
        number = other[0].fileno()
        loop.close(other[0])
        fresh, _ = socket.socketpair()
        assert fresh.fileno() == number
        loop.watch(fresh, READ, lambda: reused.append("called"))
        reused.append("replaced")
        loop.later(0.05, loop.stop)

    loop.watch(pairs[0][0], READ, lambda: replace(pairs[1]))
    loop.watch(pairs[1][0], READ, lambda: replace(pairs[0]))
    for _, its in pairs:
        its.sendall(b"x")
    loop.run()
    assert reused == ["replaced"]


def test_timers_come_in_order_and_a_cancelled_one_does_not(loop: Loop) -> None:
    called: list[int] = []
    loop.later(0.02, lambda: called.append(2))
    loop.later(0.01, lambda: called.append(1))
    loop.later(0.015, lambda: called.append(9)).cancel()
    loop.later(0.03, loop.stop)
    loop.run()
    assert called == [1, 2]


def test_what_comes_again_and_again_goes_on_after_it_failed(loop: Loop, failures: Failures) -> None:
    def fail() -> None:
        if len(failures) == 2:
            loop.stop()
        raise ValueError("no")

    loop.every(0.001, fail)
    loop.run()
    assert [str(each) for each in failures] == ["no"] * 3


def test_an_action_that_fails_is_reported_and_the_next_one_is_called(
    loop: Loop, failures: Failures, pair: Pair
) -> None:
    def fail() -> None:
        loop.unwatch(pair[0])
        raise ValueError("no")

    loop.watch(pair[0], WRITE, fail)
    loop.later(0.01, loop.stop)
    loop.run()
    assert [str(each) for each in failures] == ["no"]


def test_a_signal_gets_its_action_though_nothing_else_happens() -> None:
    loop = Loop(lambda error: pytest.fail(repr(error)))
    before = signal.getsignal(signal.SIGUSR1)
    try:
        loop.on_signal(signal.SIGUSR1, loop.stop)
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run()
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
