"""`linkspan resident start|stop|status`: the resident of the network namespace in which the command
is run.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from typing import Any

import click

from linkspan import paths
from linkspan.daemon.control import reach
from linkspan.daemon.services import RESIDENT
from linkspan.launch import protocol
from linkspan.runtime.errors import NeedsRoot
from linkspan.workers import start as workers


@click.group()
def command() -> None:
    """Start, stop or show the resident of this network namespace.

    It is started by the first ADD, and leaves when it is idle.
    """
    if os.geteuid():
        raise NeedsRoot("the resident is root's", fix="run it as root")


@command.command()
def start() -> None:
    """Start it, unless it runs."""
    workers.start_and_wait()


@command.command()
@click.option("--wait", default=10.0, show_default=True, help="Seconds that running calls have to end.")
def stop(wait: float) -> None:
    """Let it finish its running calls and exit. It is killed if it does not."""
    found = workers.peer()
    if found is None:
        return
    pid, _ = found
    if not _ends(pid, signal.SIGTERM, wait) and not _ends(pid, signal.SIGKILL, wait):
        raise click.ClickException(f"process {pid} does not end")


@command.command()
def status() -> None:
    """Show whether it answers. Exits with status 0 if it does and serves this installation, else with 1."""
    found = workers.peer()
    if found is None:
        click.echo(f"no resident in this network namespace ({paths.state_dir()})")
        sys.exit(1)
    pid, greeting = found
    state = "answers"
    if not greeting:
        state = "is stopped or hung"
    elif greeting != protocol.greeting().decode().strip():
        state = "is of another build or mount namespace"
    click.echo(f"resident: process {pid} {state}; log {RESIDENT.log}")
    for line in supervised(_asked(paths.socket(paths.state_dir(), paths.SUPERVISOR))):
        click.echo(line)
    sys.exit(0 if state == "answers" else 1)


def _asked(path: str) -> Mapping[str, Any]:
    """What the process at a path tells of itself; empty if it does not."""
    client = reach(path, 1.0)
    if client is not None:
        with closing(client), suppress(OSError, ValueError):
            return client.ask({"do": "status"})
    return {}


def supervised(status: Mapping[str, Any]) -> Iterator[str]:
    """What the supervisor tells of itself, a line each; nothing if it does not answer."""
    if not status:
        return
    for title, process in status["services"].items():
        yield f"{title}: {f'process {process}' if process else 'does not run'}"
    yield f"rules: {'watched' if status['watches'] else 'not watched'}, restored {status['restored']} times"
    if status["last"]:
        by = f" (removed by {status['by']})" if status["by"] else ""
        yield f"restored last: {status['last']}{by}"
    if status["contest"]:
        yield f"contest: {status['contest']}; they are restored less often"
    yield from (f"not restored: {each}" for each in status["failed"])
    yield from (f"noticed: {each}; `linkspan reload` restores it" for each in status["noticed"])


def _ends(pid: int, number: signal.Signals, wait: float) -> bool:
    """Send a process a signal and wait for its end; SIGCONT lets a stopped process handle it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(descriptor, number)
        signal.pidfd_send_signal(descriptor, signal.SIGCONT)
        ended, _, _ = select.select([descriptor], [], [], max(0.0, wait))
        return bool(ended)
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)
