"""`linkspan replay` says whether a call that is made again answers the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from linkspan.call.trace import switch
from linkspan.cli.replay import command
from tests.harness.memory import Desk


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    assert Desk().call("ADD", {"type": "loopback"}, env={switch.VARIABLE: str(tmp_path)}).status == 0
    (path,) = tmp_path.iterdir()
    return path


def test_the_same_answer_is_printed(trace: Path) -> None:
    done = CliRunner().invoke(command, [str(trace)])
    assert (done.exit_code, done.output) == (0, json.loads(trace.read_text())["answer"]["stdout"])


def test_another_answer_is_status_1(trace: Path) -> None:
    document = json.loads(trace.read_text())
    document["answer"]["stdout"] = "{}\n"
    trace.write_text(json.dumps(document))
    assert CliRunner().invoke(command, [str(trace)]).exit_code == 1


def test_a_call_that_takes_another_course_is_an_error(trace: Path) -> None:
    document = json.loads(trace.read_text())
    document["requests"].pop()
    trace.write_text(json.dumps(document))
    done = CliRunner().invoke(command, [str(trace)])
    assert (done.exit_code, "took another course" in done.output) == (1, True)


def test_another_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    done = CliRunner().invoke(command, [str(tmp_path / "x")])
    assert (done.exit_code, "is not a trace" in done.output) == (1, True)
