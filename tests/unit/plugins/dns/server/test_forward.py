"""Forwarding to upstream servers that answer, lie, are silent or are dead. They listen on loopback addresses."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from cni_dns.server import forward
from cni_dns.server.forward import Forwarder, ResolvConf, nameservers
from linkspan.daemon.loop import READ, Loop

QUERY = dns.message.make_query("example.org.", "A")
Behave = Callable[[dns.message.Message], "bytes | None"]


def good(query: dns.message.Message) -> bytes:
    """An answer."""
    return dns.message.make_response(query).to_wire()


def refused(query: dns.message.Message) -> bytes:
    """An answer that another server may do better."""
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.REFUSED)
    return reply.to_wire()


def silent(_: dns.message.Message) -> None:
    """No answer."""


def of_another_id(query: dns.message.Message) -> bytes:
    """What somebody who has not seen the query could send."""
    wire = good(query)
    return bytes((wire[0] ^ 1,)) + wire[1:]


def of_another_question(query: dns.message.Message) -> bytes:
    """What belongs to another query."""
    other = dns.message.make_query("other.example.", "A")
    other.id = query.id
    return good(other)


@dataclass
class Net:
    """A loop with a forwarder and upstream servers at 127.0.1.N, all on one port."""

    loop: Loop
    port: int = 0
    asked: list[str] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    def serve(self, number: int, behave: Behave) -> str:
        """A server that behaves so over UDP; its address."""
        address = f"127.0.1.{number}"
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, self.port))
        self.port = sock.getsockname()[1]
        self.sockets.append(sock)

        def answer() -> None:
            wire, sender = sock.recvfrom(4096)
            self.asked.append(address)
            reply = behave(dns.message.from_wire(wire))
            if reply is not None:
                sock.sendto(reply, sender)

        self.loop.watch(sock, READ, answer)
        return address

    def ask(self, *servers: str, forwarder: Forwarder | None = None, tcp: bool = False) -> bytes | None:
        """What a client is given."""
        replies: list[bytes | None] = []

        def done(reply: bytes | None) -> None:
            replies.append(reply)
            self.loop.stop()

        (forwarder or Forwarder(self.loop, self.port)).ask(
            QUERY.to_wire(), "10.0.0.2", servers, done, tcp=tcp
        )
        if not replies:
            self.loop._running = True
            self.loop.run()
        (reply,) = replies
        return reply


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    monkeypatch.setattr(forward, "BUDGET", 0.4)
    made = Net(Loop(lambda error: pytest.fail(repr(error))))
    yield made
    for each in made.sockets:
        each.close()


def test_an_answer_comes_back_with_the_client_s_own_id(net: Net) -> None:
    reply = net.ask(net.serve(1, good))
    assert reply is not None
    assert QUERY.is_response(dns.message.from_wire(reply))


@pytest.mark.parametrize("behave", [refused, silent, of_another_id, of_another_question])
def test_the_next_server_is_asked_after_one_that_gives_no_usable_answer(net: Net, behave: Behave) -> None:
    first, second = net.serve(1, behave), net.serve(2, good)
    assert net.ask(first, second) is not None
    assert net.asked == [first, second]


def test_a_server_that_is_not_there_costs_no_time(net: Net) -> None:
    server = net.serve(1, good)
    before = time.monotonic()
    assert net.ask("127.0.1.9", server) is not None
    assert time.monotonic() - before < 0.15


def test_a_server_that_was_silent_is_asked_last_for_a_while(net: Net) -> None:
    first, second = net.serve(1, silent), net.serve(2, good)
    forwarder = Forwarder(net.loop, net.port)
    for _ in range(2):
        net.ask(first, second, forwarder=forwarder)
    assert net.asked == [first, second, second]


@pytest.mark.parametrize("behave", [refused, silent])
def test_without_any_usable_answer_there_is_no_reply(net: Net, behave: Behave) -> None:
    assert net.ask(net.serve(1, behave), net.serve(2, behave)) is None


def test_without_servers_there_is_no_reply(net: Net) -> None:
    assert net.ask() is None


def test_a_client_with_too_many_queries_gets_no_reply_and_another_does(net: Net) -> None:
    server = net.serve(1, silent)
    forwarder = Forwarder(net.loop, net.port)
    for _ in range(forward.MOST_PER_CLIENT):
        forwarder.ask(QUERY.to_wire(), "10.0.0.9", (server,), lambda _: None)
    turned_away: list[bytes | None] = []
    forwarder.ask(QUERY.to_wire(), "10.0.0.9", (server,), turned_away.append)
    assert turned_away == [None]
    assert net.ask(net.serve(2, good), forwarder=forwarder) is not None


def test_a_query_over_tcp_is_forwarded_over_tcp(net: Net) -> None:
    with socket.create_server(("127.0.1.1", 0)) as server:
        net.port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                reply = good(dns.message.from_wire(connection.recv(4096)[2:]))
                connection.sendall(len(reply).to_bytes(2, "big") + reply)

        thread = threading.Thread(target=answer)
        thread.start()
        reply = net.ask("127.0.1.1", tcp=True)
        thread.join()
    assert reply is not None
    assert QUERY.is_response(dns.message.from_wire(reply))


# --- resolv.conf -------------------------------------------------------------------------------------------------

TEXT = """# nameserver 192.0.2.9
nameserver 192.0.2.1
nameserver
nameserver not-an-address
options edns0
nameserver 10.5.0.1
nameserver fd00::1
nameserver 192.0.2.1
nameserver 192.0.2.2
nameserver 192.0.2.3
"""


def test_the_first_three_valid_servers_but_the_excluded_are_taken() -> None:
    assert nameservers(TEXT, {"10.5.0.1"}) == ("192.0.2.1", "fd00::1", "192.0.2.2")


def test_resolv_conf_is_read_again_after_it_changed(tmp_path: Path) -> None:
    conf = ResolvConf(str(tmp_path / "resolv.conf"))
    found = [conf.servers(())]
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    found.append(conf.servers(()))
    (tmp_path / "new").write_text("nameserver 192.0.2.2\n")
    (tmp_path / "new").rename(tmp_path / "resolv.conf")
    found.append(conf.servers(()))
    assert found == [(), ("192.0.2.1",), ("192.0.2.2",)]
