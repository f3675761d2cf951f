"""CRI of real containerd, Debian's and 2.4, driven by crictl: pods on nothing but our executables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness import ours, tools
from tests.harness.containerd import Containerd
from tests.harness.crictl import POD_NAMESPACE, Crictl
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, HostError, PrivateHost
from tests.harness.scenario import fetch, leaves_nothing

pytestmark = [pytest.mark.root, pytest.mark.runtime]

HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"]
LIST = "/etc/cni/net.d/10-net.conflist"
PUBLISHED = [{"host_port": 18080, "container_port": 80}]

only_24 = pytest.mark.parametrize("cri", [tools.containerd24], ids=["2.4"], indirect=True)


@pytest.fixture(params=[tools.containerd_debian, tools.containerd24], ids=["debian", "2.4"])
def cri(
    request: pytest.FixtureRequest,
    host: PrivateHost,
    archive: str,
    runs: Callable[[str], None],
    resident: None,
) -> Iterator[Crictl]:
    """crictl and the containerd it speaks to, which has the images."""
    directory, runc, program = (tools.require(each) for each in (request.param, tools.runc, tools.crictl))
    with Containerd(host, directory, runc, namespace=POD_NAMESPACE) as containerd:
        runs(containerd.version.partition("+")[0])
        containerd.load(archive)
        yield Crictl(containerd, program)


def use(host: PrivateHost, cri: Crictl, conflist: dict[str, Any] | str) -> None:
    """Write the list in place, as containerd wants it, and wait until it has been read."""
    host.write(LIST, conflist if isinstance(conflist, str) else json.dumps(conflist))
    assert cri.wait_until(lambda condition: condition[0]) == (True, "")


def settle(host: PrivateHost, cri: Crictl, conflist: dict[str, Any]) -> None:
    """Use a network once, so that what it keeps is there."""
    use(host, cri, conflist)
    remove(cri, cri.run_pod("first", ports=PUBLISHED))


def remove(cri: Crictl, pod: str) -> None:
    cri.stop(pod)
    cri.remove(pod)


@pytest.mark.parametrize("name", ours.LISTS[:4])
def test_a_pod_on_each_sample_list_leaves_nothing(name: str, host: PrivateHost, cri: Crictl) -> None:
    """Layer 2 only and none give no address, which CRI insists on."""
    settle(host, cri, ours.conflist(name))
    with leaves_nothing(host):
        pod = cri.run_pod("web", ports=PUBLISHED)
        assert cri.status(pod)["state"] == "SANDBOX_READY"
        remove(cri, pod)


def test_a_host_port_answers_on_127_0_0_1(host: PrivateHost, cri: Crictl) -> None:
    use(host, cri, ours.conflist("bridge"))
    cri.start(cri.run_pod("web", ports=PUBLISHED), "server", HTTPD)
    assert fetch(host, "http://127.0.0.1:18080/") == "box\n"


@pytest.mark.parametrize("address", [HOST_V4, f"[{HOST_V6}]"], ids=["IPv4", "IPv6"])
def test_a_host_port_of_a_dual_stack_pod_answers_from_outside(
    address: str, host: PrivateHost, cri: Crictl
) -> None:
    use(host, cri, ours.conflist("dual-stack"))
    cri.start(cri.run_pod("web", ports=PUBLISHED), "server", HTTPD)
    assert fetch(host, f"http://{address}:18080/", netns=OUTSIDE) == "box\n"


def test_a_dual_stack_pod_has_an_address_of_each_family(host: PrivateHost, cri: Crictl) -> None:
    use(host, cri, ours.conflist("dual-stack"))
    assert cri.addresses(cri.run_pod("web")) == ["10.90.0.2", "fd00:90::2"]


def test_lo_is_up_in_a_pod(host: PrivateHost, cri: Crictl) -> None:
    use(host, cri, ours.conflist("bridge"))
    container = cri.start(cri.run_pod("web"), "server", HTTPD)
    assert cri.execute(container, "wget", "-q", "-O-", "http://127.0.0.1/") == "box\n"


def test_a_pod_finds_another_by_its_name(host: PrivateHost, cri: Crictl) -> None:
    use(host, cri, ours.conflist("custom"))
    cri.run_pod("web")
    client = cri.run_pod("client", dns={"servers": ["10.89.0.1"], "searches": ["custom"]})
    container = cri.start(client, "shell", ["sleep", "1000"])
    assert "1 packets received" in cri.execute(container, "ping", "-c1", "web.custom")


def test_stop_may_be_repeated_before_remove_and_leaves_nothing(host: PrivateHost, cri: Crictl) -> None:
    settle(host, cri, ours.conflist("dual-stack"))
    with leaves_nothing(host):
        pod = cri.run_pod("web", ports=PUBLISHED)
        for end in (cri.stop, cri.stop, cri.stop, cri.remove):
            end(pod)


def test_a_pod_whose_namespace_is_lost_leaves_nothing(host: PrivateHost, cri: Crictl) -> None:
    settle(host, cri, ours.conflist("bridge"))
    with leaves_nothing(host):
        pod = cri.run_pod("web", ports=PUBLISHED)
        (netns,) = host.run(["ls", "/run/netns"]).stdout.split()
        host.del_netns(netns)
        remove(cri, pod)


def test_a_pod_that_outlives_its_containerd_still_serves_and_leaves_nothing(
    host: PrivateHost, cri: Crictl
) -> None:
    settle(host, cri, ours.conflist("bridge"))
    with leaves_nothing(host):
        pod = cri.run_pod("web", ports=PUBLISHED)
        cri.start(pod, "server", HTTPD)
        cri.containerd.restart()
        assert fetch(host, "http://127.0.0.1:18080/") == "box\n"
        remove(cri, pod)


def test_eight_pods_at_once_get_eight_addresses_and_leave_nothing(host: PrivateHost, cri: Crictl) -> None:
    """For each pod containerd calls loopback and the network's plugins at the same time."""
    settle(host, cri, ours.conflist("bridge"))
    with leaves_nothing(host), ThreadPoolExecutor(8) as pool:
        pods = list(pool.map(lambda number: cri.run_pod(f"pod{number}"), range(8)))
        assert len({cri.addresses(pod)[0] for pod in pods}) == 8
        list(pool.map(lambda pod: remove(cri, pod), pods))


