"""What an attachment can do without: a refusal is a warning, a fault in linkspan is not."""

from __future__ import annotations

import errno

import pytest

from linkspan.cni.errors import KernelRefused
from linkspan.host.memory import MemoryHost
from linkspan.steps.extras import Warn, optional


def test_the_answer_is_returned() -> None:
    host = MemoryHost()
    assert (optional(host, "nothing works", lambda: 7), host.warnings) == (7, [])


def test_a_refusal_is_a_warning_with_its_consequence() -> None:
    host = MemoryHost()

    def refuse() -> None:
        raise KernelRefused("list the sockets", errno.EMFILE)

    assert optional(host, "ports are unknown", refuse) is None
    assert host.warnings == ["ports are unknown: the kernel refused to list the sockets: Too many open files"]


def test_any_other_exception_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        optional(MemoryHost(), "nothing works", lambda: 1 // 0)


def test_a_warning_is_a_step_of_its_own() -> None:
    host = MemoryHost()
    Warn("take care").do(host)()
    assert host.warnings == ["take care"]
