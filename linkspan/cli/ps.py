"""`linkspan ps`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.goflags import GoFlags
from linkspan.cli.places import complete_networks, open_directory, open_host, place_options, warn

if TYPE_CHECKING:
    from linkspan.runtime.attached import Attached
    from linkspan.runtime.attachments import Attachments


@click.command(cls=GoFlags)
@click.argument("network", required=False, shell_complete=complete_networks)
@click.option("-a", "--all", "everything", is_flag=True, help="Show stopped containers, too.")
@click.option("-q", "--quiet", is_flag=True, help="Print only container IDs.")
@click.option("--no-trunc", is_flag=True, help="Print IDs in full.")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Show matching containers only."
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
    network: str | None,
    everything: bool,
    filters: Sequence[str],
    conf_dir: str,
    namespace: str,
    **form: Any,
) -> None:
    """List the containers of every runtime with their networks, one line for each network.

    A pod of CRI is one container. Filters: id, label (an annotation of the container's bundle), name,
    namespace, network, runtime, status.
    """
    from linkspan.runtime.attachments import Attachments

    with open_host() as host:
        attachments = Attachments(host)
        found = [each for each in attachments.with_containers() if everything or each.network]
        if network is not None:
            found = _on(network, found, attachments, conf_dir, namespace)
        click.echo(_shown(_filtered(found, filters), **form), nl=False)
        if attachments.incomplete:
            warn(attachments.incomplete)


def _on(
    word: str, found: Sequence[Attached], attachments: Attachments, conf_dir: str, namespace: str
) -> list[Attached]:
    """Those on a network. Raises NoSuchNetwork, AmbiguousNetwork."""
    from linkspan.runtime.catalogue import Catalogue

    catalogue = Catalogue(open_directory(conf_dir).lists(), namespace)
    network = attachments.completed(catalogue).find(word)
    endpoints = {endpoint.attachment for endpoint, _ in attachments.of(network)}
    return [
        each
        for each in found
        if (each.network == network.name if each.endpoint is None else each.endpoint.attachment in endpoints)
    ]


def _filtered(found: Sequence[Attached], filters: Sequence[str]) -> list[Attached]:
    """Those that pass the filters. Raises Usage."""
    from linkspan.runtime.errors import Usage
    from linkspan.runtime.labels import PS_KEYS, InvalidFilter, parse_filters
    from linkspan.runtime.rows import matches

    try:
        requested = parse_filters(filters, PS_KEYS)
    except InvalidFilter as error:
        raise Usage(str(error)) from None
    return [each for each in found if matches(each, requested)]


def _shown(
    found: Sequence[Attached], *, quiet: bool, no_trunc: bool, template: str | None, output: str | None
) -> str:
    """The containers in columns, as IDs, by a template, or as a document."""
    from linkspan.cli.output.table import columns, indented_json
    from linkspan.runtime import rows

    if output in ("json", "yaml"):
        documents = [rows.document(each) for each in found]
        if output == "json":
            return indented_json(documents)
        from linkspan.cli.output.yaml import to_yaml

        return to_yaml(documents)
    if template and template != "table":
        return _templated(found, template, truncated=not no_trunc)
    cells = [rows.cells(each, truncated=not no_trunc) for each in found]
    if quiet:
        return "".join(f"{each}\n" for each in dict.fromkeys(one["ID"] for one in cells))
    wide = rows.WIDE_HEADERS if output == "wide" else {}
    return columns(cells, {**rows.HEADERS, **wide})


def _templated(found: Sequence[Attached], template: str, *, truncated: bool) -> str:
    """Rows with Docker's function Label too."""
    from linkspan.cli.output.parse import TemplateError
    from linkspan.cli.output.table import formatted
    from linkspan.runtime import rows
    from linkspan.runtime.errors import Usage

    whole = [{**rows.row(each, truncated=truncated), "Label": _label(each)} for each in found]
    headers = {**rows.HEADERS, **rows.WIDE_HEADERS, **rows.FURTHER_HEADERS, "Label": lambda name: name}
    try:
        return formatted(whole, template, headers)
    except TemplateError as error:
        raise Usage(f"template: {error}") from None


def _label(one: Attached) -> Any:
    return lambda name: one.container.labels.get(name, "")
