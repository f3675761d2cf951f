"""containerd and nerdctl of an ordinary user, in a private host: RootlessKit does what containerd-rootless.sh has it do.

    with Rootless(host, detached=True) as rootless:
        rootless.nerdctl("load", "--input", rootless.borrow(archive))
        rootless.nerdctl("run", "--detach", "--name", "web", "--publish", "18080:80", BOX, "httpd", "-f")

RootlessKit makes a user, a mount and a network namespace, in which the user is root, and a user-mode network to the
host (slirp4netns). By default containerd stays outside the network namespace (`detached`), and nerdctl calls the
plugins in it. A published port of a container is one of that namespace, and RootlessKit's port driver listens on the
host for it.
"""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType

from tests.harness import ours, tools
from tests.harness.cache import cache_directory
from tests.harness.privatehost import HostError, PrivateHost

USER, UID, HOME = "alice", 54321, "/home/alice"
RUNTIME = f"/run/user/{UID}"
_STATE = f"{RUNTIME}/containerd-rootless"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What an administrator does once for every user of rootless containers; then the user's directories.
_PREPARE = f"""
set -e
echo '{USER}:x:{UID}:{UID}::{HOME}:/bin/sh' >>/etc/passwd
echo '{USER}:x:{UID}:' >>/etc/group
echo '{USER}:100000:65536' >/etc/subuid
echo '{USER}:100000:65536' >/etc/subgid
mknod -m 666 /run/.outside/tun c 10 200
mkdir -p /dev/net
[ -e /dev/net/tun ] || : >/dev/net/tun
mount --bind /run/.outside/tun /dev/net/tun
mount -t tmpfs -o mode=755 homes /home
mkdir -p {HOME} {RUNTIME}
chown {UID}:{UID} {HOME} {RUNTIME}
chmod 700 {RUNTIME}
"""

# In RootlessKit's namespaces: links to what root keeps in these places make room for the user's own directories.
_CHILD = f"""
set -e
rm -f /run/containerd /run/xtables.lock /var/lib/containerd /var/lib/cni /etc/containerd
for each in {RUNTIME}/containerd:/run/containerd {HOME}/.local/share/containerd:/var/lib/containerd \
    {HOME}/.local/share/cni:/var/lib/cni {HOME}/.config/containerd:/etc/containerd; do
    mkdir -p ${{each%:*}} ${{each#*:}}
    mount --bind ${{each%:*}} ${{each#*:}}
done
exec containerd
"""

_CONTAINERD = """\
version = 3
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
"""


