"""Both launchers, native and Python, in front of residents that a test scripts: they say the same, and no call runs twice.

The scripted resident greets as it should, or does something else, and keeps what it was sent for the test to read.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from linkspan import paths
from linkspan.launch import forms, native, protocol
from tests.harness import ours
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

FORMS = ("native", "python")
#: The script of a resident for one connection: `meet` is given the connection and the greeting.
RESIDENT = """
import os, socket, time
from linkspan import paths
from linkspan.launch import protocol
{meet}
folder = paths.state_dir()
os.makedirs(folder)
listener = socket.socket(socket.AF_UNIX)
listener.bind(folder + "/resident.sock")
listener.listen()
print("listens", flush=True)
connection, _ = listener.accept()

def whole(connection):
    said, rights, _, _ = socket.recv_fds(connection, 1 << 16, 4)
    while len(said) < 4 + int.from_bytes(said[:4], "big"):
        said += connection.recv(1 << 16)
    with open("/run/heard", "wb") as file:
        file.write(said)
    with open("/run/rights", "w") as file:
        file.write("\\n".join(str(os.fstat(each).st_ino) for each in rights))

meet(connection, protocol.greeting())
connection.close()
"""
ANSWER = """
def meet(connection, greeting):
    connection.sendall(greeting[:7])
    time.sleep(0.01)
    connection.sendall(greeting[7:])
    whole(connection)
    answer = protocol.pack([b"7", b"answer" * 200000])
    connection.sendall(answer[:5])
    time.sleep(0.01)
    connection.sendall(answer[5:])
