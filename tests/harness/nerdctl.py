"""Drives `nerdctl` on a containerd inside a private host.

    with Containerd(host, require(tools.containerd24), require(tools.runc)) as containerd:
        containerd.load(write_image(path, [BOX], require(tools.busybox)))
        with Nerdctl(containerd, require(tools.nerdctl)) as nerdctl:
            nerdctl.output("network", "create", "web", "--subnet", "10.5.0.0/24")
            nerdctl.start("site", "--network", "web", "--publish", "18080:80", command=["httpd", "-f"])

nerdctl calls the plugins from OCI hooks, one container at a time on the whole host but several networks of one
container at once. It sends DEL without a namespace before ADD, at stop and at remove; it reads the iptables chains of
`portmap` to learn which host ports are taken; names come from /etc/hosts, which it writes from the results of ADD.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from tests.harness.containerd import BOX, Containerd


class Nerdctl:
    """nerdctl with its settings; containers are named by what they were asked to be called."""

    def __init__(self, containerd: Containerd, program: str) -> None:
        self.host = containerd.host
        self.containerd = containerd
        self.program = program
        self.environment = containerd.environment
        self.version = self.output("--version").split()[2]

    def __enter__(self) -> Nerdctl:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self, *arguments: str, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run nerdctl; a failure raises HostError with what it said."""
        return self.host.run([self.program, *arguments], env=self.environment, check=check, timeout=timeout)

    def output(self, *arguments: str) -> str:
        """Run nerdctl and return what it printed, without the last line's end."""
        return str(self.run(*arguments).stdout.rstrip("\n"))

    def start(self, name: str, *options: str, command: Sequence[str] = ()) -> str:
        """Start a container of the test image in the background and return its id."""
        return self.output("run", "--detach", "--pull", "never", "--name", name, *options, BOX, *command)

    def once(self, *options: str, command: Sequence[str]) -> str:
        """Run a command in a container of its own, remove it, and return what it printed."""
        return self.output("run", "--rm", "--pull", "never", *options, BOX, *command)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what nerdctl tells about a container, in Docker's words."""
        found: dict[str, Any] = json.loads(self.output("container", "inspect", name))[0]
        return found

    def netns(self, name: str) -> str:
        """Return the path, inside the host, of a running container's network namespace."""
        return f"/proc/{self.inspect(name)['State']['Pid']}/ns/net"

    def address(self, name: str) -> str:
        """Return a running container's IPv4 address on its first network."""
        return str(self.inspect(name)["NetworkSettings"]["IPAddress"])

    def close(self) -> None:
        """Remove every container, so that no control group stays behind."""
        if names := self.run("ps", "--all", "--quiet", check=False).stdout.split():
            self.run("rm", "--force", *names, check=False)
