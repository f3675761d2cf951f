"""What a command leaves on the machine is found, named and a failure; the machine is a private host here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

QUICK = """
import sys
from tests.harness import leftovers
leftovers.PATIENCE = 0.5
sys.exit(leftovers.supervise(sys.argv[1:]))
"""


@pytest.fixture
def host(host: PrivateHost) -> PrivateHost:
    """A private host without control groups, which namespaces do not separate from those of other tests."""
    host.run(["mount", "-t", "tmpfs", "groups", "/sys/fs/cgroup"])
    return host


def supervise(host: PrivateHost, script: str, *, strict: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a shell script under supervision inside the host."""
    others = {name: value for name, value in os.environ.items() if name not in ("CI", "LINKSPAN_REQUIRE_ALL")}
    env = {**others, "LINKSPAN_REQUIRE_ALL": "1" if strict else ""}
    return host.run([sys.executable, "-c", QUICK, "/bin/sh", "-ec", script], env=env, check=False)


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("ip netns add left", "netns: + left"),
        ("ip link add left type bridge", "links: + left bridge"),
        ("ip address add 10.9.9.9/32 dev lo", "addresses: + lo 10.9.9.9/32"),
        ("nft add table inet left", "nftables: + table inet left"),
        ("iptables -N LEFT", "iptables: + filter :LEFT"),
        ("mkdir -p /run/linkspan/left", "files: + /run/linkspan/left/"),
        ("mkdir /run/left; mount -t tmpfs left /run/left", "mounts: + /run/left tmpfs"),
    ],
    ids=lambda value: value.partition(" ")[0],
)
def test_what_a_command_leaves_on_the_machine_is_named_and_a_failure(
    host: PrivateHost, script: str, named: str
) -> None:
    done = supervise(host, script)
    assert done.returncode == 1
    assert f"not as before: {named}" in done.stdout


def test_a_control_group_that_is_left_is_named(host: PrivateHost) -> None:
    group = f"/sys/fs/cgroup/linkspan-left-{os.getpid()}"
    assert f"not as before: cgroups: + {group}" in supervise(host, f"mkdir {group}").stdout


@pytest.mark.parametrize("how", ["sleep 600 &", "setsid -f sleep 600", "setsid -f setsid -f sleep 600"])
def test_a_process_that_is_left_is_named_killed_and_a_failure(host: PrivateHost, how: str) -> None:
    """However it was started: its parent is gone, and its output is not ours."""
    done = supervise(host, f"{how} >/dev/null 2>&1", strict=False)
    assert done.returncode == 1
    assert "sleep 600" in done.stdout
    assert "sleep 600" not in host.processes().values()


def test_a_process_that_ends_soon_is_not_left(host: PrivateHost) -> None:
    done = supervise(host, "sleep 0.2 &")
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    "group", ["system.slice/apt-daily.service", "user.slice/user-0.slice/session-3.scope"]
)
def test_what_systemd_starts_meanwhile_is_not_left(host: PrivateHost, group: str) -> None:
    done = supervise(host, f"mkdir -p /sys/fs/cgroup/{group}")
    assert (done.stdout, done.returncode) == ("", 0)


def test_what_is_taken_back_is_not_left(host: PrivateHost) -> None:
    done = supervise(
        host, "ip netns add left; nft add table inet left; nft delete table inet left; ip netns delete left"
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_a_change_is_printed_and_no_failure_where_others_may_have_made_it(host: PrivateHost) -> None:
    done = supervise(host, "ip link add left type bridge", strict=False)
    assert done.returncode == 0
    assert "not as before: links: + left bridge" in done.stdout


@pytest.mark.parametrize(
    ("script", "status"), [("exit 3", 3), ("ip netns add left; exit 3", 3), ("kill -9 $$", 137)]
)
def test_a_command_that_fails_keeps_its_status(host: PrivateHost, script: str, status: int) -> None:
    assert supervise(host, script).returncode == status
