"""A private Linux host made of namespaces: everything that touches the kernel in a test happens in one.

    with PrivateHost() as host:
        host.add_netns("box")
        before = host.snapshot()
        host.run(["/path/to/plugin"], env={...}, input="{...}")
        assert host.snapshot().diff(before) == []

The host has network, mount, UTS and IPC namespaces of its own. `/run` and `/var/lib` are empty, `/etc` and
`/opt` show the machine's files but keep what is written to themselves, `/usr/lib/cni` is empty. A veth called
`eth0` leads to a second network namespace, the "outside", which stands for the rest of the world:

    outside (198.51.100.1, 2001:db8:100::1) ---- eth0 (198.51.100.10, 2001:db8:100::10) host

Nothing here needs pytest, so plain scripts use it too.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from tests.harness import processes
from tests.harness.snapshot import SNAPSHOT_SCRIPT, Snapshot, read_snapshot

HOST_V4, HOST_V6 = "198.51.100.10", "2001:db8:100::10"
OUTSIDE_V4, OUTSIDE_V6 = "198.51.100.1", "2001:db8:100::1"
OUTSIDE = "/run/.outside/netns"
"""Path, inside the host, of the network namespace of the outside; `netns=OUTSIDE` runs a command there."""

_CLONE_FS, _CLONE_NEWNS, _CLONE_NEWNET = 0x200, 0x20000, 0x40000000
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Run by `unshare` in the new namespaces. $KEEP holds directories that must stay visible below /var/lib.
# An overlay rather than a tmpfs where programs still need the machine's own files; a tmpfs rather than a bind
# mount elsewhere, because a directory removed by another mount namespace silently takes a bind mount with it.
_SETUP = r"""
set -e
mount -t tmpfs -o mode=755 host-run /run
mkdir -p /run/netns /run/lock /run/.outside/cgroup /run/.outside/varlib
mount --rbind /sys/fs/cgroup /run/.outside/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/.outside/cgroup /sys/fs/cgroup
umount -l /run/.outside/cgroup
for top in etc opt; do
    mkdir -p /run/.outside/$top/upper /run/.outside/$top/work
    mount -t overlay -o lowerdir=/$top,upperdir=/run/.outside/$top/upper,workdir=/run/.outside/$top/work \
        host-$top /$top
