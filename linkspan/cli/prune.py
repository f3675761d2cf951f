"""`linkspan network prune`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from linkspan.cli.failures import Failed
from linkspan.cli.goflags import GoFlags
from linkspan.cli.places import open_directory, open_host, place_options

if TYPE_CHECKING:
    from linkspan.runtime.labels import Filter

_WARNING = """\
WARNING! This will remove all custom networks not used by at least one container.
Are you sure you want to continue?"""


@click.command(cls=GoFlags)
@click.option("-f", "--force", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Remove matching networks only."
)
@place_options
def command(force: bool, filters: Sequence[str], conf_dir: str, namespace: str) -> None:
    """Remove all networks that no container is attached to.

    Default networks and lists that were written by hand stay. Filters: label, label!, until (10m,
    2026-01-31T12:00:00Z).
    """
    requested, before = _parsed(filters)
    if not force:
        click.confirm(_WARNING, abort=True, err=True)
    removed, failed = _pruned(requested, before, conf_dir, namespace)
    if removed:
        click.echo("Deleted Networks:\n" + "\n".join(removed) + "\n")
    if failed:
        raise Failed(failed)


def _pruned(
    requested: Sequence[Filter], before: int, conf_dir: str, namespace: str
) -> tuple[list[str], list[Exception]]:
    """The names of the networks that were removed, and what kept others from it."""
    from linkspan.cni.errors import CniError
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.errors import CommandError
    from linkspan.runtime.labels import matches
    from linkspan.runtime.remove import Remover, prunable

    removed: list[str] = []
    failed: list[Exception] = []
    directory = open_directory(conf_dir)
    with open_host() as host, directory.locked():
        remover, attachments = Remover(directory, host, namespace), Attachments(host)
        remover.finish_interrupted()
        first = f"{directory.path}/{min(directory.root_files(), default='')}"
        for each in prunable(remover.catalogue.defined, first, attachments.uses):
            try:
                if matches(each, requested, attachments.uses, before):
                    remover.remove(each)
                    removed.append(each.name)
            except (CommandError, CniError) as error:
                failed.append(error)
    return removed, failed


def _parsed(words: Sequence[str]) -> tuple[Sequence[Filter], int]:
    """The filters, and `until` as ns since 1970 (0 if it is not given). Raises Usage."""
    from linkspan.runtime.errors import Usage
    from linkspan.runtime.labels import PRUNE_KEYS, InvalidFilter, parse_filters
    from linkspan.runtime.until import parse_until

    try:
        filters = parse_filters(words, PRUNE_KEYS)
    except InvalidFilter as error:
        raise Usage(str(error)) from None
    given = [value for each in filters if each.key == "until" for value in each.values]
    if not given:
        return filters, 0
    before = parse_until(given[0], time.time_ns())
    if before is None or len(given) > 1:
        raise Usage(
            f"invalid filter until={given[-1]}",
            fix="one duration such as 24h, or one time such as 2026-01-31T12:00:00Z",
        )
    return filters, before
