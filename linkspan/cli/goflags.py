"""Switches in the form in which Go programs, such as Docker's client, also take them."""

from __future__ import annotations

import click


class GoFlags(click.Command):
    """A command that also takes `--ipv6=true` and `--ipv4=false` for its switches."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line."""
        return super().parse_args(ctx, [each for word in args for each in self._plain(word)])

    def _plain(self, word: str) -> list[str]:
        name, equals, value = word.partition("=")
        if not equals or value.lower() not in ("true", "false"):
            return [word]
        for each in self.params:
            if isinstance(each, click.Option) and each.is_flag and name in each.opts:
                return [name] if value.lower() == "true" else each.secondary_opts[:1]
        return [word]
