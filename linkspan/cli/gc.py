"""`linkspan gc`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from linkspan.cli.failures import Failed
from linkspan.cli.places import bin_dir_option, open_host, require_complete

if TYPE_CHECKING:
    from linkspan.host.contract import Host
    from linkspan.runtime.attachments import Attachments


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be taken back.")
@bin_dir_option
def command(dry_run: bool, bin_dir: str) -> None:
    """Take back what belongs to attachments whose container is gone, and say what.

    Links, addresses, rules, published ports and names stay behind if a container is killed and its runtime
    sends no DEL. Prints a line for each attachment.
    """
    from linkspan.call import deferral
    from linkspan.cni.errors import CniError
    from linkspan.runtime.attachments import Attachments

    failed: list[Exception] = []
    with open_host() as host:
        attachments = Attachments(host)
        actions = list(_actions(attachments, host, bin_dir))
        require_complete(attachments.incomplete)
        for text, act in actions:
            try:
                if dry_run or act():
                    click.echo(text)
            except CniError as error:
                failed.append(error)
        if not dry_run:
            deferral.finish(host, again=True)
    if failed:
        raise Failed(failed)


def _actions(attachments: Attachments, host: Host, path: str) -> Iterator[tuple[str, Callable[[], bool]]]:
    """What there is to take back, each with what does it and returns False if there is nothing any more."""
    from linkspan.runtime import gc
    from linkspan.runtime.remove import described

    for gone in gc.find(attachments):
        text = f"{described(gone.endpoint, gone.owner)} on network {gone.endpoint.attachment.network}"
        yield text, partial(gc.take_back, gone, host, path)
    for container_id, one in gc.interrupted(host).items():
        yield f"interrupted connection of {one.container}", partial(gc.clear_interrupted, host, container_id)
    for one in gc.abandoned(host, attachments.containers):
        yield f"connection of {one.container} to network {one.chain.network}", partial(gc.forget, one, host)
