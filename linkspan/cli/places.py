"""What the verbs on networks share: their options, the configuration directory and the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from linkspan.host.contract import Host
    from linkspan.runtime.files import Directory

Function = TypeVar("Function", bound=Callable[..., Any])


def place_options(function: Function) -> Function:
    """The options --conf-dir and --namespace."""
    conf_dir = click.option(
        "--conf-dir",
        envvar="NETCONFPATH",
        default="/etc/cni/net.d",
        show_default=True,
        help="CNI configuration directory.",
    )
    namespace = click.option(
        "-n",
        "--namespace",
        envvar="CONTAINERD_NAMESPACE",
        default="default",
        show_default=True,
        help="containerd namespace whose networks are preferred.",
    )
    return conf_dir(namespace(function))


def complete_networks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of networks that begin with what is typed."""
    from linkspan.runtime.catalogue import Catalogue
    from linkspan.runtime.files import Directory

    del param
    found = Catalogue(Directory(ctx.params.get("conf_dir") or "/etc/cni/net.d").lists(), "default")
    return [each.name for each in found.all if each.name.startswith(incomplete)]


def network_argument(*, many: bool) -> Callable[[Function], Function]:
    """The argument NETWORK, or NETWORK..."""
    return click.argument(
        "networks" if many else "network",
        nargs=-1 if many else 1,
        required=True,
        metavar="NETWORK..." if many else "NETWORK",
        shell_complete=complete_networks,
    )


def open_directory(path: str) -> Directory:
    """The configuration directory; files in it that are not lists are warnings."""
    import os

    from linkspan.runtime.files import Directory

    return Directory(os.path.abspath(path), warn)


@contextmanager
def open_host() -> Iterator[Host]:
    """The host, until the block is left."""
    from linkspan.daemon.services import LinuxServices
    from linkspan.host.linux import LinuxHost

    host = LinuxHost(services=LinuxServices)
    try:
        yield host
    finally:
        host.close()


def warn(message: str) -> None:
    """Tell the user something on stderr."""
    click.echo(f"warning: {message}", err=True)
