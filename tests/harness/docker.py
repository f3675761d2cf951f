"""The real Docker engine inside a private host, driven over its API socket.

    with Containerd(host, require(tools.containerd24), require(tools.runc_of_docker)) as containerd:
        with Docker(containerd, require(tools.dockerd)) as docker:
            docker.load(write_image(path, [BOX], require(tools.busybox)))
            docker.create_network("net", "172.30.0.0/24")
            docker.run("web", ["httpd", "-f", "-p", "80", "-h", "/www"], network="net", ports={80: 18080})

Paths and words are those of https://docs.docker.com/reference/api/engine/. The engine has no images but those loaded.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any

from tests.harness.containerd import BOX, Containerd
from tests.harness.privatehost import HostError

_DIRECTORY = "/run/docker-under-test"
_SOCKET = f"{_DIRECTORY}/docker.sock"


class Refused(HostError):
    """The engine answered with an error, which the text is."""


class Docker:
    """A running engine. Containers and networks are named by what they were asked to be called."""

    def __init__(self, containerd: Containerd, directory: str) -> None:
        self.host = containerd.host
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed by close()
        options = {
            "containerd": containerd.socket,
            "data-root": f"{_DIRECTORY}/data",
            "exec-root": f"{_DIRECTORY}/exec",
            "host": f"unix://{_SOCKET}",
            "pidfile": f"{_DIRECTORY}/pid",
            "seccomp-profile": "unconfined",  # the runc of the tests is built without libseccomp
            "userland-proxy-path": f"{directory}/docker-proxy",
        }
        self.host.run(["mkdir", "-p", _DIRECTORY])
        self._daemon = self.host.popen(
            [f"{directory}/dockerd", *(f"--{name}={value}" for name, value in options.items())],
            env=containerd.environment,
            stdout=self._log,
            stderr=self._log,
        )
        self._wait()

    def __enter__(self) -> Docker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- containers -----------------------------------------------------------------------------------------------

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        network: str = "bridge",
        ports: Mapping[int, int] | None = None,
    ) -> None:
        """Start a container; `ports` leads from ports of the container (tcp) to ports of the host. Raises Refused."""
        self.create(name, command, network=network, ports=ports)
        self.start(name)

    def create(
        self,
        name: str,
        command: Sequence[str],
        *,
        network: str = "bridge",
        ports: Mapping[int, int] | None = None,
    ) -> None:
        """Make a container without starting it."""
        published = {f"{inside}/tcp": [{"HostPort": str(host)}] for inside, host in (ports or {}).items()}
        host_config = {"NetworkMode": network, "PortBindings": published}
        body = {"Image": BOX, "Cmd": list(command), "HostConfig": host_config}
        self.ask(
            "POST",
            f"/containers/create?name={name}",
            {**body, "ExposedPorts": {port: {} for port in published}},
        )

    def start(self, name: str) -> None:
        """Start a container that was made or has stopped."""
        self.ask("POST", f"/containers/{name}/start")

    def kill(self, name: str) -> None:
        """Stop a container at once."""
        self.ask("POST", f"/containers/{name}/kill")
        self.ask("POST", f"/containers/{name}/wait")

    def remove(self, name: str) -> None:
        """Remove a container, running or not."""
        self.ask("DELETE", f"/containers/{name}?force=1")

    def netns(self, name: str) -> str:
        """The path, inside the host, of a running container's network namespace."""
        return f"/proc/{self.ask('GET', f'/containers/{name}/json')['State']['Pid']}/ns/net"

    def address(self, name: str, network: str = "bridge") -> str:
        """A running container's IPv4 address on a network."""
        inspected = self.ask("GET", f"/containers/{name}/json")
        return str(inspected["NetworkSettings"]["Networks"][network]["IPAddress"])

    # --- networks and images --------------------------------------------------------------------------------------

    def create_network(self, name: str, subnet: str) -> None:
        """Make a bridge network."""
        self.ask("POST", "/networks/create", {"Name": name, "IPAM": {"Config": [{"Subnet": subnet}]}})

    def connect(self, network: str, name: str) -> None:
        """Attach a container to a further network."""
        self.ask("POST", f"/networks/{network}/connect", {"Container": name})

    def disconnect(self, network: str, name: str) -> None:
        """Detach it again."""
        self.ask("POST", f"/networks/{network}/disconnect", {"Container": name})

    def load(self, archive: str) -> None:
        """Import an image from a tar file of ours."""
        with open(archive, "rb") as file:
            self.ask("POST", "/images/load", file)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request; the answer's JSON, None where there is none. `body` is JSON or an open tar file. Raises Refused."""
        raw = body is not None and hasattr(body, "read")
        payload: bytes | IO[bytes] | None = (
            body if raw else json.dumps(body).encode() if body is not None else None
        )
        headers = {"Content-Type": "application/x-tar" if raw else "application/json"}
        connection = _UnixConnection(self.host.path(_SOCKET))
        try:
            connection.request(method, path, payload, headers, encode_chunked=raw)
            answer = connection.getresponse()
            said = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {said}")
        return json.loads(said) if said and not raw else None

    # --- the end --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Remove every container, then end the engine as its service would."""
        if self._log.closed:
            return
        if self._daemon.poll() is None:
            for each in self.ask("GET", "/containers/json?all=1"):
                self.remove(each["Id"])
            self._daemon.terminate()
            self._daemon.wait(timeout=30)
        self._log.close()

    def _wait(self) -> None:
        """Return when it answers; HostError with its last words when it ends instead, or after 30 seconds."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._daemon.poll() is None:
            if os.path.exists(self.host.path(_SOCKET)) and self._answers():
                return
            time.sleep(0.05)
        self._log.seek(0)
        last = "\n".join(self._log.read().splitlines()[-5:])
        self._daemon.kill()
        raise HostError(f"dockerd does not answer:\n{last}")

    def _answers(self) -> bool:
        try:
            self.ask("GET", "/version")
        except (OSError, http.client.HTTPException):
            return False
        return True


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
