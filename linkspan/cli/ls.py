"""`linkspan network ls`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.goflags import GoFlags
from linkspan.cli.places import (
    open_directory,
    open_host,
    place_options,
    warn,
)

if TYPE_CHECKING:
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.catalogue import Catalogue
    from linkspan.runtime.network import Network

_COLUMNS = ("ID", "Name", "Driver", "Scope")


@click.command(cls=GoFlags)
@click.option("-q", "--quiet", is_flag=True, help="Print only IDs.")
@click.option("--no-trunc", is_flag=True, help="Print IDs in full.")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Show matching networks only."
)
@click.option(
    "--format", "template", metavar="TEMPLATE", help='"table", "table TEMPLATE", "json" or a Go template.'
)
@click.option(
    "-o", "--output", type=click.Choice(["wide", "json", "yaml"]), help="More columns, or a document."
)
@place_options
def command(
    *,
    quiet: bool,
    no_trunc: bool,
    filters: Sequence[str],
    template: str | None,
    output: str | None,
    conf_dir: str,
    namespace: str,
) -> None:
    """List networks.

    Filters: dangling, driver, id, label, name, scope, type.
    """
    from linkspan.runtime import cache
    from linkspan.runtime.catalogue import Catalogue

    catalogue = Catalogue(open_directory(conf_dir).lists(), namespace)
    known = {each.name for each in catalogue.all}
    # Only what needs containers is worth opening the host for.
    if not (output or any("dangling" in each for each in filters) or cache.has_others(known)):
        click.echo(_table(_chosen(catalogue, filters), quiet, not no_trunc, template), nl=False)
        return
    from linkspan.runtime.attachments import Attachments

    with open_host() as host:
        attachments = Attachments(host)
        catalogue = attachments.completed(catalogue)
        chosen = _chosen(catalogue, filters, attachments)
        if output:
            text = _with_containers(chosen, attachments, output, not no_trunc)
        else:
            text = _table(chosen, quiet, not no_trunc, template)
        click.echo(text, nl=False)
        if attachments.incomplete:
            warn(attachments.incomplete)


def _chosen(
    catalogue: Catalogue, filters: Sequence[str], attachments: Attachments | None = None
) -> list[Network]:
    """The networks that pass the filters. Raises Usage."""
    if not filters:
        return list(catalogue.all)
    from linkspan.runtime.errors import Usage
    from linkspan.runtime.labels import LS_KEYS, InvalidFilter, matches, parse_filters

    def is_used(network: Network) -> bool:
        return attachments is not None and attachments.uses(network)

    try:
        requested = parse_filters(filters, LS_KEYS)
        return [each for each in catalogue.all if matches(each, requested, is_used)]
    except InvalidFilter as error:
        raise Usage(str(error)) from None


def _table(networks: Sequence[Network], quiet: bool, truncated: bool, template: str | None) -> str:
    """The networks in Docker's columns, as IDs, or by a template."""
    from linkspan.runtime import docker

    rows = [docker.row(each, truncated=truncated) for each in networks]
    if template and template != "table":
        return _templated(rows, networks, template)
    if quiet:
        return "".join(f"{each['ID']}\n" for each in rows)
    from linkspan.cli.output.table import columns

    return columns(rows, {key: docker.HEADERS[key] for key in _COLUMNS})


def _with_containers(
    networks: Sequence[Network], attachments: Attachments, output: str, truncated: bool
) -> str:
    """The networks with who uses them: in more columns, or as a document."""
    from linkspan.runtime import docker

    if output == "wide":
        from linkspan.cli.output.table import columns

        rows = [docker.wide_row(each, attachments.of(each), truncated=truncated) for each in networks]
        return columns(rows, {**{key: docker.HEADERS[key] for key in _COLUMNS}, **docker.WIDE_HEADERS})
    found = [docker.summary(each, attachments.of(each)) for each in networks]
    if output == "json":
        from linkspan.cli.output.table import indented_json

        return indented_json(found)
    from linkspan.cli.output.yaml import to_yaml

    return to_yaml(found)


def _templated(rows: list[dict[str, Any]], networks: Sequence[Network], template: str) -> str:
    """Rows with Docker's function Label too."""
    from linkspan.cli.output.parse import TemplateError
    from linkspan.cli.output.table import formatted
    from linkspan.runtime.docker import HEADERS
    from linkspan.runtime.errors import Usage

    whole = [{**row, "Label": _label(each)} for row, each in zip(rows, networks, strict=True)]
    try:
        return formatted(whole, template, {**HEADERS, "Label": lambda name: name})
    except TemplateError as error:
        raise Usage(f"template: {error}") from None


def _label(network: Network) -> Any:
    return lambda name: network.labels.get(name, "")
