"""Bringing a process into being that must outlive its caller: the resident, and the dns plugin's name server.

A daemon that is merely forked from a plugin keeps the mounts of the runtime that called it and dies with that runtime's cgroup.
Where PID 1 is systemd and shares our network namespace, systemd starts it; where PID 1 is something else, it is started in PID 1's
mount namespace and in the root cgroup; in a network namespace of its own (a host made of namespaces) it stays where its caller is.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from linkspan import paths
from linkspan.cni.errors import IoFailure
from linkspan.host.linux.files import LinuxFiles
from linkspan.workers.master import LOG_LIMIT, take_lock

_CLONE_NEWNS = 0x00020000  # linux/sched.h
#: Seconds until a resident that was started must greet.
_START = 10.0


def start() -> None:
    """Bring up a resident in this network namespace unless one is there or on its way. Raises IoFailure, OSError."""
    state_dir = paths.state_dir()
    LinuxFiles(state_dir).make_folder(state_dir)
    lock = take_lock(state_dir)
    if lock is None:
        return
    log = paths.log(state_dir, paths.WORKERS)
    if _systemd_is_ours():
        os.close(lock)
        unit = f"linkspan-resident-{os.path.basename(state_dir)}"
        if _started_by_systemd(unit, module_argv("linkspan.workers.master"), log):
            return
        lock = take_lock(state_dir)
        if lock is None:
            return
    # The lock goes to the child open: there is no moment in which a second one could be started.
    spawn_detached([*module_argv("linkspan.workers.master"), "--locked"], log=log, keep=lock)
    os.close(lock)


def start_and_wait() -> None:
    """`start`, and return once it greets. Raises IoFailure when it does not."""
    start()
    deadline = time.monotonic() + _START
    while peer() is None:
        if time.monotonic() > deadline:
            raise IoFailure(
                "the resident does not start", f"see {paths.log(paths.state_dir(), paths.WORKERS)}"
            )
        time.sleep(0.01)


def peer() -> tuple[int, str] | None:
    """Process id and greeting of the resident of this network namespace; None if nobody listens. The greeting is "" if it is stopped."""
    import socket
    import struct

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(1.0)
        try:
            asked.connect(paths.socket(paths.state_dir(), paths.WORKERS))
            pid = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        except OSError:
            return None
        try:
            return int(pid), asked.recv(512).decode().strip()
        except OSError:
            return int(pid), ""


def module_argv(module: str) -> list[str]:
    """The command that runs `main()` of a module, found where this process found it, whatever environment and folder it starts in."""
    boot = (
        "import sys; from importlib import import_module; sys.path[:] = sys.argv[2].split(':'); "
        "sys.exit(import_module(sys.argv[1]).main())"
    )
    paths = ":".join(os.path.abspath(each) for each in sys.path if each)
    return [sys.executable, "-I", "-S", "-c", boot, module, paths]


def become_again(module: str) -> NoReturn:
    """Turn this process into `module` as it is on disk now. Descriptors of ours are closed, locks among them."""
    os.execve(sys.executable, module_argv(module), dict(os.environ))


def spawn_detached(argv: Sequence[str], *, log: str, keep: int | None = None) -> None:
    """Run a program that nobody waits for: own session, nothing of ours open but `keep`, output appended to `log`.

    Raises OSError when there is no process to be had.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _become(argv, log, keep)
    finally:
        os._exit(0)


def _become(argv: Sequence[str], log: str, keep: int | None) -> None:
    with suppress(OSError):
        if shares_network_with_init():
            _move_to_root_cgroup()
            _enter_mounts_of_init()
    output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.fstat(output).st_size > LOG_LIMIT:
        os.ftruncate(output, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if keep is not None and keep != 3:
        os.dup2(keep, 3)
    elif keep is not None:
        os.set_inheritable(3, True)
    os.closerange(3 if keep is None else 4, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    os.umask(0o077)
    os.execve(argv[0], list(argv), {"PATH": os.defpath + ":/usr/sbin:/sbin", "LC_ALL": "C"})


def shares_network_with_init() -> bool:
    """Whether PID 1 lives in our network namespace: then this is the host, not one made of namespaces."""
    try:
        return os.readlink("/proc/1/ns/net") == os.readlink(paths.OWN_NETNS)
    except OSError:
        return False


def _systemd_is_ours() -> bool:
    return os.path.isdir("/run/systemd/system") and shares_network_with_init()


def _started_by_systemd(unit: str, argv: Sequence[str], log: str) -> bool:
    """Whether systemd took it as a transient service (systemd-run(1)); what it says goes to `log`."""
    settings = ("KillMode=mixed", f"StandardOutput=append:{log}", f"StandardError=append:{log}")
    try:
        done = subprocess.run(
            [
                "/usr/bin/systemd-run",
                "--quiet",
                "--collect",
                f"--unit={unit}",
                *(f"--property={each}" for each in settings),
                "--",
                *argv,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _move_to_root_cgroup() -> None:
    for path in ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs"):
        with suppress(OSError), open(path, "w", encoding="ascii") as file:
            file.write("0")


def _enter_mounts_of_init() -> None:
    if os.readlink("/proc/1/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
        return
    descriptor = os.open("/proc/1/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNS)
