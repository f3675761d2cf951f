"""`linkspan check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from linkspan.cli.places import (
    bin_dir_option,
    open_directory,
    open_host,
    place_options,
    require_complete,
)

if TYPE_CHECKING:
    from linkspan.host.contract import Host
    from linkspan.runtime.attached import Attached
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.endpoints import Endpoint

_HEADERS = {"container": "CONTAINER", "network": "NETWORK", "interface": "INTERFACE", "result": "RESULT"}
_OK = "ok"


@click.command()
@click.argument("word", required=False, metavar="[NETWORK|CONTAINER]")
@bin_dir_option
@place_options
def command(word: str | None, bin_dir: str, conf_dir: str, namespace: str) -> None:
    """Compare what attached containers have with what they were given.

    Every plugin of their lists is asked for a CHECK. Without an argument all are checked, otherwise those on
    a network, or one container. The exit status is 1 unless all is as it was made.
    """
    from linkspan.cli.output.table import columns
    from linkspan.runtime.attachments import Attachments

    rows = []
    with open_host() as host:
        attachments = Attachments(host)
        found = attachments.with_containers()
        require_complete(attachments.incomplete)
        chosen = found if word is None else _chosen(word, found, attachments, conf_dir, namespace)
        for each, endpoint in ((each, each.endpoint) for each in chosen):
            for result in _results(endpoint, each.container.netns, bin_dir, host) if endpoint else ():
                names = {"container": each.container.name, "network": each.network}
                ifname = endpoint.attachment.ifname if endpoint else ""
                rows.append({**names, "interface": ifname, "result": result})
    click.echo(columns(rows, _HEADERS), nl=False)
    if any(each["result"] != _OK for each in rows):
        raise click.exceptions.Exit(1)


def _results(endpoint: Endpoint, netns: str, bin_dir: str, host: Host) -> list[str]:
    """What is wrong with an attachment, or that it is right. `netns` is its path now, "" if unknown."""
    from linkspan.call import chain_verbs
    from linkspan.runtime import chains

    made_by = chains.of_endpoint(endpoint, bin_dir)
    if made_by is None:
        return ["cannot be checked: libcni has not kept its result"]
    return [
        f"{kind}: {chains.reason(error)}"
        for kind, error in chain_verbs.check(replace(made_by, netns=netns or made_by.netns), host)
    ] or [_OK]


def _chosen(
    word: str, found: Sequence[Attached], attachments: Attachments, conf_dir: str, namespace: str
) -> Sequence[Attached]:
    """Those on a network of that name, or of a container. Raises NoSuchContainer, AmbiguousContainer."""
    from linkspan.runtime.attached import of_container
    from linkspan.runtime.catalogue import Catalogue
    from linkspan.runtime.errors import NoSuchNetwork

    catalogue = Catalogue(open_directory(conf_dir).lists(), namespace)
    try:
        network = attachments.completed(catalogue).find(word)
        chosen = [endpoint for endpoint, _ in attachments.of(network)]
    except NoSuchNetwork:
        chosen = of_container(attachments.containers.find(word), found)
    return [each for each in found if each.endpoint in chosen]