done
for kept in $KEEP; do
    mkdir -p /run/.outside/varlib/${kept#/var/lib/}
    mount --rbind $kept /run/.outside/varlib/${kept#/var/lib/}
done
mount --rbind /run/.outside/varlib /var/lib
for full in /etc/cni /opt/cni; do if [ -e $full ]; then rm -rf $full; fi; done
mkdir -p /etc/cni/net.d /opt/cni/bin /var/lib/cni
if [ -d /usr/lib/cni ]; then mount -t tmpfs -o mode=755 host-usr-lib-cni /usr/lib/cni; fi
hostname fake-host
: >/run/.outside/netns
unshare --net=/run/.outside/netns true
ip -batch - <<'EOF'
link set lo up
link add eth0 type veth peer name eth0 netns /run/.outside/netns
EOF
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip -batch - <<'EOF'
link set eth0 up
address add 198.51.100.10/24 dev eth0
address add 2001:db8:100::10/64 dev eth0 nodad
EOF
nsenter --net=/run/.outside/netns sh -e <<'EOS'
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip -batch - <<'EOF'
link set lo up
link set eth0 up
address add 198.51.100.1/24 dev eth0
address add 2001:db8:100::1/64 dev eth0 nodad
EOF
EOS
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8:100::1
echo ready
cat >/dev/null
# Only when our owner died without closing us: nothing of ours may outlive it.
mine=$(readlink /proc/self/ns/mnt)
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    [ "$(readlink "$process/ns/mnt")" != "$mine" ] || [ "$pid" = $$ ] || kill -9 "$pid"
done
"""


class HostError(Exception):
    """The private host could not be made or cleaned, with what the commands printed."""


class PrivateHost:
    """A private host; usable at once, and until `close()` or the end of the `with` block.

    Making one takes about 50 ms. Needs root and raises HostError without it.
    """

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[Any]] = []
        self._closed = False
        # Our end of the holder's stdin is the life line: it closes however this process ends.
        self._holder = subprocess.Popen(
            [_program("unshare"), "--net", "--mount", "--uts", "--ipc", "/bin/sh", "-c", _SETUP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": _SYSTEM_PATH, "KEEP": " ".join(_kept_directories())},
            start_new_session=True,  # a signal to our whole group ends us, and the holder clears up after us
        )
        self.pid = self._holder.pid
        """The process that holds the namespaces: `/proc/<pid>/root`, `/proc/<pid>/ns/net`."""
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"ready\n":
            self._holder.kill()
            said = self._holder.stderr.read().decode().strip()
            self._holder.communicate()
            raise HostError(f"cannot make a private host (root and namespaces are needed): {said}")
        self._namespaces = processes.namespaces_of(self.pid)

    def __enter__(self) -> PrivateHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- running programs -----------------------------------------------------------------------------------

    def argv(self, argv: Sequence[str], *, netns: str | None = None, cwd: str | None = None) -> list[str]:
        """Return the command line that runs `argv` inside; the process it starts becomes `argv` itself.

        `netns` is a name made by `add_netns`, or the path (inside the host) of a network namespace.
        """
        entered = f"--net={self.path(_netns_path(netns))}" if netns else "--net"
        return [
            _program("nsenter"),
            f"--target={self.pid}",
            "--mount",
            "--uts",
            "--ipc",
            entered,
            f"--wdns={cwd or os.getcwd()}",
            "--",
            *argv,
        ]

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002  the name that subprocess.run gives it
        netns: str | None = None,
        cwd: str | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside and return its status, stdout and stderr as text; `timeout` in seconds.

        `env` is the whole environment (none given: ours). With `check`, a failure raises HostError.
        """
        result = subprocess.run(
            self.argv(argv, netns=netns, cwd=cwd),
            env=env,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and result.returncode != 0:
            said = (result.stderr + result.stdout).strip()
            raise HostError(f"{' '.join(argv)}: status {result.returncode}: {said}")
        return result

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        netns: str | None = None,
        cwd: str | None = None,
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a program inside (text pipes unless told otherwise); `close()` kills it if it still runs.

        The process has a session of its own, so a signal typed at the terminal does not reach it.
        """
        process = subprocess.Popen(
            self.argv(argv, netns=netns, cwd=cwd),
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def outside(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program outside the host, at 198.51.100.1; options as for `run`."""
        return self.run(argv, netns=OUTSIDE, **options)

    @contextmanager
    def entered(self, netns: str | None = None) -> Iterator[None]:
        """Move the calling thread into the host's (or `netns`'s) network and mount namespaces, and back.

        For code under test that runs in this process; call it from the main thread, before other threads
        exist that share its working directory.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        cwd = os.getcwd()
        ours = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")]
        theirs = [
            os.open(self.path(_netns_path(netns)) if netns else f"/proc/{self.pid}/ns/net", os.O_RDONLY),
            os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY),
        ]
        try:
            _checked(libc.unshare(_CLONE_FS))
            _enter(libc, theirs, cwd)
            try:
                yield
            finally:
                _enter(libc, ours, cwd)
        finally:
            for descriptor in (*ours, *theirs):
                os.close(descriptor)

    @contextmanager
    def another_boot(self) -> Iterator[None]:
        """Another boot as far as programs can see that begin in it; the memory of this one (/run) stays."""
        self.write("/run/boot_id", "11111111-2222-3333-4444-555555555555\n")
        self.run(["mount", "--bind", "/run/boot_id", "/proc/sys/kernel/random/boot_id"])
        try:
            yield
        finally:
            self.run(["umount", "/proc/sys/kernel/random/boot_id"])

    # --- files ----------------------------------------------------------------------------------------------

    def path(self, inside: str) -> str:
        """Return the path by which this process opens the host's absolute path `inside`."""
        return f"/proc/{self.pid}/root{inside}"

    def write(self, inside: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the host in place, making its directories."""
        target = self.path(inside)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(target, mode)

    def read(self, inside: str) -> str:
        """Return a file of the host as text."""
        with open(self.path(inside), encoding="utf-8") as file:
            return file.read()

    # --- containers -----------------------------------------------------------------------------------------

    def add_netns(self, name: str, *, loopback_up: bool = False) -> str:
        """Make the network namespace of a container; return its path inside the host, `/run/netns/<name>`.

        As in a fresh container its `lo` is down, unless `loopback_up`.
        """
        self.run(["ip", "netns", "add", name])
        if loopback_up:
            self.run(["ip", "link", "set", "lo", "up"], netns=name)
        return f"/run/netns/{name}"

    def del_netns(self, name: str) -> None:
        """Remove a network namespace made by `add_netns`; processes still in it keep it alive."""
        self.run(["ip", "netns", "delete", name])

    def links(self, netns: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the links of a namespace by name, each as `ip -json -details address` describes it."""
        shown = json.loads(
            self.run(["ip", "-json", "-details", "address", "show"], netns=netns).stdout or "[]"
        )
        return {link["ifname"]: link for link in shown if link}

    # --- what is there --------------------------------------------------------------------------------------

    def snapshot(self, ignore: Sequence[str] = ()) -> Snapshot:
        """Return everything a plugin can leave behind, as readable lines; see tests/harness/snapshot.py.

        `ignore` holds shell patterns; a line that one of them matches is left out. About 60 ms.
        """
        shown = self.run(["/bin/sh", "-c", SNAPSHOT_SCRIPT], env={"PATH": _SYSTEM_PATH}).stdout
        return read_snapshot(shown, self.path(""), ignore)

    def processes(self) -> dict[int, str]:
        """Return pid -> command line of every process inside (containers too), the holder excepted."""
        found = {}
        for pid in self._inhabitants():
            command = processes.command_of(pid)
            if pid not in self._holding() and command:
                found[pid] = command
        return found

    def _holding(self) -> set[int]:
        """The holder's shell and the `cat` that waits in it."""
        return {self.pid, *processes.children().get(self.pid, ())}

    def _inhabitants(self) -> set[int]:
        """Return the pids of this host: in one of its namespaces, or descending from a process that is."""
        ours = {*self._namespaces, *self._netns_inodes()}
        inside = [pid for pid in processes.pids() if not ours.isdisjoint(processes.namespaces_of(pid))]
        return processes.with_descendants(inside) - {os.getpid()}

    def _netns_inodes(self) -> Iterator[str]:
        for directory in ("/run/netns", "/run/.outside"):
            try:
                names = os.listdir(self.path(directory))
            except OSError:
                continue
            for name in names:
                try:
                    yield f"net:[{os.stat(self.path(f'{directory}/{name}')).st_ino}]"
                except OSError:
                    continue

    # --- the end --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Kill every process of this host and wait until its namespaces are gone; a second call does nothing.

        Raises HostError when a process survives SIGKILL for five seconds.
        """
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + 5
        # The holder goes last: without it the names under /run/netns cannot be looked up.
        while remaining := self._inhabitants() - self._holding():
            processes.kill(remaining)
            self._reap()
            if time.monotonic() > deadline:
                raise HostError(f"processes {sorted(remaining)} of the private host do not die")
            time.sleep(0.002)
        processes.kill(self._holding())
        self._holder.communicate()
        self._reap()
        for process in self._processes:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _reap(self) -> None:
        for process in self._processes:
            process.poll()


def _kept_directories() -> list[str]:
    """Return the directories this process needs that would vanish below the host's own /var/lib."""
    cache = (
        os.environ.get("LINKSPAN_CACHE") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    )
    wanted = {os.getcwd(), sys.prefix, sys.base_prefix, os.path.realpath(cache), os.path.expanduser("~")}
    return sorted(path for path in wanted if path.startswith("/var/lib/") and os.path.isdir(path))


def _netns_path(netns: str) -> str:
    return netns if netns.startswith("/") else f"/run/netns/{netns}"


def _program(name: str) -> str:
    """Return the absolute path of a system program, whatever PATH is."""
    for directory in _SYSTEM_PATH.split(":"):
        if os.access(f"{directory}/{name}", os.X_OK):
            return f"{directory}/{name}"
    raise HostError(f"program {name!r} is missing; install the package util-linux")


def _checked(status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise HostError(f"cannot change namespaces: {os.strerror(number)}")


def _enter(libc: ctypes.CDLL, descriptors: Sequence[int], cwd: str) -> None:
    network, mount = descriptors
    _checked(libc.setns(mount, _CLONE_NEWNS))
    _checked(libc.setns(network, _CLONE_NEWNET))
    os.chdir(cwd)
