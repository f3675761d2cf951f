"""A containerd of its own inside a private host, and `ctr run --cni` to start containers with it.

    with Containerd(host, require(tools.containerd_debian), require(tools.runc)) as containerd:
        containerd.load(write_image(path, [BOX], require(tools.busybox)))
        host.write("/etc/cni/net.d/10-web.conflist", text)      # ctr takes the first file, and /opt/cni/bin
        print(containerd.run_container("c1", ["ip", "address"]).stdout)

`ctr` gives plugins the id `<namespace>-<container>`, the interface name eth0, no capabilities and the caller's whole
environment. It calls DEL after the process has died, so without a network namespace, and only for containers it runs
in the foreground (containerd 2 also does so when a detached task is killed).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from tests.harness import controlgroups
from tests.harness.privatehost import HostError, PrivateHost

BOX = "docker.io/library/box:1"
"""A name for the image that tests load."""

_DIRECTORY = "/run/containerd-under-test"
#: Where programs look that want to know containerd's directories.
_CONFIG_FILE = "/etc/containerd/config.toml"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# A root that may not raise limits (a container's) cannot give a pod's first process its out-of-memory score.
_CONFIG = {
    1: """\
version = 2
root = "{directory}/root"
state = "{directory}/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.6"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
    max_conf_num = 1
""",
    2: """\
version = 3
root = "{directory}/root"
state = "{directory}/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "registry.k8s.io/pause:3.10"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/opt/cni/bin"]
    conf_dir = "/etc/cni/net.d"
    max_conf_num = 1
""",
}


class Containerd:
    """A running containerd; `socket` is its address inside the host, `version` the text it reports.

    `environment` is what it and its clients run with: PATH leads to its own programs and to runc.
    """

    def __init__(self, host: PrivateHost, directory: str, runc: str, *, namespace: str = "default") -> None:
        self.host = host
        self.socket = "/run/containerd/containerd.sock"
        self.namespace = namespace
        self._directory = directory
        self._containers: list[str] = []
        self._foregrounds: list[subprocess.Popen[str]] = []
        self.environment = {**os.environ, "PATH": f"{directory}:{os.path.dirname(runc)}:{_SYSTEM_PATH}"}
        self.version = host.run([f"{directory}/containerd", "--version"]).stdout.split()[2].lstrip("v")
        config = _CONFIG[1 if self.version.startswith("1.") else 2]
        host.write(_CONFIG_FILE, config.format(directory=_DIRECTORY, socket=self.socket))
        # A file rather than a pipe: nobody reads it until something fails, and a full pipe would stop containerd.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed by close()
        self._daemon = self._start()

    def __enter__(self) -> Containerd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ctr(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run `ctr` with the given arguments; `env` adds variables, which it hands on to the plugins."""
        return self.host.run(
            self._argv(arguments), env={**self.environment, **(env or {})}, check=check, timeout=timeout
        )

    def load(self, archive: str) -> None:
        """Import an image from a tar file that the host can see (not below /run or /var/lib)."""
        self.ctr("image", "import", archive)

    def run_container(
        self,
        name: str,
        command: Sequence[str],
        *,
        image: str = BOX,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a container on the first network until its command ends, then remove it; return what it printed."""
        self._containers.append(name)
        return self.ctr(
            *("run", "--rm", "--cni", *options, image, name, *command), env=env, check=check, timeout=timeout
        )

    def start_container(
        self,
        name: str,
        command: Sequence[str],
        *,
        image: str = BOX,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a container on the first network in the background; `ctr` stays its foreground and sends the DEL.

        Returns once its command runs; HostError with what ctr printed if it does not within ten seconds.
        """
        self._containers.append(name)
        argv = self._argv(("run", "--rm", "--cni", *options, image, name, *command))
        running = self.host.popen(argv, env={**self.environment, **(env or {})})
        self._foregrounds.append(running)
        deadline = time.monotonic() + 10
        while not self.task_pid(name):
            if running.poll() is not None or time.monotonic() > deadline:
                running.kill()
                printed, said = running.communicate()
                raise HostError(f"container {name} does not start: {printed}{said}")
            time.sleep(0.02)
        return running

    def stop_container(self, name: str, running: subprocess.Popen[str], timeout: float = 20) -> int:
        """Kill the container's process and return the status of its `ctr`, which has sent DEL by then."""
        self.ctr("task", "kill", "--signal", "SIGKILL", name, check=False)
        running.communicate(timeout=timeout)
        return running.returncode

    def task_pid(self, name: str) -> int:
        """Return the pid of a container's first process, 0 if it has none yet or no longer."""
        for line in self.ctr("task", "list").stdout.splitlines()[1:]:
            task, pid, state = line.split()[:3]
            if task == name and state == "RUNNING":
                return int(pid)
        return 0

    def log(self) -> str:
        """Return what containerd has logged so far."""
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> None:
        """Stop containerd; containers go on running."""
        self._daemon.terminate()
        _end(self._daemon, patience=10)

    def start(self) -> None:
        """Start it again."""
        self._daemon = self._start()

    def restart(self) -> None:
        """Stop containerd and start it again; containers go on running meanwhile."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop what still runs as a user would, then containerd, and clear the control groups that stay behind."""
        if self._log.closed:
            return
        if self._daemon.poll() is None:
            for name in self.ctr("task", "list", "--quiet", check=False).stdout.split():
                self.ctr("task", "kill", "--signal", "SIGKILL", name, check=False)
            for foreground in self._foregrounds:
                _end(foreground, patience=10)
            for name in self.ctr("task", "list", "--quiet", check=False).stdout.split():
                self.ctr("task", "delete", "--force", name, check=False)
            for name in self.ctr("container", "list", "--quiet", check=False).stdout.split():
                self.ctr("container", "delete", name, check=False)
            self._daemon.terminate()
        _end(self._daemon, patience=10)
        for name in self._containers:
            controlgroups.remove_named(f"{self.namespace}/{name}")
        controlgroups.remove_named(self.namespace)
        self._log.close()

    def _start(self) -> subprocess.Popen[str]:
        """Start containerd and return when it answers; HostError with its log when it does not."""
        started = self.host.popen(
            [f"{self._directory}/containerd", "--config", _CONFIG_FILE],
            env=self.environment,
            stdout=self._log,
            stderr=self._log,
        )
        self._wait(started)
        return started

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        return [f"{self._directory}/ctr", "--address", self.socket, "--namespace", self.namespace, *arguments]

    def _wait(self, daemon: subprocess.Popen[str]) -> None:
        """Return when containerd answers; HostError with its log when it ends instead, or after 20 seconds."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and daemon.poll() is None:
            if (
                os.path.exists(self.host.path(self.socket))
                and self.ctr("version", check=False).returncode == 0
            ):
                return
            time.sleep(0.02)
        last = "\n".join(self.log().splitlines()[-5:])
        daemon.kill()
        raise HostError(f"containerd {self.version} does not answer:\n{last}")


def _end(process: subprocess.Popen[str], patience: float) -> None:
    """Wait `patience` seconds for a process that has been told to end, then kill it."""
    try:
        process.communicate(timeout=patience)
    except (
        subprocess.TimeoutExpired,
        ValueError,
    ):  # ValueError: its pipes have been read to the end and closed
        process.kill()
        process.wait()
