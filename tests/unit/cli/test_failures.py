"""Errors of every layer are reported alike."""

from __future__ import annotations

import errno

import pytest

from linkspan.cli.failures import Failed, described
from linkspan.cni.errors import IoFailure, KernelRefused
from linkspan.host.linux.errors import NEEDS_ROOT
from linkspan.runtime.errors import NetworkExists, NoSuchNetwork, Usage


def denied() -> IoFailure:
    error = IoFailure("cannot list /run/x: Permission denied")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied")
    return error


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (NetworkExists("network with name x already exists", fix="choose"), 4, "(LS-N001)\n  fix: choose"),
        (KernelRefused("delete the link x", errno.EBUSY, "wait"), 1, "Device or resource busy (LS-G001)"),
        (IoFailure("/run/x is not a folder of our own", NEEDS_ROOT), 5, "(LS-G003)\n  fix: run it as root"),
        (denied(), 5, "Permission denied (LS-G003)\n  fix: run it as root"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/etc/x"),
            5,
            "/etc/x: Permission denied (LS-G003)",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "/etc/x"), 1, "/etc/x: No such file (LS-G001)"),
        (KeyError("x"), 1, "internal error: KeyError: 'x' (LS-G001)"),
    ],
)
def test_an_error_has_a_code_and_an_exit_status(error: Exception, status: int, text: str) -> None:
    assert text in str(described(error))
    assert described(error).status == status


def test_several_failures_are_each_told_and_have_their_common_status() -> None:
    failed = Failed([NoSuchNetwork("network a not found"), NoSuchNetwork("network b not found")])
    assert str(failed) == "error: network a not found (LS-N002)\nerror: network b not found (LS-N002)"
    assert failed.status == 3


def test_failures_of_different_kinds_have_the_status_of_a_failure() -> None:
    assert Failed([NoSuchNetwork("x"), Usage("y")]).status == 1
