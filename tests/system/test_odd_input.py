"""Whatever is sent to a plugin on a real kernel: it answers, and never that it is at fault itself.

The host in memory accepts what a program or the kernel may choke on: a name that iptables cannot have, a number
that a message has no room for.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from linkspan.call.dispatch import answer
from linkspan.call.plugin import load
from linkspan.daemon.services import LinuxServices
from linkspan.host.linux import LinuxHost
from tests.fuzz.strategies import ECHO, OTHER_BOX, Case, cases
from tests.harness import ours
from tests.harness.memory import BOX
from tests.harness.privatehost import PrivateHost
from tests.harness.scale import SEED, scaled

pytestmark = [pytest.mark.root, pytest.mark.soak, pytest.mark.timeout(1800)]
EXAMPLES = scaled(short=120, whole=3000)
VERBS = ("STATUS", "ADD", "CHECK", "ADD", "GC", "DEL", "DEL")
#: The foreign IPAM plugin as a program.
_ECHO = f"""#!{sys.executable} -ISB
import json, os, sys
document = json.load(sys.stdin)
if os.environ["CNI_COMMAND"] == "ADD":
    print(json.dumps(document["ipam"]["answer"]))
"""


@pytest.fixture
def furnished(host: PrivateHost) -> PrivateHost:
    """Our executables, and two containers with what a chain's first plugin makes."""
    ours.install(host)
    host.write(f"{ours.BIN}/{ECHO}", _ECHO, mode=0o755)
    for number, box in enumerate((BOX, OTHER_BOX)):
        name = box.rpartition("/")[2]
        host.run(["ip", "netns", "add", name])
        end = f"out{number}"
        host.run(["ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name])
        host.run(["ip", "link", "set", end, "up"])
        host.run(["ip", "-n", name, "link", "set", "eth0", "up"])
    return host


def is_kept_in_the_host(case: Case) -> bool:
    """Whether a case writes only where the private host has files of its own, and starts no name server."""
    told = json.dumps(case.document)
    return case.plugin != "dns" and "dataDir" not in told and "datadir" not in told.lower()


def call(host: LinuxHost, case: Case, verb: str, result: Any) -> tuple[int, dict[str, Any]]:
    stdin = case.stdin
    if verb == "CHECK" and isinstance(case.document, dict) and case.raw is None:
        stdin = json.dumps({**case.document, "prevResult": result}).encode()
    env = {"PATH": ours.PATH, **case.environment, "CNI_COMMAND": verb, "CNI_PATH": ours.BIN}
    status, stdout = answer(load(case.plugin), stdin, env, host, cwd="/run")
    document = json.loads(stdout) if stdout else {}
    note(f"{verb}: {status} {document}")
    assert document.get("code") != 199, document
    return status, document


def test_no_input_is_a_fault_of_ours_on_a_real_kernel(furnished: PrivateHost) -> None:
    def claim(case: Case) -> None:
        note(f"{case.plugin} got {case.document!r} in {dict(case.environment)!r}")
        result: Any = {}
        for verb in VERBS:
            with closing(LinuxHost(services=LinuxServices)) as host:
                status, document = call(host, case, verb, result)
            if verb == "ADD" and status == 0:
                result = document

    chosen = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    with furnished.entered():
        seed(SEED)(chosen(given(case=cases().filter(is_kept_in_the_host))(claim)))()
