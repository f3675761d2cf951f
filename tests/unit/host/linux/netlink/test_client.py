"""The netlink client reads every answer that a kernel can give, and never takes half of one for the whole."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from linkspan.host.linux.netlink.client import NETLINK_ROUTE, Netlink, NetlinkError, Request
from linkspan.host.linux.netlink.rtnl_link import get_link, get_links, read_link
from tests.harness.netlink import NLM_F_DUMP_INTR, Answer, answering, done, error

ASK = Request(18, b"")


@pytest.fixture
def netlink() -> Netlink:
    return Netlink(NETLINK_ROUTE)


def test_loopback_is_the_first_link_of_this_kernel(netlink: Netlink) -> None:
    """Against the real kernel."""
    names = [read_link(each).name for each in netlink.dump(get_links())]
    assert read_link(netlink.get(get_link(1))).name == "lo" in names
    netlink.close()


def test_an_acknowledged_request_returns(netlink: Netlink, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, lambda _: [error(0)])
    netlink.do(ASK)
    assert asked == [ASK.kind]


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ENOMEM, errno.ENOBUFS, errno.EPERM, errno.ENOENT])
@pytest.mark.parametrize("way", ["get", "dump", "do"])
def test_an_error_inside_a_message_is_raised(
    netlink: Netlink, monkeypatch: pytest.MonkeyPatch, way: str, number: int
) -> None:
    answering(monkeypatch, lambda _: [error(number)])
    with pytest.raises(NetlinkError) as caught:
        getattr(netlink, way)(ASK)
    assert (caught.value.errno, caught.value.strerror) == (number, os.strerror(number))


def test_an_error_at_the_end_of_a_dump_is_raised(netlink: Netlink, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda _: [(16, 2, b"half"), done(errno.ENOMEM)])
    with pytest.raises(NetlinkError) as caught:
        netlink.dump(ASK)
    assert caught.value.errno == errno.ENOMEM


def test_the_kernel_s_own_words_are_kept(netlink: Netlink, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda _: [error(errno.EINVAL, "Invalid prefix for given prefix length")])
    with pytest.raises(NetlinkError) as caught:
        netlink.do(ASK)
    assert caught.value.strerror == "Invalid prefix for given prefix length"


def test_messages_of_a_dump_come_in_order_and_without_padding(
    netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, lambda _: [(16, 2, b"odd"), (16, 2, b"even"), done()])
    assert netlink.dump(ASK) == [b"odd", b"even"]


def test_a_dump_that_a_change_interrupted_is_asked_for_again(
    netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = iter((NLM_F_DUMP_INTR, 0))
    answer: Answer = lambda _: [(16, 2, b"one"), done(flags=next(flags))]  # noqa: E731
    asked = answering(monkeypatch, answer)
    assert netlink.dump(ASK) == [b"one"]
    assert len(asked) == 2


def test_an_answer_to_an_earlier_request_is_skipped(
    netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[bytes] = []
    real = Netlink.receive

    def stale_first(self: Netlink) -> bytes:
        if not received:
            received.append(real(self))
            stale = bytearray(received[0])
            stale[8:12] = (0xFFFF).to_bytes(4, "little")  # nlmsg_seq
            return bytes(stale)
        return received[0]

    monkeypatch.setattr(Netlink, "receive", stale_first)
    assert read_link(netlink.get(get_link(1))).name == "lo"
    netlink.close()


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOBUFS, "overrun"), MemoryError()], ids=["ENOBUFS", "memory"]
)
def test_a_socket_that_failed_is_replaced(
    netlink: Netlink, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    """Half an answer may be left in it."""
    before = netlink.descriptor()
    os.set_inheritable(before, True)

    def fail(_: Netlink) -> bytes:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(Netlink, "receive", fail)
        with pytest.raises(type(failure)):
            netlink.get(get_link(1))
    assert not os.get_inheritable(netlink.descriptor())
    assert read_link(netlink.get(get_link(1))).name == "lo"
    netlink.close()


def test_an_error_of_the_kernel_keeps_the_socket(netlink: Netlink) -> None:
    before = netlink.descriptor()
    with pytest.raises(NetlinkError):
        netlink.get(get_link(2**31 - 1))
    assert netlink.descriptor() == before
    netlink.close()


def test_an_answer_that_never_comes_is_a_timeout(netlink: Netlink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "linkspan.host.linux.netlink.client._TIMEOUT", bytes(8) + (1000).to_bytes(8, "little")
    )
    with pytest.raises(OSError, match="timed out"):
        netlink.receive()
    netlink.close()


def test_an_answer_that_does_not_fit_is_an_error(netlink: Netlink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkspan.host.linux.netlink.client._LARGEST", 100)
    small = Netlink(NETLINK_ROUTE)
    with pytest.raises(OSError, match="Message too long"):
        small.get(get_link(1))


def test_a_socket_that_cannot_be_opened_is_an_error(
    netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", refused)
    with pytest.raises(OSError, match="Too many open files"):
        netlink.get(get_link(1))
