"""Compiling the native launcher (launcher.c), which saves one interpreter start for each call."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

from linkspan.host.linux.executables import MARKER, MARKER_WITHIN

_SOURCE = f"{os.path.dirname(os.path.abspath(__file__))}/launcher.c"
_OPTIONS = ("-std=gnu11", "-O2", "-s", "-Wall", "-Wextra")


class CannotCompile(Exception):
    """There is no C compiler here, or none that can make a program. The message says which."""


def compiler() -> list[str]:
    """The command of the C compiler: what CC says, else cc, gcc or clang. Raises CannotCompile."""
    named = shlex.split(os.environ.get("CC", ""))
    if named:
        return named
    found = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    if found is None:
        raise CannotCompile("there is no C compiler (cc, gcc or clang in PATH, or CC)")
    return [found]


def compiled(constants: Mapping[str, str | int]) -> bytes:
    """The program that launcher.c becomes with the constants that it lists in front.

    Raises CannotCompile, OSError.
    """
    with open(_SOURCE, encoding="utf-8") as file:
        source = file.read()
    command = compiler()
    with tempfile.TemporaryDirectory(prefix="linkspan-") as folder:
        program = f"{folder}/launcher"
        try:
            done = subprocess.run(
                [*command, *_OPTIONS, "-x", "c", "-o", program, "-"],
                input=definitions(constants) + source,
                text=True,
                capture_output=True,
                check=False,
            )
        except OSError as error:
            raise CannotCompile(f"{command[0]}: {error.strerror}") from None
        if done.returncode:
            raise CannotCompile(f"{' '.join(command)} fails: {done.stderr.strip()[-500:]}")
        with open(program, "rb") as file:
            made = file.read()
    if MARKER not in made[:MARKER_WITHIN]:
        raise CannotCompile(
            f"{' '.join(command)} makes a program of {len(made)} bytes, too large to be recognised as ours"
        )
    return made


def definitions(constants: Mapping[str, str | int]) -> str:
    """C preprocessor lines that define each name as a number or a string literal, which cannot have a NUL."""
    return "".join(f"#define {name} {_literal(value)}\n" for name, value in constants.items())


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    plain = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-+./,;:()[]{}=#'")
    # Three octal digits end an escape whatever follows it, which a hexadecimal one does not.
    return '"' + "".join(chr(each) if each in plain else f"\\{each:03o}" for each in os.fsencode(value)) + '"'
