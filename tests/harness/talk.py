"""Small servers and clients for tests of reachability: who can talk to whom, and seen from which address.

with serve(host, "web", port=80):
    assert ask(host, "198.51.100.10", 8080, netns=OUTSIDE) == "web 198.51.100.1"
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.privatehost import HostError, PrivateHost

_SERVER = r"""
import socket, sys
kind, address, port, name = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, int(port)))
    if kind == "tcp":
        server.listen(64)
    print("ready", flush=True)
    while True:
        if kind == "udp":
            _, peer = server.recvfrom(2048)
            server.sendto((name + " " + peer[0].removeprefix("::ffff:")).encode(), peer)
        else:
            connection, peer = server.accept()
            with connection:
                connection.sendall((name + " " + peer[0].removeprefix("::ffff:")).encode())
"""

_ADVERTISER = r"""
import socket, struct, sys, time
device, prefix = sys.argv[1:]
index = socket.if_nametoindex(device)
sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
if prefix:
    message += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0) + socket.inet_pton(socket.AF_INET6, prefix)
for _ in range(3):
    sock.sendto(message, ("ff02::1", 0, 0, index))
    time.sleep(0.2)
"""

_CLIENT = r"""
import socket, sys
kind, address, port, wait = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
try:
    with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as client:
        client.settimeout(float(wait))
        client.connect((address, int(port)))
        if kind == "udp":
            client.send(b"?")
        print(client.recv(2048).decode(), end="")
except OSError as error:
    sys.exit(str(error))
"""


@contextmanager
def serve(
    host: PrivateHost, netns: str | None, *, port: int, kind: str = "tcp", address: str = "::", name: str = ""
) -> Iterator[None]:
    """Answer every connection (or, `kind` "udp", datagram) in `netns` with `<name> <peer's address>`.

    `name` is `netns` unless given; the address `::` serves both families. Raises HostError if it cannot listen.
    """
    answer = name or netns or "host"
    server = host.popen(
        [sys.executable, "-ISc", _SERVER, kind, address, str(port), answer], netns=netns, stderr=None
    )
    assert server.stdout is not None
    if server.stdout.readline() != "ready\n":
        raise HostError(f"cannot serve {kind} [{address}]:{port} in {netns or 'the host'}; see stderr")
    try:
        yield
    finally:
        server.kill()
        server.wait()


def ask(
    host: PrivateHost,
    address: str,
    port: int,
    *,
    netns: str | None = None,
    kind: str = "tcp",
    wait: float = 1.0,
) -> str | None:
    """Return what a server of `serve` answers to a caller in `netns`, or None: refused, unreachable, or silent.

    `wait` is the time in seconds after which silence is an answer.
    """
    argv = [sys.executable, "-ISc", _CLIENT, kind, address, str(port), str(wait)]
    done = host.run(argv, netns=netns, check=False)
    return done.stdout if done.returncode == 0 else None


def advertise(host: PrivateHost, *, netns: str, device: str, prefix: str = "") -> None:
    """Router advertisements (RFC 4861, section 4.2) with a lifetime of half an hour; `prefix` (a /64) is for addresses of one's own."""
    host.run([sys.executable, "-ISc", _ADVERTISER, device, prefix], netns=netns)
