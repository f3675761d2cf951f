"""`linkspan network rm`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from linkspan.cli.failures import Failed
from linkspan.cli.goflags import GoFlags
from linkspan.cli.places import (
    network_argument,
    open_directory,
    open_host,
    place_options,
)


@click.command(cls=GoFlags)
@network_argument(many=True)
@click.option("-f", "--force", is_flag=True, help="Do not fail if a network does not exist.")
@place_options
def command(networks: Sequence[str], force: bool, conf_dir: str, namespace: str) -> None:
    """Remove networks that no container is attached to.

    Their lists are deleted, and their bridges, rules and leases.
    """
    from linkspan.cni.errors import CniError
    from linkspan.runtime.errors import CommandError, NoSuchNetwork
    from linkspan.runtime.remove import Remover

    failed: list[Exception] = []
    directory = open_directory(conf_dir)
    with open_host() as host, directory.locked():
        remover = Remover(directory, host, namespace)
        remover.finish_interrupted()
        for word in networks:
            try:
                remover.remove(remover.catalogue.find(word))
                click.echo(word)
            except (CommandError, CniError) as error:
                if not (force and isinstance(error, NoSuchNetwork)):
                    failed.append(error)
    if failed:
        raise Failed(failed)
