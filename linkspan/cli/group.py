"""Verbs as click groups, and how the failure of any of them is reported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from linkspan.cli.verbs import DESCRIPTION, VERBS, VERSION, overview


class Verbs(click.Group):
    """A group that imports a verb's module when it is used. `sentences` is verb -> what it does."""

    def __init__(self, sentences: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._sentences = sentences

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all verbs."""
        del ctx
        return sorted(self._sentences)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb; None if there is no such verb."""
        del ctx
        if cmd_name not in self._sentences:
            return None
        command: click.Command = import_module(f"linkspan.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs in a help text, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, self._sentences[verb]) for verb in self.list_commands(ctx)])


class Linkspan(Verbs):
    """All verbs. An error is reported on stderr as docs/networks.md describes; --debug shows its
    traceback too.
    """

    def get_help(self, ctx: click.Context) -> str:
        """The overview."""
        del ctx
        return overview()

    def invoke(self, ctx: click.Context) -> object:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            from linkspan.cli.failures import Failed

            if ctx.params.get("debug"):
                raise
            failed = error if isinstance(error, Failed) else Failed([error])
        click.echo(str(failed), err=True)
        raise click.exceptions.Exit(failed.status)


group = Linkspan(
    VERBS, name="linkspan", help=DESCRIPTION, context_settings={"help_option_names": ["-h", "--help"]}
)
click.version_option(message=VERSION)(group)
click.option("--debug", is_flag=True, help="Show where an error was raised.")(group)
