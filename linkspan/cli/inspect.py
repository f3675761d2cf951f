"""`linkspan network inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from linkspan.cli.failures import Failed
from linkspan.cli.goflags import GoFlags
from linkspan.cli.places import (
    network_argument,
    open_directory,
    open_host,
    place_options,
    warn,
)

#: Members whose keys are data, and Docker's names for members in templates.
_FREE = frozenset({"Options", "Labels", "Containers", "Subnets", "AuxiliaryAddresses"})
_ALIASES = {"ID": "Id", "AuxAddress": "AuxiliaryAddresses"}


@click.command(cls=GoFlags)
@network_argument(many=True)
@click.option("-f", "--format", "template", metavar="TEMPLATE", help='"json" or a Go template.')
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Form of the document.")
@click.option("-v", "--verbose", is_flag=True, hidden=True)
@place_options
def command(
    *,
    networks: Sequence[str],
    template: str | None,
    output: str | None,
    verbose: bool,
    conf_dir: str,
    namespace: str,
) -> None:
    """Show networks in full, with their containers.

    The output is a JSON array of objects in Docker's shape; what Docker does not have is in the member
    Linkspan.
    """
    from linkspan.runtime.errors import CommandError

    del verbose
    found: list[dict[str, Any]] = []
    failed: list[Exception] = []
    for result in _inspected(networks, conf_dir, namespace):
        if isinstance(result, CommandError):
            failed.append(result)
        else:
            found.append(result)
    click.echo(_shown(found, template, output), nl=False)
    if failed:
        raise Failed(failed)


def _inspected(words: Sequence[str], conf_dir: str, namespace: str) -> list[Any]:
    """For each word its network, or the error."""
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.catalogue import Catalogue
    from linkspan.runtime.docker import inspected
    from linkspan.runtime.errors import CommandError

    found: list[Any] = []
    with open_host() as host:
        attachments = Attachments(host)
        catalogue = attachments.completed(Catalogue(open_directory(conf_dir).lists(), namespace))
        for word in words:
            try:
                network = catalogue.find(word)
                found.append(inspected(network, attachments.of(network)))
            except CommandError as error:
                found.append(error)
        if attachments.incomplete:
            warn(attachments.incomplete)
    return found


def _shown(found: list[dict[str, Any]], template: str | None, output: str | None) -> str:
    from linkspan.cli.output.table import indented_json

    if template and template != "json":
        return _templated(found, template)
    if output == "yaml":
        from linkspan.cli.output.yaml import to_yaml

        return to_yaml(found)
    if template == "json":
        from linkspan.cli.output.functions import to_json

        return to_json(found) + "\n"
    return indented_json(found)


def _templated(found: list[dict[str, Any]], template: str) -> str:
    from linkspan.cli.output.parse import TemplateError
    from linkspan.cli.output.template import Renderer, fields
    from linkspan.runtime.errors import Usage

    try:
        renderer = Renderer(template)
        return "".join(f"{renderer.render(fields(each, _FREE, _ALIASES))}\n" for each in found)
    except TemplateError as error:
        raise Usage(f"template: {error}") from None
