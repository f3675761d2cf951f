"""Debian's podman inside a private host, with its CNI backend and nothing but the plugins in /opt/cni/bin.

    podman = Podman(host, require(tools.podman), require(tools.runc))
    podman.run("load", "--input", write_image(path, [BOX], require(tools.busybox)))
    podman.run("run", "--detach", "--name", "web", "--network", "podman", BOX, "httpd", "-f")

Every podman process asks every plugin of every list for its VERSION, and calls the plugins itself: there is
no daemon. Its networks live in /etc/cni/net.d, its containers on the host's own /run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from types import TracebackType

from tests.harness import controlgroups
from tests.harness.privatehost import PrivateHost

NETWORKS = "/etc/cni/net.d"
_GROUP = "libpod_parent"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# A root that may not raise limits (a container's) cannot give containers podman's defaults, hence lower ones.
_CONFIG = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:8192"]
log_driver = "k8s-file"
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[engine.runtimes]
runc = ["{runc}"]
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "{networks}"
"""
_STORAGE = """\
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/run/containers/graph"
"""


class Podman:
    """podman as if installed in the host; `version` is what it reports."""

    def __init__(self, host: PrivateHost, root: str, runc: str) -> None:
        self.host = host
        self.environment = {**os.environ, "PATH": _SYSTEM_PATH}
        self._groups_before = controlgroups.below(_GROUP)
        self._install(root)
        host.write("/etc/containers/containers.conf", _CONFIG.format(runc=runc, networks=NETWORKS))
        host.write("/etc/containers/storage.conf", _STORAGE)
        self.version = self.output("--version").split()[2]

    def __enter__(self) -> Podman:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self, *arguments: str, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run podman; a failure raises HostError with what it said."""
        return self.host.run(
            ["/usr/bin/podman", *arguments], env=self.environment, check=check, timeout=timeout
        )

    def output(self, *arguments: str) -> str:
        """Run podman and return what it printed, without the last line's end."""
        return str(self.run(*arguments).stdout.rstrip("\n"))

    def start(self, name: str, *options: str, image: str, command: Sequence[str] = ()) -> str:
        """Start a container in the background and return its id."""
        return self.output("run", "--detach", "--name", name, *options, image, *command)

    def netns(self, name: str) -> str:
        """Return the path, inside the host, of a running container's network namespace."""
        return f"/proc/{self.output('inspect', '--format', '{{.State.Pid}}', name)}/ns/net"

    def close(self) -> None:
        """Remove every pod and container, and the control groups that podman leaves of them."""
        self.run("pod", "rm", "--all", "--force", "--time", "0", check=False)
        # A container whose network another one shares is removed after that one.
        for _ in range(2):
            self.run("rm", "--all", "--force", "--time", "0", check=False)
        controlgroups.remove(controlgroups.below(_GROUP) - self._groups_before)

    def _install(self, root: str) -> None:
        """Lay the unpacked packages over the host's /usr; what was mounted below it stays covered."""
        covered = os.path.isdir(self.host.path("/usr/lib/cni"))
        self.host.run(["mount", "-t", "overlay", "-o", f"lowerdir={root}/usr:/usr", "podman-usr", "/usr"])
        if covered:
            self.host.run(["mount", "-t", "tmpfs", "-o", "mode=755", "host-usr-lib-cni", "/usr/lib/cni"])
        self.host.run(["cp", "-a", f"{root}/etc/containers", "/etc"])
