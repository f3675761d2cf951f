"""Leaving the caller behind: what is asked of systemd, and that a host made of namespaces is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan.daemon import spawn


@pytest.fixture
def systemd_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd-run that writes down its arguments and has the status that the file `status` says."""
    program = tmp_path / "systemd-run"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\nexit $(cat {tmp_path}/status)\n')
    program.chmod(0o755)
    (tmp_path / "status").write_text("0")
    monkeypatch.setattr(spawn, "_SYSTEMD_RUN", str(program))
    return tmp_path


def test_systemd_is_asked_for_a_transient_service_with_its_output_in_the_log(systemd_run: Path) -> None:
    assert spawn.started_by_systemd("linkspan-x", ["/bin/true", "-x"], "/run/log")
    assert (systemd_run / "asked").read_text().splitlines() == [
        "--quiet",
        "--collect",
        "--unit=linkspan-x",
        "--property=KillMode=mixed",
        "--property=Restart=on-failure",
        "--property=StandardOutput=append:/run/log",
        "--property=StandardError=append:/run/log",
        "--",
        "/bin/true",
        "-x",
    ]


def test_a_systemd_that_refuses_is_noticed(systemd_run: Path) -> None:
    (systemd_run / "status").write_text("1")
    assert not spawn.started_by_systemd("linkspan-x", ["/bin/true"], "/run/log")


def test_a_host_without_systemd_run_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "_SYSTEMD_RUN", "/no/such/program")
    assert not spawn.started_by_systemd("linkspan-x", ["/bin/true"], "/run/log")


@pytest.fixture
def namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PID 1 in other mounts than ours, root control groups in a file, and no way to change our mounts."""
    for name, target in {"net": "net:[1]", "init-mnt": "mnt:[1]", "mnt": "mnt:[2]"}.items():
        (tmp_path / name).symlink_to(target)
    (tmp_path / "cgroup").write_text("")
    monkeypatch.setattr(spawn, "OWN_NETNS", str(tmp_path / "net"))
    monkeypatch.setattr(spawn, "_INIT_NETNS", str(tmp_path / "init-net"))
    monkeypatch.setattr(spawn, "_INIT_MOUNTS", str(tmp_path / "init-mnt"))
    monkeypatch.setattr(spawn, "_OWN_MOUNTS", str(tmp_path / "mnt"))
    monkeypatch.setattr(spawn, "_ROOT_CGROUPS", (str(tmp_path / "cgroup"),))
    return tmp_path


def test_where_pid_1_shares_our_network_the_root_control_group_is_ours(namespaces: Path) -> None:
    (namespaces / "init-net").symlink_to("net:[1]")
    spawn.detach()
    assert (spawn.shares_network_with_init(), (namespaces / "cgroup").read_text()) == (True, "0")


def test_in_a_network_of_its_own_a_process_stays_where_its_caller_is(namespaces: Path) -> None:
    (namespaces / "init-net").symlink_to("net:[2]")
    spawn.detach()
    assert (spawn.shares_network_with_init(), (namespaces / "cgroup").read_text()) == (False, "")


@pytest.mark.usefixtures("namespaces")
def test_a_pid_1_that_cannot_be_looked_at_counts_as_elsewhere() -> None:
    spawn.detach()
    assert not spawn.shares_network_with_init()
    assert not spawn.systemd_is_init()
