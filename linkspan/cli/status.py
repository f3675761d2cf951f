"""`linkspan status`."""

from __future__ import annotations

import click

from linkspan.cli.places import bin_dir_option, open_directory, open_host, place_options

_HEADERS = {"network": "NETWORK", "status": "STATUS"}
_READY = "ready"


@click.command()
@bin_dir_option
@place_options
def command(bin_dir: str, conf_dir: str, namespace: str) -> None:
    """Say of every network whether a container could be attached now.

    Every plugin of its list is asked for its STATUS. The exit status is 1 unless all are ready.
    """
    from linkspan.call.chain_verbs import status
    from linkspan.cli.output.table import columns
    from linkspan.runtime.catalogue import Catalogue
    from linkspan.runtime.chains import reason

    rows: list[dict[str, str]] = []
    catalogue = Catalogue(open_directory(conf_dir).lists(), namespace)
    with open_host() as host:
        for each in catalogue.defined:
            problems = [
                f"{kind}: {reason(error)}"
                for kind, error in status(each.name, each.list.document, bin_dir, host)
            ]
            rows.extend({"network": each.name, "status": one} for one in problems or [_READY])
    click.echo(columns(rows, _HEADERS), nl=False)
    if any(each["status"] != _READY for each in rows):
        raise click.exceptions.Exit(1)
