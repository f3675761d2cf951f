"""`linkspan trace-calls`: have every call in this network namespace written down, or no longer."""

from __future__ import annotations

import os

import click


@click.group()
def command() -> None:
    """Record every plugin call in this network namespace, each in a file that `linkspan replay` can repeat.

    Values that no plugin of linkspan reads are masked. LINKSPAN_TRACE=DIR in a runtime's environment does the
    same for its calls only.
    """


@command.command()
@click.argument("folder")
def on(folder: str) -> None:
    """Write a file for each call into FOLDER."""
    from linkspan import paths
    from linkspan.call.trace import switch
    from linkspan.host.linux.files import LinuxFiles

    state = paths.state_dir()
    LinuxFiles(state).write(switch.path(state), os.path.abspath(folder).encode())


@command.command()
def off() -> None:
    """Stop; the files stay."""
    from linkspan import paths
    from linkspan.call.trace import switch
    from linkspan.host.linux.files import LinuxFiles

    state = paths.state_dir()
    LinuxFiles(state).remove(switch.path(state))
