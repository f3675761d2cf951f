"""`linkspan network disconnect`."""

from __future__ import annotations

import click

from linkspan.cli.places import (
    bin_dir_option,
    container_argument,
    network_argument,
    open_directory,
    open_host,
    place_options,
    require_complete,
    warn,
)


@click.command()
@click.option("-f", "--force", is_flag=True, help="Do not fail if the container is not on the network.")
@network_argument(many=False)
@container_argument
@bin_dir_option
@place_options
def command(
    *, force: bool, network: str, container: str, bin_dir: str, conf_dir: str, namespace: str
) -> None:
    """Detach a container from a network.

    What its runtime attached comes back when the runtime restarts it.
    """
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.catalogue import Catalogue
    from linkspan.runtime.connect import disconnect
    from linkspan.runtime.errors import NotConnected

    with open_host() as host:
        attachments = Attachments(host)
        catalogue = Catalogue(open_directory(conf_dir).lists(), namespace)
        target = attachments.completed(catalogue).find(network)
        found = attachments.containers.find(container)
        require_complete(attachments.incomplete)
        try:
            if not disconnect(target, found, host, bin_dir):
                warn(f"{found.name} is attached again when {found.runtime or 'its runtime'} restarts it")
        except NotConnected:
            if not force:
                raise
