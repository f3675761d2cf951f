"""`linkspan reload`: make again what the attachments' records name and the host no longer has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from linkspan.cli.places import open_host
from linkspan.runtime.errors import NeedsRoot

if TYPE_CHECKING:
    from linkspan.call.restoring import Restored


#: Seconds after which a temporary file is nobody's any more.
_ABANDONED = 60.0


@click.command()
@click.option("--network", default="", help="Only the attachments to this network.")
def command(network: str) -> None:
    """Restore bridges, gateways, packet rules and names of the attached containers.

    Prints what was missing, and exits with status 1 if some of it could not be restored. What exists is not
    made twice.
    """
    from linkspan.call.reload import reload
    from linkspan.call.restoring import Scope
    from linkspan.host.linux.files import remove_abandoned
    from linkspan.launch.interpreter import enable_site_packages
    from linkspan.runtime.recover import recover

    if os.geteuid():
        raise NeedsRoot("only root can restore links and rules", fix="run it as root")
    enable_site_packages()
    with open_host() as host:
        remove_abandoned(host.state_dir, age=_ABANDONED)
        for attachment in recover(host, network):
            click.echo(f"{attachment}: its records were lost and are written again")
        found = reload(host, Scope(network=network))
    for line in report(found):
        click.echo(line)
    sys.exit(1 if any(each.error for each in found) else 0)


def report(found: Iterable[Restored]) -> Iterator[str]:
    """What was missing and what became of it, a line each; one line if nothing was missing."""
    complete = True
    for each in found:
        complete = False
        what = f"{each.plugin}: {each.attachment or 'shared'}"
        yield from (f"{what}: {sentence}" for sentence in each.missing)
        if each.error is None:
            yield f"{what}: restored"
        else:
            details = f" ({each.error.details})" if each.error.details else ""
            yield f"{what}: not restored: {each.error.msg}{details}"
    if complete:
        yield "nothing was missing"
