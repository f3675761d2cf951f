"""`linkspan install`: write the executables into a CNI plugin directory."""

from __future__ import annotations

import os

import click

from linkspan.cli.done import BIN_DIR, show
from linkspan.launch import forms, install, native

HELP = (
    "Compiled programs that call the resident without starting Python, or scripts. "
    "[default: native if there is a C compiler]"
)


@click.command()
@click.option(
    "--bin-dir", default=BIN_DIR, show_default=True, help="The CNI plugin directory of the runtime."
)
@click.option("--conf-dir", help="Copy sample lists there as well, such as /etc/cni/net.d.")
@click.option("--list", "lists", multiple=True, help="A sample list to copy; repeatable. [default: bridge]")
@click.option("--launcher", type=click.Choice(["native", "python"]), help=HELP)
@click.option(
    "--replace", is_flag=True, help="Keep files that are in the way as backups instead of refusing."
)
def command(
    bin_dir: str, conf_dir: str | None, lists: tuple[str, ...], launcher: str | None, replace: bool
) -> None:
    """Write the plugins' executables, and sample lists on request.

    Aliases are links. Nothing is written if a file that is not linkspan's is in the way.
    """
    names = lists or ("bridge",)
    _require_known(names)
    bin_dir, conf_dir = os.path.abspath(bin_dir), os.path.abspath(conf_dir) if conf_dir else None
    foreign = install.foreign_executables(bin_dir)
    foreign += install.foreign_lists(conf_dir, names) if conf_dir else []
    try:
        install.refuse_foreign(foreign, replace=replace)
        show(install.install(bin_dir, _launchers(launcher), replace=replace))
        if conf_dir:
            show(install.install_lists(conf_dir, names, replace=replace))
    except install.Refused as error:
        raise click.ClickException(str(error)) from None


def _require_known(names: tuple[str, ...]) -> None:
    known = install.sample_lists()
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(known)}", param_hint="--list")


def _launchers(form: str | None) -> dict[str, bytes]:
    """The executables in the form that was asked for, or in the best possible one."""
    if form == "python":
        return forms.python_launchers()
    try:
        return forms.native_launchers()
    except native.CannotCompile as error:
        if form == "native":
            raise click.ClickException(f"native launchers need a C compiler: {error}") from None
        click.echo(f"the launchers are Python scripts, about 5 ms slower for each call: {error}", err=True)
        return forms.python_launchers()
