"""`linkspan reload`: restore packet rules."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Restore the packet rules of all attachments after they were flushed.

    Rules that exist are not made twice.
    """
    from linkspan.call.reload import reload
    from linkspan.daemon.services import LinuxServices
    from linkspan.host.linux import LinuxHost
    from linkspan.launch.interpreter import enable_site_packages

    enable_site_packages()
    host = LinuxHost(services=LinuxServices)
    try:
        click.echo(f"rebuilt the rules of {', '.join(reload(host))}")
    finally:
        host.close()
