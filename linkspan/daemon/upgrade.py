"""Noticing that another build of linkspan was installed, and becoming it."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from linkspan.launch.interpreter import module_argv
from linkspan.launch.protocol import build


def installed_build() -> str:
    """The build on disk (linkspan.launch.protocol.build); "" in the middle of an upgrade, or if linkspan was uninstalled."""
    try:
        return build()
    except OSError:
        return ""


def become_installed(module: str) -> NoReturn:
    """Turn this process into `main()` of a module as it is on disk now. Its descriptors are closed, locks among them."""
    os.execve(sys.executable, module_argv(module), dict(os.environ))
