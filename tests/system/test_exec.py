"""`linkspan exec`: a program of the host in a container's network namespace."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness import ours
from tests.harness.patience import until
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

EXEC = [sys.executable, "-m", "linkspan.cli.main", "exec"]


@pytest.fixture
def host() -> Iterator[PrivateHost]:
    """A host with a named network namespace, `box`."""
    with PrivateHost() as made:
        made.add_netns("box", loopback_up=True)
        yield made


def execute(host: PrivateHost, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it, whatever comes of it."""
    return host.run([*EXEC, *arguments], check=False, input=stdin)


def test_the_program_sees_the_links_of_the_namespace_only(host: PrivateHost) -> None:
    assert execute(host, "box", "ls", "/sys/class/net").stdout.split() == ["lo"]
    assert "eth0" not in execute(host, "box", "ip", "link").stdout
    assert "eth0" in host.links()


def test_the_exit_status_is_the_programs(host: PrivateHost) -> None:
    assert execute(host, "box", "sh", "-c", "exit 42").returncode == 42
    assert execute(host, "box", "no-such-program").returncode == 127
    assert execute(host, "box", "/etc").returncode == 126


def test_the_program_has_the_commands_stdin_and_stdout(host: PrivateHost) -> None:
    assert execute(host, "box", "tr", "a-z", "A-Z", stdin="words").stdout == "WORDS"


def test_a_signal_reaches_the_program(host: PrivateHost) -> None:
    running = host.popen([*EXEC, "box", "sleep", "1000"])
    until(lambda: host.processes().get(running.pid, "").startswith("sleep"), "the program runs")
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=10) == -signal.SIGTERM


def test_a_program_whose_reader_has_gone_ends(host: PrivateHost) -> None:
    """Python ignores SIGPIPE, and a program would inherit that."""
    command = f"{' '.join(EXEC)} box sh -c 'yes; echo $? >&2' | head -1"
    done = host.run(["bash", "-c", command], check=False)
    assert (done.stdout, done.stderr) == ("y\n", "141\n")


def test_the_program_has_the_terminal(host: PrivateHost) -> None:
    ours, theirs = pty.openpty()
    try:
        running = host.popen([*EXEC, "-it", "box", "tty"], stdin=theirs)
        assert running.communicate(timeout=10)[0].startswith("/dev/pts/")
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_named_namespace_has_the_files_of_ip_netns(host: PrivateHost) -> None:
    before = host.read("/etc/resolv.conf")
    mounts = host.run(["cat", "/proc/self/mountinfo"]).stdout
    host.write("/etc/netns/box/resolv.conf", "nameserver 10.9.8.7\n")
    assert execute(host, "box", "cat", "/etc/resolv.conf").stdout == "nameserver 10.9.8.7\n"
    assert host.read("/etc/resolv.conf") == before
    assert host.run(["cat", "/proc/self/mountinfo"]).stdout == mounts


def test_a_process_has_the_files_that_it_sees(host: PrivateHost) -> None:
    host.write("/run/its-resolv.conf", "nameserver 10.1.2.3\n")
    script = "mount --bind /run/its-resolv.conf /etc/resolv.conf && echo ready && exec sleep 1000"
    process = host.popen(["unshare", "--net", "--mount", "sh", "-c", script])
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    done = execute(host, f"pid:{process.pid}", "cat", "/etc/resolv.conf")
    assert (done.stdout, done.stderr) == ("nameserver 10.1.2.3\n", "")
    assert host.read("/etc/resolv.conf") != "nameserver 10.1.2.3\n"


def test_a_link_in_the_place_of_a_containers_file_is_not_followed(host: PrivateHost) -> None:
    host.write("/run/secret", "secret\n", mode=0o600)
    script = "mount -t tmpfs none /etc && ln -s /run/secret /etc/resolv.conf && echo ready && exec sleep 1000"
    process = host.popen(["unshare", "--net", "--mount", "sh", "-c", script])
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    done = execute(host, f"pid:{process.pid}", "cat", "/etc/resolv.conf")
    assert done.stdout == host.read("/etc/resolv.conf")


def test_control_groups_stay_where_they_are(host: PrivateHost) -> None:
    expected = host.run(["ls", "/sys/fs/cgroup"]).stdout
    assert execute(host, "box", "ls", "/sys/fs/cgroup").stdout == expected


def test_an_ordinary_user_is_told_that_only_root_can(host: PrivateHost) -> None:
    done = ours.ordinary_user(host)("exec", "box", "true")
    assert (done.returncode, "(LS-G003)" in done.stderr) == (5, True)
