"""The main job, running: `./dev demo`.

A private host (namespaces of its own, gone with this process however it ends), three containers made of nothing but a network
namespace and a real HTTP server, and a peer outside. Each step is a command a person could type; each claim is checked.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from typing import Any, cast

from tests.harness.chain import Attachment, Chain
from tests.harness.privatehost import PrivateHost

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = "/opt/cni/bin"
HOST_ADDRESS = "198.51.100.10"

#: Stays by design after the last container (a bridge, shared chains, sysctls, the allocator's cursor): both sides of the
#: comparison are taken after one container has come and gone, so nothing but what runs is left out.
RUNNING = (
    "*resident*",
    "*dns.sock*",
    "*dns.lock*",
    "*dns.log*",
    "*ports.sock*",
    "*ports.lock*",
    "*ports.log*",
    "*/locks/*",
    "*last_reserved_ip*",
    "*/released/*",
)


class DemoFailed(Exception):
    """Something did not happen as announced."""


class Demo:
    """The host, the two networks and what to tell about them."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        self.run([sys.executable, "-m", "linkspan.cli.main", "install", "--bin-dir", BIN], quiet=True)
        self.networks = {name: Chain(_list(name), BIN, host=host) for name in ("bridge", "custom")}
        self.containers: dict[tuple[str, str], Attachment] = {}

    # --- what a runtime does ----------------------------------------------------------------------------------

    def container(self, name: str, network: str, port: int = 0) -> str:
        """Make a container with an HTTP server, attach it to a network, and return its address."""
        netns = self.host.add_netns(name, loopback_up=True)
        address = self.attach(name, netns, network, "eth0", port)
        self.serve(name)
        return address

    def attach(self, name: str, netns: str, network: str, ifname: str, port: int = 0) -> str:
        """ADD, write the container's resolv.conf from the result as podman does, and return the address."""
        mapping = {"hostPort": port, "containerPort": 8080, "protocol": "tcp"}
        attachment = Attachment(
            f"demo-{name}",
            netns,
            ifname,
            f"IgnoreUnknown=1;K8S_POD_NAME={name}",
            {"portMappings": [mapping] if port else []},
        )
        started = time.perf_counter()
        result = self.networks[network].add(attachment)
        took = (time.perf_counter() - started) * 1000
        self.containers[name, network] = attachment
        self._write_resolv_conf(name, result)
        address = str(result["ips"][0]["address"])
        published = f", host port {port} -> 8080" if port else ""
        tell(f"ADD {name} to {network}: {ifname} {address}{published}  ({took:.0f} ms)")
        return address.partition("/")[0]

    def detach(self, name: str, network: str) -> None:
        """DEL, and forget the attachment."""
        self.networks[network].delete(self.containers.pop((name, network)))
        tell(f"DEL {name} from {network}")

    def serve(self, name: str) -> None:
        """Start an HTTP server in the container and wait until it listens."""
        self.host.write(f"/run/demo/{name}/www/index.html", f"hello from {name}\n")
        server = [sys.executable, "-c", _SERVER, f"/run/demo/{name}/www"]
        self.host.popen(server, netns=name, stdout=-3, stderr=-3)
        until(
            lambda: ":8080" in self.run(["ss", "-Hltn"], netns=name, quiet=True), f"{name}'s server listens"
        )

    def _write_resolv_conf(self, name: str, result: dict[str, Any]) -> None:
        dns = result.get("dns", {})
        lines = [f"nameserver {each}" for each in dns.get("nameservers", ())]
        if dns.get("search"):
            lines.append("search " + " ".join(dns["search"]))
        self.host.write(f"/run/demo/{name}/resolv.conf", "\n".join(lines) + "\n")

    # --- what a person types ----------------------------------------------------------------------------------

    def run(self, argv: list[str], *, netns: str | None = None, quiet: bool = False) -> str:
        """Run a command on the host, or in a container, and show it with its output."""
        done = self.host.run(argv, netns=netns, check=False)
        if not quiet:
            where = f"{netns}$" if netns else "host#"
            print(f"    {where} {' '.join(argv)}")
            for line in done.stdout.rstrip().splitlines():
                print(f"      {line}")
        if done.returncode:
            raise DemoFailed(f"{' '.join(argv)} failed: {(done.stderr or done.stdout).strip()}")
        return str(done.stdout)

    def exec(self, name: str, argv: list[str]) -> str:
        """Run a command in a container, with the container's own resolv.conf."""
        script = f'mount --bind /run/demo/{name}/resolv.conf /etc/resolv.conf && exec "$@"'
        done = self.host.run(["unshare", "-m", "sh", "-c", script, "sh", *argv], netns=name, check=False)
        print(f"    {name}$ {' '.join(argv)}")
        for line in done.stdout.rstrip().splitlines():
            print(f"      {line}")
        if done.returncode:
            raise DemoFailed(f"{name}$ {' '.join(argv)} failed: {(done.stderr or done.stdout).strip()}")
        return str(done.stdout)

    def lost(self, name: str, address: str) -> None:
        """Show that a container does not reach an address."""
        argv = ["ping", "-c2", "-i0.2", "-W1", address]
        done = self.host.run(argv, netns=name, check=False)
        print(f"    {name}$ {' '.join(argv)}")
        for line in done.stdout.splitlines():
            if "packet loss" in line:
                print(f"      {line}")
        self.claim(f"{name} does not reach {address}", done.stdout, "100% packet loss")

    def claim(self, sentence: str, output: str, wanted: str) -> None:
        """Hold an output against what was announced."""
        if not re.search(wanted, output):
            raise DemoFailed(f"{sentence}: expected {wanted!r} in\n{output}")
        print(f"    ✓ {sentence}")


