"""Generates the command's manual page from the command: `python docs/man.py` writes build/man/linkspan.8.

The format is man(7). One page has every command, and each summary whole; the package click-man would write a
page for each command, cut its summary at 45 characters and need Python 3.11.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from linkspan import __version__
from linkspan.cli.group import group as command

PAGE = Path(__file__).resolve().parent.parent / "build" / "man" / "linkspan.8"


def page() -> str:
    """The whole page."""
    top = click.Context(command, info_name="linkspan", **command.context_settings)
    name, _, _ = (command.help or "").partition(".")
    lines = [f'.TH LINKSPAN 8 "" "linkspan {__version__}"', ".SH NAME", f"linkspan \\- {_text(name)}"]
    lines += [".SH SYNOPSIS", *_usage(top), ".SH DESCRIPTION", _text(command.help or ""), *_options(top)]
    lines += [".SH COMMANDS"]
    for context in _commands(top):
        lines += [f'.SS "{_text(context.command_path)}"', *_usage(context)]
        lines += [".PP", _text(context.command.help or ""), *_options(context)]
    return "\n".join(lines) + "\n"


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Each command below a group, in the order of the help; groups have only their commands."""
    group = context.command
    if not isinstance(group, click.Group):
        yield context
        return
    for name in group.list_commands(context):
        if (each := group.get_command(context, name)) is not None and not each.hidden:
            yield from _commands(click.Context(each, info_name=name, parent=context))


def _usage(context: click.Context) -> list[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return [f"\\fB{_text(context.command_path)}\\fR {_text(pieces)}"]


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        if (record := parameter.get_help_record(context)) is not None:
            names, text = record
            yield from (".TP", f"\\fB{_text(names)}\\fR", _text(text))


def _text(words: str) -> str:
    """Words as they are to be read, on one line: no character of theirs is a request of roff."""
    plain = " ".join(words.split()).replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
