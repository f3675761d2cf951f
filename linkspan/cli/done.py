"""What `install` and `uninstall` share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from linkspan.launch.install import Done

BIN_DIR = "/opt/cni/bin"


def show(done: Iterable[Done]) -> None:
    """One line for each path, such as `wrote /opt/cni/bin/bridge`."""
    for each in done:
        click.echo(f"{each.what} {each.path}")
