"""What an executable loads: nothing that a bare interpreter has not, so that a call costs little more than starting one.

The list of modules comes from the interpreter itself (`-X importtime`), not from reading the source.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from linkspan.call import plugin
from linkspan.cni.versions import VERSIONS
from linkspan.launch import forms, install
from tests.harness import ours
from tests.harness.privatehost import PrivateHost

ITSELF = {"linkspan", "linkspan.launch", "linkspan.launch.launcher"}
CLIENT = {"_socket", "linkspan.launch.client", "linkspan.launch.protocol", "linkspan.paths"}
HEAVY = {"pyroute2", "jsonschema", "iptc", "dns", "click"}
#: Types whose verbs share more than the others: what of their packages a verb imports itself.
WITH = {"dns": (), "firewall": ("check",), "loopback": ()}
TYPES = tuple(plugin.MODULES)
VERSION = {"CNI_COMMAND": "VERSION", "LINKSPAN_STANDALONE": "1"}


def loaded(stderr: str) -> set[str]:
    """The modules that `-X importtime` listed."""
    lines = [line for line in stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines} - {"imported package"}


def bare() -> set[str]:
    """What an interpreter loads to do nothing."""
    argv = [sys.executable, "-X", "importtime", "-I", "-S", "-c", "pass"]
    return loaded(subprocess.run(argv, capture_output=True, text=True, check=True).stderr)


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The installed bridge."""
    folder = tmp_path_factory.mktemp("bin")
    install.install(str(folder), forms.python_launchers())
    return f"{folder}/bridge"


def timed(executable: str, stdin: bytes) -> tuple[set[str], dict[str, object]]:
    """(what VERSION loaded beyond a bare interpreter, its answer)."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-IS", executable],
        env=VERSION,
        input=stdin,
        capture_output=True,
        check=True,
    )
    return loaded(done.stderr.decode()) - bare(), json.loads(done.stdout)


def test_an_executable_starts_its_interpreter_without_site_and_environment(executable: str) -> None:
    first = Path(executable).read_text().splitlines()[0]
    assert first == f"#!{sys.executable} -IS"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plain_version_question_is_answered_without_json(executable: str, version: str) -> None:
    more, answer = timed(executable, f'{{"cniVersion":"{version}"}}'.encode())
    assert more == {*ITSELF, "linkspan.cni", "linkspan.cni.versions"}
    assert answer == {"cniVersion": version, "supportedVersions": list(VERSIONS)}


def test_an_odd_version_question_loads_json_and_none_of_the_libraries(executable: str) -> None:
    more, answer = timed(executable, b'{"name": "net", "cniVersion": "1.0.0"}')
    assert {each.partition(".")[0] for each in more} & HEAVY == set()
    assert answer["cniVersion"] == "1.0.0"


@pytest.mark.root
@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL"])
def test_a_call_that_the_resident_takes_loads_nothing_but_the_launcher(host: PrivateHost, verb: str) -> None:
    netns = host.add_netns("box")
    ours.install(host, "python")
    with ours.resident(host):
        env = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": "c",
            "CNI_NETNS": netns,
            "CNI_IFNAME": "lo",
            "CNI_PATH": ours.BIN,
        }
        document = {
            "cniVersion": "1.0.0",
            "name": "lo",
            "type": "loopback",
            "prevResult": {"cniVersion": "1.0.0"},
        }
        argv = [sys.executable, "-X", "importtime", "-IS", f"{ours.BIN}/loopback"]
        done = host.run(argv, env={**ours.RESIDENT, **env}, input=json.dumps(document), check=False)
    assert loaded(done.stderr) - bare() == ITSELF | CLIENT, done.stdout


@pytest.mark.parametrize("cni_type", TYPES)
def test_plans_and_checks_are_loaded_by_the_verbs_that_need_them(cni_type: str) -> None:
    program = f"""
import sys
from linkspan.call import plugin
from linkspan.workers import worker
plugin.load({cni_type!r})
alone = set(sys.modules)
worker.preload()
print(*sorted(set(sys.modules) - alone))
"""
    package = plugin.MODULES[cni_type].rpartition(".")[0]
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    later = {each for each in printed.stdout.split() if each.startswith(f"{package}.")}
    assert {f"{package}.{each}" for each in WITH.get(cni_type, ("check", "plan"))} <= later


def test_a_standalone_call_sees_the_packages_that_a_start_without_site_hides(executable: str) -> None:
    done = subprocess.run(
        [executable],
        env={**VERSION, "CNI_COMMAND": "STATUS", "CNI_PATH": str(Path(executable).parent)},
        input=b'{"cniVersion": "1.1.0", "name": "net", "type": "bridge", "mtu": "no number"}',
        capture_output=True,
        check=False,
    )
    assert json.loads(done.stdout)["msg"].startswith("$.mtu")


def test_run_by_hand_it_says_what_it_is_and_touches_nothing(executable: str) -> None:
    done = subprocess.run([executable], env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("CNI bridge plugin v")