def test_a_list_that_is_no_json_is_repaired_while_containerd_runs(host: PrivateHost, cri: Crictl) -> None:
    host.write(LIST, "{")
    assert cri.network_ready()[0] is False
    use(host, cri, ours.conflist("bridge"))
    assert cri.addresses(cri.run_pod("web")) == ["10.88.0.2"]


def test_a_wrong_value_is_told_to_the_user_and_repaired_while_containerd_runs(
    host: PrivateHost, cri: Crictl
) -> None:
    settle(host, cri, ours.conflist("bridge"))
    with leaves_nothing(host):
        wrong = ours.conflist("bridge")
        wrong["plugins"][0]["ipam"]["ranges"] = [[{"subnet": "10.88.0.0/99"}]]
        host.write(LIST, json.dumps(wrong))
        with pytest.raises(HostError, match=r"10\.88\.0\.0/99"):
            cri.run_pod("web")
        use(host, cri, ours.conflist("bridge"))
        pod = cri.run_pod("web", ports=PUBLISHED)
        remove(cri, pod)


def one_address() -> dict[str, Any]:
    """A network for one pod at a time."""
    conflist = ours.conflist("bridge")
    only = {"subnet": "10.88.0.0/16", "rangeStart": "10.88.0.2", "rangeEnd": "10.88.0.2"}
    conflist["plugins"][0]["ipam"]["ranges"] = [[only]]
    return conflist


@only_24
def test_network_ready_turns_off_while_no_address_is_free_and_on_again(
    host: PrivateHost, cri: Crictl
) -> None:
    """containerd asks STATUS of lists in version 1.1.0 only, and 1.6 of none."""
    use(host, cri, one_address())
    pod = cri.run_pod("only")
    ready, message = cri.wait_until(lambda condition: not condition[0])
    assert not ready
    assert "10.88.0.2" in message
    remove(cri, pod)
    assert cri.wait_until(lambda condition: condition[0])[0]


@only_24
def test_network_ready_is_off_while_a_link_of_another_kind_has_the_bridges_name(
    host: PrivateHost, cri: Crictl
) -> None:
    host.run(["ip", "link", "add", "cni-bridge", "type", "veth", "peer", "name", "other"])
    host.write(LIST, json.dumps(ours.conflist("bridge")))
    ready, message = cri.wait_until(lambda condition: "initialized" not in condition[1])
    assert not ready
    assert "cni-bridge is not a bridge" in message


@only_24
def test_asking_for_the_status_changes_nothing(host: PrivateHost, cri: Crictl) -> None:
    settle(host, cri, ours.conflist("custom"))
    with leaves_nothing(host):
        assert [cri.network_ready() for _ in range(10)] == [(True, "")] * 10
