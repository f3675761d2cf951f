"""The body of an executable: VERSION is answered at once, and a lost call is an error object."""

from __future__ import annotations

import json
import subprocess
import sys

from linkspan import paths

#: Imports nothing but what a bare interpreter can, so that what is needed beyond the launcher is missed.
PROGRAM = f"import sys; sys.path.append({paths.library_dir()!r}); from linkspan.launch.launcher import "


def launched(call: str, stdin: bytes, **env: str) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-IS", "-c", f"{PROGRAM}{call.partition('(')[0]}; {call}"]
    return subprocess.run(argv, env=env, input=stdin, capture_output=True, check=False)


def test_a_question_for_versions_needs_nothing_of_the_installation() -> None:
    done = launched("main('bridge')", b'{"cniVersion": "0.4.0"}', CNI_COMMAND="VERSION")
    assert (done.returncode, json.loads(done.stdout)["cniVersion"]) == (0, "0.4.0")


def test_a_lost_call_is_an_error_that_says_what_to_do() -> None:
    done = launched("lost()", b'{"cniVersion": "0.4.0"}', CNI_COMMAND="ADD")
    error = json.loads(done.stdout)
    assert (done.returncode, error["code"], error["cniVersion"]) == (1, 11, "0.4.0")
    assert "DEL" in error["details"]
