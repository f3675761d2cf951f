"""`linkspan network connect`."""

from __future__ import annotations

from collections.abc import Sequence

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
@network_argument(many=False)
@container_argument
@click.option("--ip", help="IPv4 address.")
@click.option("--ip6", help="IPv6 address.")
@click.option("--mac-address", "mac", default="", help="MAC address.")
@click.option("--alias", "aliases", multiple=True, help="A further name of the container; repeatable.")
@click.option(
    "--ifname", default="", help="Name of the interface. [default: the next ethN; netN with podman]"
)
@bin_dir_option
@place_options
def command(
    *,
    network: str,
    container: str,
    ip: str | None,
    ip6: str | None,
    mac: str,
    aliases: Sequence[str],
    ifname: str,
    bin_dir: str,
    conf_dir: str,
    namespace: str,
) -> None:
    """Attach a running container to a further network.

    It may be of any runtime, a pod, or a named network namespace. The attachment follows the container: it is
    made again, with the same addresses, when the container is started again.
    """
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.catalogue import Catalogue
    from linkspan.runtime.connect import Requested, connect

    requested = Requested(
        ips=tuple(each for each in (ip, ip6) if each), mac=mac, aliases=tuple(aliases), ifname=ifname
    )
    with open_host() as host:
        attachments = Attachments(host)
        catalogue = Catalogue(open_directory(conf_dir).lists(), namespace)
        target = attachments.completed(catalogue).find(network)
        found = attachments.containers.find(container)
        require_complete(attachments.incomplete)
        if not connect(target, found, requested, host, bin_dir):
            warn(f"{found.name} is attached until it is restarted: no plugin of linkspan attached it before")
