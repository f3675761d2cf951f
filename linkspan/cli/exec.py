"""`linkspan exec`."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from linkspan.cli.places import container_argument, container_options, open_host, warn

if TYPE_CHECKING:
    from linkspan.runtime.container import Container


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-i", "--interactive", is_flag=True, hidden=True)
@click.option("-t", "--tty", is_flag=True, hidden=True)
@container_options
@container_argument
@click.argument("arguments", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    *,
    container: str,
    arguments: Sequence[str],
    namespace: str | None,
    runtime: str | None,
    interactive: bool,
    tty: bool,
) -> None:
    """Run a program of the host in the network namespace of a container.

    The container needs no programs of its own: `linkspan exec web ip address`. /etc/resolv.conf and
    /etc/hosts are the container's; every other file is the host's. The exit status is the program's, 126 if
    it cannot be executed, 127 if there is none.
    """
    from linkspan.host.linux.enter import enter
    from linkspan.runtime.containers import Containers
    from linkspan.runtime.errors import NeedsRoot

    del interactive, tty  # Docker's: the program has the terminal of whoever calls it.
    with open_host() as host:
        found = Containers(host).find(container, namespace=namespace, runtime=runtime)
    _require_namespace(found)
    try:
        uncovered = enter(found.netns, _resolver_files(found))
    except PermissionError:
        raise NeedsRoot(
            f"only root can run a program in the network namespace of {found.name}", fix="run it as root"
        ) from None
    for each in uncovered:
        warn(f"the host has no {each}, so the program does not see the container's")
    _become(arguments)


def _require_namespace(container: Container) -> None:
    from linkspan.runtime.errors import NotRunning

    if not container.netns:
        raise NotRunning(f"container {container.name} is not running", fix=container.started_by)


def _resolver_files(container: Container) -> dict[str, str | bytes]:
    """The container's files for name resolution: what its runtime mounted there, else what it has."""
    from linkspan.host.linux.enter import file_of
    from linkspan.runtime.oci import RESOLVER_FILES

    found: dict[str, str | bytes] = dict(container.resolver_files)
    for path in RESOLVER_FILES:
        content = file_of(container.pid, path) if container.pid and path not in found else None
        if content is not None:
            found[path] = content
    return found


def _become(arguments: Sequence[str]) -> NoReturn:
    """Execute the program in this process, so that its signals, terminal and status are ours."""
    from linkspan.runtime.errors import CannotExecute, NoSuchProgram

    for each in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, and the program would inherit that
        signal.signal(each, signal.SIG_DFL)
    try:
        os.execvp(arguments[0], list(arguments))
    except FileNotFoundError:
        raise NoSuchProgram(f"the host has no program {arguments[0]}", fix="give its path") from None
    except OSError as error:
        raise CannotExecute(f"cannot execute {arguments[0]}: {error.strerror}") from None
