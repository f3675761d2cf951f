"""The overview of the verbs: quick, and true of every verb's own help."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from linkspan import __version__
from linkspan.cli.group import group
from linkspan.cli.verbs import VERBS, overview


def run(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, *options, "-m", "linkspan.cli.main", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",)])
def test_the_overview_is_printed_without_importing_click_or_a_verb(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, options=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert (done.returncode, done.stdout) == (0, f"{overview()}\n")
    assert {"click", "linkspan.launch", "linkspan.host", "linkspan.workers"} & imported == set()


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"linkspan {__version__}, CNI 0.1.0 to 1.1.0\n"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_in_the_overview_begins_its_own_help_with_the_same_sentence(verb: str) -> None:
    done = CliRunner().invoke(group, [verb, "--help"])
    text = " ".join(done.output.split())
    assert (done.exit_code, VERBS[verb].removesuffix(".") in text) == (0, True), text


def test_an_unknown_verb_is_an_error_that_names_it() -> None:
    done = run("instal")
    assert (done.returncode, "No such command 'instal'" in done.stderr) == (2, True)


def test_an_expected_error_is_one_line() -> None:
    done = run("install", "--bin-dir", "/dev/null/bin", "--launcher", "python")
    assert (done.returncode, done.stderr) == (1, "error: /dev/null/bin: Not a directory (LS-G001)\n")


def test_the_traceback_of_an_error_is_shown_on_request() -> None:
    done = run("--debug", "install", "--bin-dir", "/dev/null/bin", "--launcher", "python")
    assert (done.returncode, "NotADirectoryError" in done.stderr.splitlines()[-1]) == (1, True)
