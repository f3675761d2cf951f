"""The verbs as a click group, and the form in which errors are shown."""

from __future__ import annotations

from importlib import import_module

import click

from linkspan.cli.main import DESCRIPTION, VERBS, VERSION, overview
from linkspan.cni.errors import CniError


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is asked for.

    Expected errors are one line instead of a traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all verbs."""
        del ctx
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb; None if there is no such verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"linkspan.cli.{cmd_name.replace('-', '_')}").command
        return command

    def get_help(self, ctx: click.Context) -> str:
        """The overview."""
        del ctx
        return overview()

    def invoke(self, ctx: click.Context) -> object:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except CniError as error:
            raise click.ClickException(f"{error.msg}: {error.details}") from None
        except OSError as error:
            raise click.ClickException(f"{error.filename or 'the system'}: {error.strerror}") from None


group = Verbs(name="linkspan", help=DESCRIPTION, context_settings={"help_option_names": ["-h", "--help"]})
click.version_option(message=VERSION)(group)
