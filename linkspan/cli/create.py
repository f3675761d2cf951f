"""`linkspan network create`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.goflags import GoFlags
from linkspan.cli.places import bin_dir_option, open_directory, open_host, place_options, warn

if TYPE_CHECKING:
    from linkspan.runtime.create import CreateOptions, Place


@click.command(cls=GoFlags)
@click.argument("name", metavar="NETWORK")
@click.option("-d", "--driver", default="bridge", show_default=True, help="Driver of the network.")
@click.option("--subnet", "subnets", multiple=True, help="Subnet in CIDR notation; one of each family.")
@click.option("--gateway", "gateways", multiple=True, help="Gateway address; one for each subnet.")
@click.option("--ip-range", "ip_ranges", multiple=True, help="Allocate addresses from a part of a subnet.")
@click.option(
    "--aux-address", "auxiliary", multiple=True, metavar="NAME=IP", help="Never allocate an address."
)
@click.option("--ipv4/--no-ipv4", default=True, help="Assign IPv4 addresses.", show_default=True)
@click.option("--ipv6/--no-ipv6", default=False, help="Assign IPv6 addresses, from a private subnet.")
@click.option(
    "--internal", is_flag=True, help="No connection to anything but the host and the network itself."
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Set a label.")
@click.option(
    "-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="Set an option of the driver."
)
@click.option("--dns/--no-dns", default=None, help="Containers find each other by name. [default: dns]")
@click.option("--shared", is_flag=True, help="Show the network to every runtime, not only to nerdctl.")
@click.option("--default", "is_default", is_flag=True, help="Make it the network that CRI and ctr use.")
@click.option("--attachable", is_flag=True, hidden=True)
@click.option("--ignore", is_flag=True, help="Do not fail if the network exists.")
@click.option("--dry-run", is_flag=True, help="Print the list instead of writing it.")
@bin_dir_option
@place_options
def command(*, conf_dir: str, bin_dir: str, ignore: bool, dry_run: bool, **asked: Any) -> None:
    """Create a network and print its ID.

    The subnet is chosen as Docker does, avoiding the networks, links and routes of the host. Options have
    Docker's names (com.docker.network.bridge.name, .enable_icc, .enable_ip_masquerade, .host_binding_ipv4,
    com.docker.network.driver.mtu) or their last part.
    """
    from linkspan.runtime.create import create

    order = _order(**asked)
    with open_host() as host:
        created = create(order, open_directory(conf_dir), host, ignore=ignore, dry_run=dry_run)
    for each in (*created.warnings, *_not_installed(bin_dir)):
        warn(each)
    if dry_run and not created.existed:
        click.echo(created.data.decode(), nl=False)
    else:
        click.echo(created.id)


def _order(*, attachable: bool, is_default: bool, shared: bool, **asked: Any) -> CreateOptions:
    """What the command line asks for. `--attachable` is Docker's, and true of every network here."""
    from linkspan.runtime.create import CreateOptions
    from linkspan.runtime.labels import parse_pairs

    del attachable
    for name in ("subnets", "gateways", "ip_ranges"):
        asked[name] = _split(asked[name])
    for name in ("auxiliary", "labels"):
        asked[name] = parse_pairs(asked[name])
    place: Place = "default" if is_default else "shared" if shared else "namespace"
    return CreateOptions(**asked, place=place)


def _not_installed(bin_dir: str) -> list[str]:
    """Other plugins ignore the keys that make a network internal, say: a list of ours needs ours."""
    from linkspan.host.linux.executables import is_ours

    found = [path for each in bin_dir.split(":") if os.path.exists(path := f"{each}/bridge")]
    if found and is_ours(found[0]):
        return []
    return [f"the plugins in {bin_dir} are not linkspan's, which the network needs: run `linkspan install`"]


def _split(values: Sequence[str]) -> list[str]:
    """Docker also takes several values in one option, parted by commas."""
    return [each for value in values for each in value.split(",")]