#: `python -m http.server` without its look-up of the host's own name, which waits for a name server that answers.
_SERVER = """
import http.server, os, socketserver, sys
os.chdir(sys.argv[1])
socketserver.ThreadingTCPServer(("", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def tell(sentence: str) -> None:
    print(f"  {sentence}")


def title(sentence: str) -> None:
    print(f"\n== {sentence}")


def until(condition: Any, what: str, seconds: float = 5) -> None:
    """Wait for a condition; DemoFailed names it after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise DemoFailed(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def _list(name: str) -> str:
    with open(f"{ROOT}/cni-conf/{name}.conflist", encoding="utf-8") as file:
        return file.read()


def play(demo: Demo) -> None:
    """The story: two containers on `bridge`, one on `custom`, and the first joins `custom` while it runs."""
    host = demo.host
    title("Before: one container comes and goes on each network, so that bridges and shared rules are there")
    for network in demo.networks:
        netns = host.add_netns("first")
        demo.attach("first", netns, network, "eth0", 8080)
        demo.detach("first", network)
        host.del_netns("first")
    before = host.snapshot(ignore=RUNNING)

    title("Two containers on `bridge` with published ports, one on `custom`")
    one = demo.container("tomcat01", "bridge", 8081)
    two = demo.container("tomcat03", "bridge", 8082)
    custom = demo.container("tomcat-custom", "custom")

    title("They reach each other by address, and the world reaches them by port")
    demo.claim("by address", demo.exec("tomcat01", ["ping", "-c1", "-W2", two]), "1 received")
    for port, name in ((8081, "tomcat01"), (8082, "tomcat03")):
        for where, address, shown in (("198.51.100.1", HOST_ADDRESS, "outside"), (None, "127.0.0.1", "host")):
            url = ["curl", "-sS", "-m5", f"http://{address}:{port}/"]
            said = host.outside(url).stdout if where else host.run(url).stdout
            print(f"    {shown}$ {' '.join(url)}\n      {said.strip()}")
            demo.claim(f"port {port} answers", said, f"hello from {name}")

    title("Another network is reached by its published ports only")
    demo.lost("tomcat-custom", one)
    demo.lost("tomcat01", custom)
    demo.claim(
        "port 8081 answers",
        demo.exec("tomcat-custom", ["curl", "-sS", "-m5", f"http://{HOST_ADDRESS}:8081/"]),
        "hello from tomcat01",
    )

    title("A running container joins a second network; names resolve there")
    demo.attach("tomcat01", "/run/netns/tomcat01", "custom", "eth1")
    demo.claim(
        "ping tomcat-custom is answered from tomcat-custom.custom",
        demo.exec("tomcat01", ["ping", "-c1", "-W2", "tomcat-custom"]),
        r"from tomcat-custom\.custom",
    )
    demo.claim(
        "curl by name",
        demo.exec("tomcat01", ["curl", "-sS", "-m5", "http://tomcat-custom:8080/"]),
        "tomcat-custom",
    )
    demo.claim(
        "and back", demo.exec("tomcat-custom", ["ping", "-c1", "-W2", "tomcat01"]), r"from tomcat01\.custom"
    )
    demo.claim(
        "the way out is still the first network",
        demo.exec("tomcat01", ["ip", "route"]),
        r"default via \S+ dev eth0",
    )
    demo.claim(
        "published ports go on working",
        host.outside(["curl", "-sS", f"http://{HOST_ADDRESS}:8081/"]).stdout,
        "tomcat01",
    )

    title("What there is to see")
    demo.run(["ip", "-br", "address"])
    demo.exec("tomcat01", ["ip", "-br", "address"])
    for chain in ("published", "masquerade4", "published4_any"):
        shown = host.run(["nft", "list", "table", "inet", "linkspan"]).stdout
        block = re.search(rf"^\t(?:map|chain|set) {chain} {{.*?^\t}}", shown, re.S | re.M)
        if block:
            print("\n".join(f"      {line}" for line in block.group(0).splitlines()[:12]))
    print(f"    addresses: {one}, {two} on bridge; {custom} on custom")

    title("Clean up")
    for name, network in list(demo.containers)[::-1]:
        demo.detach(name, network)
    for name in ("tomcat01", "tomcat03", "tomcat-custom"):
        for pid in host.run(["ip", "netns", "pids", name]).stdout.split():
            os.kill(int(pid), 9)
        host.del_netns(name)
    left = before.diff(host.snapshot(ignore=RUNNING))
    if left:
        raise DemoFailed("left behind:\n" + "\n".join(left))
    print("    ✓ links, addresses, routes, rules, leases, names and files are as before")


def main() -> int:
    """Run the demo; 0 if every claim held."""
    started = time.monotonic()
    # Also into a pipe line by line: what is shown is what has just happened.
    cast("io.TextIOWrapper", sys.stdout).reconfigure(line_buffering=True)
    try:
        with PrivateHost() as host:
            play(Demo(host))
    except KeyboardInterrupt:
        print("\ninterrupted; the private host is gone with everything in it")
        return 130
    except Exception as error:
        print(f"\ndemo failed: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"demo": "ok", "seconds": round(time.monotonic() - started, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
