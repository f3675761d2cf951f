"""nerdctl of an ordinary user, through RootlessKit: everything of ours runs in a user namespace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.harness import ours, tools
from tests.harness.containerd import BOX
from tests.harness.patience import until
from tests.harness.privatehost import HOST_V4, OUTSIDE, OUTSIDE_V4, PrivateHost
from tests.harness.rootless import HOME, Rootless
from tests.harness.scenario import fetch
from tests.harness.talk import serve
from tests.runtimes.test_pages import script

pytestmark = [pytest.mark.root, pytest.mark.runtime]

HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"]
SLEEP = ["sleep", "1000"]
LOOPBACK = "http://127.0.0.1:18080/"


@pytest.fixture(params=[True, False], ids=["detached", "attached"])
def rootless(
    request: pytest.FixtureRequest, host: PrivateHost, archive: str, runs: Callable[[str], None]
) -> Iterator[Rootless]:
    """A rootless containerd with an image, outside or inside RootlessKit's network namespace."""
    with Rootless(host, detached=request.param) as made:
        made.nerdctl("load", "--input", made.borrow(archive))
        runs(f"nerdctl {tools.NERDCTL_VERSION}, RootlessKit {tools.ROOTLESSKIT_VERSION}")
        yield made


def start(rootless: Rootless, name: str, *options: str, command: list[str] = HTTPD) -> None:
    rootless.nerdctl("run", "--detach", "--pull", "never", "--name", name, *options, BOX, *command)


def once(rootless: Rootless, *options: str, command: list[str]) -> str:
    return str(rootless.nerdctl("run", "--rm", "--pull", "never", *options, BOX, *command).stdout)


def rules(rootless: Rootless) -> list[str]:
    """The packet rules and links where the plugins are called."""
    shown = "iptables-save; ip6tables-save; nft --stateless list ruleset; ip -brief link | cut -d' ' -f1"
    found = sorted(rootless.inside(["sh", "-c", shown]).stdout.splitlines())
    assert "lo" in found
    return [line for line in found if not line.startswith("#")]


def workers(host: PrivateHost) -> list[str]:
    """The processes of ours that stay."""
    return [command for command in host.processes().values() if "linkspan/workers/" in command]


def test_a_published_port_answers_on_the_host_and_the_lan_until_the_container_is_gone(
    host: PrivateHost, rootless: Rootless
) -> None:
    start(rootless, "web", "--publish", "18080:80")
    assert fetch(host, LOOPBACK) == "box\n"
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
    rootless.nerdctl("rm", "--force", "web")
    assert fetch(host, LOOPBACK, patience=0) is None


def test_a_container_reaches_the_lan(host: PrivateHost, rootless: Rootless) -> None:
    with serve(host, OUTSIDE, port=81, name="outside"):
        assert once(rootless, command=["nc", OUTSIDE_V4, "81"]).startswith("outside")


def test_containers_of_a_network_reach_each_other_and_leave_nothing(rootless: Rootless) -> None:
    rootless.nerdctl("network", "create", "blue", "--subnet", "10.5.0.0/24")
    once(rootless, "--network", "blue", "--publish", "18081:9", command=["true"])
    before = rules(rootless)
    start(rootless, "db", "--network", "blue", "--ip", "10.5.0.7", "--publish", "18080:80", command=SLEEP)
    assert "1 packets received" in once(rootless, "--network", "blue", command=["ping", "-c1", "db"])
    rootless.nerdctl("rm", "--force", "db")
    assert rules(rootless) == before
    rootless.nerdctl("network", "rm", "blue")
    assert "blue" not in rootless.nerdctl("network", "ls").stdout


def test_a_stopped_and_a_restarted_container_have_their_port_again(
    host: PrivateHost, rootless: Rootless
) -> None:
    start(rootless, "web", "--publish", "18080:80")
    rootless.nerdctl("restart", "--time", "0", "web")
    assert fetch(host, LOOPBACK) == "box\n"
    rootless.nerdctl("stop", "--time", "0", "web")
    assert fetch(host, LOOPBACK, patience=0) is None
    rootless.nerdctl("start", "web")
    assert fetch(host, LOOPBACK) == "box\n"


def test_names_of_our_list_are_found_by_flag(host: PrivateHost, rootless: Rootless) -> None:
    rootless.write(".config/cni/net.d/custom.conflist", json.dumps(ours.conflist_for_nerdctl("custom")))
    names = ("--network", "custom", "--dns", "10.89.0.1")
    start(rootless, "web", *names, "--hostname", "tomcat", command=SLEEP)
    assert "1 packets received" in once(rootless, *names, command=["ping", "-c1", "tomcat.custom"])


def test_a_container_on_two_networks_is_reached_by_its_port(host: PrivateHost, rootless: Rootless) -> None:
    for number in (5, 6):
        rootless.nerdctl("network", "create", f"net{number}", "--subnet", f"10.{number}.0.0/24")
    start(rootless, "web", "--network", "net5", "--network", "net6", "--publish", "18080:80")
    assert fetch(host, LOOPBACK) == "box\n"
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"


def test_commands_of_the_page_work_when_the_user_types_them(host: PrivateHost, archive: str) -> None:
    with Rootless(host) as rootless:
        rootless.nerdctl("load", "--input", rootless.borrow(archive))
        typed = f"ln -s {ours.ROOT}/cni-conf .\n{script('rootless')}"
        assert "root:x:0:0" in rootless.run(["sh", "-eux", "-c", typed]).stdout


def test_it_works_beside_linkspan_of_root(host: PrivateHost, archive: str) -> None:
    """RootlessKit shows what root keeps in /run and /var/lib as links, which the user cannot write through."""
    host.run(["mkdir", "-p", "-m", "700", "/run/linkspan/1", "/var/lib/linkspan/leases"])
    with Rootless(host) as rootless:
        rootless.nerdctl("load", "--input", rootless.borrow(archive))
        start(rootless, "web", "--publish", "18080:80")
        assert fetch(host, LOOPBACK) == "box\n"
    assert host.run(["ls", "/run/linkspan"]).stdout == "1\n"


def test_calls_are_answered_by_workers_that_end_with_rootlesskit(host: PrivateHost, archive: str) -> None:
    with Rootless(host) as rootless:
        rootless.nerdctl("load", "--input", rootless.borrow(archive))
        start(rootless, "web")
        until(lambda: len(workers(host)) > 1, "a worker")
        assert rootless.inside(["linkspan", "resident", "status"]).returncode == 0
    until(lambda: workers(host) == [], "the end of the workers", patience=15)


def test_the_user_installs_the_plugins_himself(host: PrivateHost, archive: str) -> None:
    host.run(["rm", "-r", ours.BIN])
    with Rootless(host) as rootless:
        rootless.run(["linkspan", "install", "--bin-dir", f"{HOME}/.local/libexec/cni"])
        rootless.nerdctl("load", "--input", rootless.borrow(archive))
        start(rootless, "web", "--publish", "18080:80")
        assert fetch(host, LOOPBACK) == "box\n"