class Rootless:
    """A running RootlessKit with a containerd; nothing in it runs as root of the host."""

    def __init__(self, host: PrivateHost, *, detached: bool = True) -> None:
        self.host = host
        needed = (
            tools.containerd24,
            tools.runc,
            tools.nerdctl,
            tools.rootlesskit,
            tools.slirp4netns,
            tools.uidmap,
        )
        containerd, runc, nerdctl, rootlesskit, slirp4netns, uidmap = (tools.require(each) for each in needed)
        folders = (containerd, *map(os.path.dirname, (sys.executable, runc, nerdctl, rootlesskit)), uidmap)
        self.environment = {
            "PATH": ":".join((f"{HOME}/bin", *folders, _PATH)),
            "HOME": HOME,
            "USER": USER,
            "XDG_RUNTIME_DIR": RUNTIME,
        }
        _make_readable(host, (sys.base_prefix, sys.prefix, ours.ROOT, cache_directory()))
        host.run(["sh", "-c", _PREPARE])
        self.write(".config/containerd/config.toml", _CONTAINERD)
        self.write(".config/nerdctl/nerdctl.toml", 'cgroup_manager = "none"\n')
        self.write("bin/slirp4netns", _with_its_libraries(slirp4netns), mode=0o755)
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed by close()
        self._kit = self._start(detached=detached)

    def __enter__(self) -> Rootless:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as the user, outside RootlessKit's namespaces."""
        return self.host.run(_as_user(argv), env=self.environment, cwd=HOME, check=check, timeout=timeout)

    def inside(self, argv: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program as the root that the user is in RootlessKit's namespaces, where plugins are called."""
        child = self.host.read(f"{_STATE}/child_pid").strip()
        netns = f"/proc/{child}/root{_STATE}/netns"  # a mount that only its mount namespace has
        enter = ["nsenter", "--preserve-credentials", "--user", "--mount", f"--target={child}"]
        enter += [f"--net={netns}"] if os.path.exists(netns) else ["--net"]
        return self.run([*enter, "--", *argv], check=check)

    def nerdctl(
        self, *arguments: str, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run nerdctl as the user."""
        return self.run(["nerdctl", *arguments], check=check, timeout=timeout)

    def borrow(self, path: str) -> str:
        """Copy a file to where the user can read it; return that path."""
        target = f"{HOME}/{os.path.basename(path)}"
        with open(path, "rb") as source, open(self.host.path(target), "wb") as copy:
            copy.write(source.read())
        return target

    def log(self) -> str:
        """What RootlessKit and containerd have said so far."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        """Remove every container, then end RootlessKit with all that runs in it."""
        if names := self.nerdctl("ps", "--all", "--quiet", check=False).stdout.split():
            self.nerdctl("rm", "--force", *names, check=False)
        self._kit.terminate()
        try:
            self._kit.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._kit.kill()
            self._kit.wait()
        self._log.close()

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file below the user's home directory."""
        self.host.write(f"{HOME}/{name}", text, mode=mode)
        self.host.run(["chown", "--recursive", f"{UID}:{UID}", HOME])

    def _start(self, *, detached: bool) -> subprocess.Popen[str]:
        options = [
            f"--state-dir={_STATE}",
            "--net=slirp4netns",
            "--mtu=65520",
            "--disable-host-loopback",
            "--port-driver=builtin",
            *(f"--copy-up={each}" for each in ("/etc", "/run", "/var/lib")),
            "--propagation=rslave",
            *(("--detach-netns",) if detached else ()),
        ]
        started = self.host.popen(
            _as_user(["rootlesskit", *options, "sh", "-c", _CHILD]),
            env=self.environment,
            cwd=HOME,
            stdout=self._log,
            stderr=self._log,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and started.poll() is None:
            if self.nerdctl("ps", check=False).returncode == 0:
                return started
            time.sleep(0.05)
        started.kill()
        raise HostError("rootless containerd does not answer:\n" + "\n".join(self.log().splitlines()[-8:]))


def _with_its_libraries(program: str) -> str:
    """A script that runs an unpacked program with the libraries that were unpacked with it."""
    below = os.path.dirname(os.path.dirname(program))
    libraries = ":".join(glob.glob(f"{below}/lib/*-linux-gnu*"))
    return f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {program} "$@"\n'


def _as_user(argv: Sequence[str]) -> list[str]:
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--", *argv]


def _make_readable(host: PrivateHost, paths: Sequence[str]) -> None:
    """Let the user reach what lies below directories that only root may enter, such as /root, and nothing else there."""
    closed: dict[str, list[str]] = {}
    for path in paths:
        if top := _closed_ancestor(path):
            closed.setdefault(top, []).append(path)
    for number, (top, below) in enumerate(closed.items()):
        kept = f"/run/.outside/readable{number}"
        lines = [
            f"mkdir -p {kept}",
            f"mount --rbind {top} {kept}",
            f"mount -t tmpfs -o mode=755 readable {top}",
        ]
        for path in below:
            lines += [f"mkdir -p {path}", f"mount --rbind {kept}{path.removeprefix(top)} {path}"]
        host.run(["sh", "-ec", "\n".join(lines)])


def _closed_ancestor(path: str) -> str:
    """The topmost directory above a path that others may not enter, or ""."""
    parts = path.strip("/").split("/")
    above = ("/" + "/".join(parts[: number + 1]) for number in range(len(parts)))
    return next((each for each in above if not os.stat(each).st_mode & 0o001), "")
