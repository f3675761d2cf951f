"""`linkspan network update`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from linkspan.cli.goflags import GoFlags
from linkspan.cli.places import (
    network_argument,
    open_directory,
    open_host,
    place_options,
)


@click.command(cls=GoFlags)
@network_argument(many=False)
@click.option(
    "--dns/--no-dns", default=None, help="Switch names on or off, for containers attached from now on."
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Set a label.")
@click.option("--label-rm", "removed_labels", multiple=True, metavar="KEY", help="Remove a label.")
@place_options
def command(
    *,
    network: str,
    dns: bool | None,
    labels: Sequence[str],
    removed_labels: Sequence[str],
    conf_dir: str,
    namespace: str,
) -> None:
    """Change a network's list in place. Prints its name.

    Running containers keep what they have.
    """
    from linkspan.runtime.errors import Usage
    from linkspan.runtime.labels import parse_pairs
    from linkspan.runtime.remove import Remover
    from linkspan.runtime.update import update

    if dns is None and not labels and not removed_labels:
        raise Usage("nothing to change", fix="--dns, --no-dns, --label or --label-rm")
    directory = open_directory(conf_dir)
    with open_host() as host, directory.locked():
        remover = Remover(directory, host, namespace)
        remover.finish_interrupted()
        found = remover.catalogue.find(network)
        update(found, directory, dns=dns, labels=parse_pairs(labels), removed_labels=removed_labels)
    click.echo(found.name)
