"""Two containers of the Docker engine, and what their users can expect of it: the counterpart of `guests`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.docker import Docker
from tests.harness.privatehost import HOST_V4, OUTSIDE, OUTSIDE_V4
from tests.harness.scenario import fetch
from tests.harness.talk import ask, serve

PORT = 19090
"""The host's port that leads to port 80 of Docker's `shop`."""
HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"]

_ASK_NAME = (
    "import dns.message, dns.query; "
    "print(dns.query.udp(dns.message.make_query('shop', 'A'), '127.0.0.11', timeout=1).answer[0][0])"
)


class Theirs:
    """Containers `shop`, which serves a page on port 80 and publishes it, and `buyer`, on a network of Docker's."""

    def __init__(self, docker: Docker) -> None:
        self.docker = docker
        docker.create_network("town", "172.30.0.0/24")
        docker.run("shop", HTTPD, network="town", ports={80: PORT})
        docker.run("buyer", ["sleep", "1000000"], network="town")

    def lacking(self) -> list[str]:
        """What a user of the two containers expects and does not find, as words."""
        return [what for what, answers in self._expectations() if not answers]

    def _expectations(self) -> Iterator[tuple[str, bool]]:
        docker, host = self.docker, self.docker.host
        buyer, shop = docker.netns("buyer"), docker.address("shop", "town")
        pages = (
            ("its neighbour", buyer, f"{shop}:80"),
            ("the port from outside", OUTSIDE, f"{HOST_V4}:{PORT}"),
            ("the port on 127.0.0.1", None, f"127.0.0.1:{PORT}"),
        )
        for what, netns, place in pages:
            yield what, fetch(host, f"http://{place}/", netns=netns, patience=2) == "box\n"
        with serve(host, OUTSIDE, port=81, name="world"):
            yield "the world", ask(host, OUTSIDE_V4, 81, netns=buyer) == f"world {HOST_V4}"
        yield "names", host.run([sys.executable, "-c", _ASK_NAME], netns=buyer).stdout.strip() == shop


@contextmanager
def published_by_docker(docker: Docker, port: int) -> Iterator[str]:
    """A container of Docker's that publishes a page on a port of the host; what it is called."""
    docker.run("rival", HTTPD, ports={80: port})
    try:
        yield "rival"
    finally:
        docker.remove("rival")


def page_at(docker: Docker, port: int) -> bool:
    """Whether Docker's page is what somebody outside gets at a port of the host."""
    return fetch(docker.host, f"http://{HOST_V4}:{port}/", netns=OUTSIDE, patience=2) == "box\n"
