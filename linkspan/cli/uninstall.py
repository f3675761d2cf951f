"""`linkspan uninstall`: remove what `linkspan install` wrote."""

from __future__ import annotations

import os

import click

from linkspan.cli.done import BIN_DIR, show
from linkspan.launch import install


@click.command()
@click.option(
    "--bin-dir", default=BIN_DIR, show_default=True, help="The CNI plugin directory of the runtime."
)
@click.option("--conf-dir", help="Remove unchanged sample lists from there as well.")
def command(bin_dir: str, conf_dir: str | None) -> None:
    """Remove what install wrote, and restore what it had replaced."""
    show(install.uninstall(os.path.abspath(bin_dir)))
    if conf_dir:
        show(install.uninstall_lists(os.path.abspath(conf_dir)))
