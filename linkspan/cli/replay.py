"""`linkspan replay`: make a traced call again."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("file")
@click.option(
    "--namespace", metavar="PATH", help="Make it on this host, with this network namespace as CNI_NETNS."
)
def command(file: str, namespace: str | None) -> None:
    """Make a recorded plugin call again: the one in FILE, with the answers that the host gave it. Print its
    answer.

    Exits with status 0 if it has the same bytes as the recorded one, else with 1.
    """
    from linkspan.call.trace.replay import Diverged, NotATrace, read, replay
    from linkspan.launch.interpreter import enable_site_packages

    enable_site_packages()
    try:
        trace = read(file)
        status, stdout = _on_this_host(trace, namespace) if namespace else replay(trace)
    except NotATrace as error:
        raise click.ClickException(str(error)) from None
    except Diverged as error:
        raise click.ClickException(f"the call took another course: {error}") from None
    sys.stdout.write(stdout.decode())
    recorded = trace["answer"]
    if (status, stdout.decode()) != (recorded["status"], recorded["stdout"]):
        click.echo(f"recorded: status {recorded['status']}, {recorded['stdout']}", err=True)
        sys.exit(1)


def _on_this_host(trace: dict[str, object], namespace: str) -> tuple[int, bytes]:
    from linkspan.call.trace.replay import replay
    from linkspan.host.linux import LinuxHost

    host = LinuxHost()
    try:
        return replay(trace, host, netns=namespace)
    finally:
        host.close()