"""
HANGS_UP = (
    "def meet(connection, greeting):\n    connection.sendall(greeting)\n    whole(connection)\n{more}\n"
)
LOST = {
    "nothing": "",
    "half a length": "    connection.sendall(b'\\0\\0')",
    "half an answer": "    connection.sendall(protocol.pack([b'0', b'{}'])[:-1])",
    "fields that do not fit": "    connection.sendall(b'\\0\\0\\0\\x08\\0\\0\\0\\x09abcd')",
    "a field too few": "    connection.sendall(protocol.pack([b'0']))",
}
DEAF = "def meet(connection, greeting):\n    connection.sendall(greeting)\n    time.sleep(0.3)\n"
OTHERS = {
    "silent": "    time.sleep(1)",
    "another protocol": "    connection.sendall(greeting.replace(protocol.PROTOCOL.encode(), b'linkspan 0'))",
    "another build": "    connection.sendall(greeting.replace(protocol.build().encode(), b'1.2.3.4'))",
    "endless": "    connection.sendall(b'x' * 5000)",
    "more than a greeting": "    connection.sendall(greeting + b'x')",
    "a greeting cut short": "    connection.sendall(greeting[:-1])",
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, host: PrivateHost) -> str:
    """A form of launcher, which is installed."""
    ours.install(host, request.param)
    return str(request.param)


@contextmanager
def resident(host: PrivateHost, meet: str) -> Iterator[None]:
    """A scripted resident that serves one connection."""
    code = RESIDENT.replace("{meet}", meet)
    running = host.popen([sys.executable, "-c", code], env=ours.RESIDENT, stderr=subprocess.STDOUT)
    assert running.stdout is not None
    assert running.stdout.readline() == "listens\n"
    try:
        yield
    finally:
        running.kill()
        running.wait(10)
        host.run(["rm", "-rf", "/run/linkspan"])


def call(host: PrivateHost, stdin: str = "{}", **env: str) -> subprocess.CompletedProcess[Any]:
    """A command that does not exist: its error says whether the call was run here."""
    return host.run(
        [f"{ours.BIN}/bridge"], env={"CNI_COMMAND": "PROBE", **env}, input=stdin, check=False, cwd="/opt"
    )


def ran_here(done: subprocess.CompletedProcess[Any]) -> bool:
    return done.returncode == 1 and "PROBE" in json.loads(done.stdout)["msg"]


def test_status_and_stdout_are_relayed_as_they_are(host: PrivateHost, form: str) -> None:
    with resident(host, ANSWER):
        done = call(host)
    assert (done.returncode, done.stdout) == (7, "answer" * 200000), form


def test_every_form_sends_the_same_call(host: PrivateHost) -> None:
    netns = host.add_netns("box")
    env = {
        "CNI_NETNS": netns,
        "CNI_ARGS": "K=v=w;Ü=ü",
        "EMPTY": "",
        "LC_ALL": "C.UTF-8",
    }  # else Python sets LC_CTYPE
    stdin = '{"name": "é"}' + " " * 300000
    heard: list[protocol.Call] = []
    for form in FORMS:
        ours.install(host, form)
        with resident(host, ANSWER):
            call(host, stdin, **env)
        with open(host.path("/run/heard"), "rb") as file:
            heard.append(protocol.read_call(file.read()[4:]))
        inodes = host.read("/run/rights").split()
        assert len(inodes) == 2
        assert inodes[1] == host.run(["stat", "-Lc", "%i", netns]).stdout.strip()
    assert heard[0] == heard[1]
    assert heard[0].descriptors == ("stderr", "netns")
    assert (heard[0].cwd, heard[0].stdin.decode(), heard[0].env["CNI_ARGS"]) == (
        "/opt",
        stdin,
        env["CNI_ARGS"],
    )


def test_a_namespace_that_is_not_there_is_left_to_the_worker(host: PrivateHost, form: str) -> None:
    with resident(host, ANSWER):
        assert call(host, CNI_NETNS="/run/netns/none").returncode == 7, form
    with open(host.path("/run/heard"), "rb") as file:
        assert protocol.read_call(file.read()[4:]).descriptors == ("stderr",)


@pytest.mark.parametrize("more", LOST)
def test_a_call_without_a_whole_answer_is_told_as_lost_and_not_run_again(
    host: PrivateHost, form: str, more: str
) -> None:
    with resident(host, HANGS_UP.replace("{more}", LOST[more])):
        done = call(host, '{"cniVersion": "0.4.0"}')
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["code"], answer["cniVersion"]) == (1, 11, "0.4.0"), form


def test_a_call_that_did_not_get_through_whole_is_run_here(host: PrivateHost, form: str) -> None:
    with resident(host, DEAF):
        done = call(host, "{}" + " " * (8 << 20))
    assert ran_here(done), form


@pytest.mark.parametrize("greeting", OTHERS)
def test_a_resident_of_another_kind_is_told_nothing(host: PrivateHost, form: str, greeting: str) -> None:
    meet = f"def meet(connection, greeting):\n{OTHERS[greeting]}\n    time.sleep(0.3)\n"
    with resident(host, meet):
        assert ran_here(call(host)), form
    assert host.run(["ls", "/run/heard"], check=False).returncode != 0


def test_nobody_there_and_a_socket_of_nobody_cost_nothing_else(host: PrivateHost, form: str) -> None:
    assert ran_here(call(host)), form
    with resident(host, ANSWER):
        call(host)
        assert ran_here(call(host)), form


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_a_closed_stream_is_not_taken_for_a_socket(host: PrivateHost, form: str, closed: str) -> None:
    script = f"CNI_COMMAND=PROBE {ours.BIN}/bridge {closed}"
    with resident(host, ANSWER):
        done = host.run(["sh", "-c", script], input="{}", check=False)
    with open(host.path("/run/heard"), "rb") as file:
        heard = protocol.read_call(file.read()[4:])
    null = host.run(["stat", "-c", "%i", "/dev/null"]).stdout.strip()
    assert (done.returncode, done.stdout[:6], heard.stdin) == (
        7,
        "answer",
        b"" if "<" in closed else b"{}",
    ), form
    assert host.read("/run/rights") == null or "2" not in closed


@pytest.mark.parametrize("launched", ["1", ""], ids=["alone", "resident"])
def test_a_call_without_any_stream_ends(host: PrivateHost, form: str, launched: str) -> None:
    with resident(host, ANSWER):
        script = f"CNI_COMMAND=PROBE LINKSPAN_STANDALONE={launched} {ours.BIN}/bridge <&- >&- 2>&-"
        done = host.run(["sh", "-c", script], check=False)
    assert done.returncode == (1 if launched else 7), form


def test_a_native_launcher_without_its_interpreter_says_so(host: PrivateHost) -> None:
    constants = forms.native_constants("bridge", '/gone/py"th\\on', paths.library_dir())
    with open(host.path("/opt/cni/bin/bridge"), "wb") as file:
        file.write(native.compiled(constants))
    host.run(["chmod", "755", "/opt/cni/bin/bridge"])
    done = call(host)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["code"]) == (1, 199)
    assert '/gone/py"th\\on' in answer["msg"]


#: Becomes the bridge with an environment that neither a shell nor a dict can make.
NAMED_TWICE = f"""
import ctypes
argv = (ctypes.c_char_p * 2)(b"{ours.BIN}/bridge", None)
env = (ctypes.c_char_p * 6)(b"LC_ALL=C.UTF-8", b"CNI_COMMAND=PROBE", b"CNI_ARGS=first", b"CNI_ARGS=second", b"odd", None)
ctypes.CDLL(None).execve(argv[0], argv, env)
"""


def test_of_two_variables_of_one_name_the_first_counts(host: PrivateHost, form: str) -> None:
    with resident(host, ANSWER):
        host.run([sys.executable, "-c", NAMED_TWICE], input="{}", check=False)
    with open(host.path("/run/heard"), "rb") as file:
        heard = protocol.read_call(file.read()[4:])
    assert heard.env == {"LC_ALL": "C.UTF-8", "CNI_COMMAND": "PROBE", "CNI_ARGS": "first"}, form
