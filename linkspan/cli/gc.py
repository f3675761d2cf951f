"""`linkspan gc`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click

from linkspan.cli.failures import Failed
from linkspan.cli.places import bin_dir_option, open_host, require_complete


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be taken back.")
@bin_dir_option
def command(dry_run: bool, bin_dir: str) -> None:
    """Take back what belongs to attachments whose container is gone, and say what.

    Links, addresses, rules, published ports and names stay behind if a container is killed and its runtime
    sends no DEL. Prints a line for each attachment.
    """
    from linkspan.cni.errors import CniError
    from linkspan.runtime import gc
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.remove import described

    failed: list[Exception] = []
    with open_host() as host:
        attachments = Attachments(host)
        found = gc.find(attachments)
        abandoned = gc.abandoned(host, attachments.containers)
        require_complete(attachments.incomplete)
        actions: list[tuple[str, Callable[[], bool]]] = [
            (
                f"{described(each.endpoint, each.owner)} on network {each.endpoint.attachment.network}",
                partial(gc.take_back, each, host, bin_dir),
            )
            for each in found
        ]
        actions += [
            (
                f"connection of {each.container} to network {each.chain.network}",
                partial(gc.forget, each, host),
            )
            for each in abandoned
        ]
        for text, act in actions:
            try:
                if dry_run or act():
                    click.echo(text)
            except CniError as error:
                failed.append(error)
    if failed:
        raise Failed(failed)
