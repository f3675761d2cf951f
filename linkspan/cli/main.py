"""`linkspan`: installing the executables, and looking after the resident."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterable

import click

from linkspan import __version__, paths
from linkspan.cni.errors import CniError
from linkspan.cni.versions import VERSIONS
from linkspan.launch import install, native, protocol

BIN_DIR = "/opt/cni/bin"


class Group(click.Group):
    """A group whose commands fail with one line instead of a traceback for what can happen to anybody."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except install.Refused as error:
            raise click.ClickException(str(error)) from None
        except CniError as error:
            raise click.ClickException(f"{error.msg}: {error.details}") from None
        except OSError as error:
            raise click.ClickException(f"{error.filename or 'the system'}: {error.strerror}") from None


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message=f"linkspan %(version)s, CNI {VERSIONS[0]} to {VERSIONS[-1]}")
def main() -> None:
    """Container networking for one Linux host, as CNI plugins."""


@main.command("install")
@click.option(
    "--bin-dir", default=BIN_DIR, show_default=True, help="The CNI plugin directory of the runtime."
)
@click.option("--conf-dir", help="Copy sample lists there as well, such as /etc/cni/net.d.")
@click.option(
    "--list", "lists", multiple=True, help="Which sample list to copy; once for each. [default: bridge]"
)
@click.option(
    "--launcher",
    type=click.Choice(["native", "python"]),
    help="Compiled programs that ask a warm worker without starting Python, or scripts. [default: native where a C compiler is]",
)
@click.option("--replace", is_flag=True, help="Keep what stands in the way beside ours instead of refusing.")
def install_command(
    bin_dir: str, conf_dir: str | None, lists: tuple[str, ...], launcher: str | None, replace: bool
) -> None:
    """Write the plugins' executables and their aliases, and sample lists on request. Nothing is written if anything is in the way."""
    names = lists or ("bridge",)
    known = install.sample_lists()
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint="--list")
    bin_dir, conf_dir = os.path.abspath(bin_dir), os.path.abspath(conf_dir) if conf_dir else None
    in_the_way = install.lists_in_the_way(conf_dir, names) if conf_dir else []
    install.refuse_strangers([*install.executables_in_the_way(bin_dir), *in_the_way], replace=replace)
    _tell(install.install(bin_dir, _launchers(launcher), replace=replace))
    if conf_dir:
        _tell(install.install_lists(conf_dir, names, replace=replace))


@main.command()
@click.option(
    "--bin-dir", default=BIN_DIR, show_default=True, help="The CNI plugin directory of the runtime."
)
@click.option("--conf-dir", help="Remove unchanged sample lists from there as well.")
def uninstall(bin_dir: str, conf_dir: str | None) -> None:
    """Take back what install wrote, and put back what it had replaced."""
    _tell(install.uninstall(os.path.abspath(bin_dir)))
    if conf_dir:
        _tell(install.uninstall_lists(os.path.abspath(conf_dir)))


@main.command("reload")
def reload_command() -> None:
    """Build every packet rule of every living attachment again, after somebody flushed them. Nothing comes twice."""
    from linkspan.call.reload import reload
    from linkspan.host.linux import LinuxHost
    from linkspan.launch.interpreter import enable_site_packages

    enable_site_packages()
    host = LinuxHost()
    try:
        click.echo(f"rebuilt the rules of {', '.join(reload(host))}")
    finally:
        host.close()


@main.group(cls=Group)
def resident() -> None:
    """The warm workers of this network namespace. They come by themselves with the first ADD and leave when idle."""


@resident.command()
def start() -> None:
    """Bring them up now, unless they are there."""
    from linkspan.workers import start

    start.start_and_wait()


@resident.command()
@click.option("--wait", default=10.0, show_default=True, help="Seconds for running calls to end.")
def stop(wait: float) -> None:
    """Let them finish what they do and leave."""
    from linkspan.workers import start

    found = start.peer()
    if found is None:
        return
    pid, _ = found
    if not _ended(pid, signal.SIGTERM, wait) and not _ended(pid, signal.SIGKILL, wait):
        raise click.ClickException(f"process {pid} does not end")


@resident.command()
def status() -> None:
    """Say whether they answer. Exits 0 if they do and serve this installation, else 1."""
    from linkspan.workers import start

    found = start.peer()
    if found is None:
        click.echo(f"no resident in this network namespace ({paths.state_dir()})")
        sys.exit(1)
    pid, greeting = found
    state = "answers"
    if not greeting:
        state = "is stopped or hung"
    elif greeting != protocol.greeting().decode().strip():
        state = "is of another build or mount namespace"
    click.echo(f"resident: process {pid} {state}; log {start.RESIDENT.log}")
    sys.exit(0 if state == "answers" else 1)


def _ended(pid: int, number: signal.Signals, wait: float) -> bool:
    """Signal a process and wait for its end; SIGCONT because a stopped one would never hear it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(descriptor, number)
        signal.pidfd_send_signal(descriptor, signal.SIGCONT)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + wait
        return bool(poll.poll(max(0, deadline - time.monotonic()) * 1000))
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)


def _launchers(form: str | None) -> dict[str, bytes]:
    """The executables in the form that was asked for, or in the best one there is."""
    if form == "python":
        return install.python_launchers()
    try:
        return install.native_launchers()
    except native.CannotCompile as error:
        if form == "native":
            raise click.ClickException(f"native launchers need a C compiler: {error}") from None
        click.echo(f"the launchers are Python scripts, some 5 ms slower for each call: {error}", err=True)
        return install.python_launchers()


def _tell(done: Iterable[install.Done]) -> None:
    for each in done:
        click.echo(f"{each.what} {each.path}")


if __name__ == "__main__":
    main()
