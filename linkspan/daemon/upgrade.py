"""Noticing that another build of linkspan was installed, and becoming it."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from linkspan.launch.interpreter import program_argv
from linkspan.launch.protocol import build


def installed_build() -> str:
    """The build on disk (linkspan.launch.protocol.build); "" during an upgrade or after an uninstallation."""
    try:
        return build()
    except OSError:
        return ""


def become_installed(program: str) -> NoReturn:
    """Turn this process into a Python file of ours as it is on disk now.

    Descriptors are closed, locks among them.
    """
    os.execve(sys.executable, program_argv(program), dict(os.environ))
