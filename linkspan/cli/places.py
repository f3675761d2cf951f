"""What the verbs on networks share: their options, the configuration directory and the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from linkspan.cli.done import BIN_DIR

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Services
    from linkspan.runtime.files import Directory

#: The programs whose containers are found, and `netns` for named network namespaces.
RUNTIMES = ("nerdctl", "ctr", "cri", "podman", "netns")

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


def bin_dir_option(function: Function) -> Function:
    """The option --bin-dir: where the runtime finds plugins."""
    return click.option(
        "--bin-dir",
        envvar="CNI_PATH",
        default=BIN_DIR,
        show_default=True,
        help="The CNI plugin directory of the runtime.",
    )(function)


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


def container_argument(function: Function) -> Function:
    """The argument CONTAINER."""
    return click.argument("container", metavar="CONTAINER", shell_complete=complete_containers)(function)


def container_options(function: Function) -> Function:
    """The options --namespace and --runtime, of which none restricts the search unless it is given."""
    namespace = click.option("-n", "--namespace", help="Only containers of this containerd namespace.")
    runtime = click.option("--runtime", type=click.Choice(RUNTIMES), help="Only containers of this runtime.")
    return namespace(runtime(function))


def complete_containers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of containers that begin with what is typed."""
    from linkspan.runtime.containers import Containers

    del ctx, param
    with open_host() as host:
        found = {each.name for each in Containers(host).all}
    return sorted(each for each in found if each.startswith(incomplete))


def open_directory(path: str) -> Directory:
    """The configuration directory; files in it that are not lists are warnings."""
    import os

    from linkspan.runtime.files import Directory

    return Directory(os.path.abspath(path), warn)


@contextmanager
def open_host() -> Iterator[Host]:
    """The host, until the block is left."""
    from linkspan.host.linux import LinuxHost

    host = LinuxHost(services=_services)
    try:
        yield host
    finally:
        host.close()


def _services() -> Services:
    from linkspan.daemon.services import LinuxServices

    return LinuxServices()


def require_complete(incomplete: str) -> None:
    """Raise NeedsRoot if containers are missing for a reason, for what must not miss any."""
    from linkspan.runtime.errors import NeedsRoot

    if incomplete:
        raise NeedsRoot(incomplete, fix="run it as root")


def warn(message: str) -> None:
    """Tell the user something on stderr."""
    click.echo(f"warning: {message}", err=True)
