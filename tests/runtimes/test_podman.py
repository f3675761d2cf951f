"""Debian's podman with its CNI backend: its own networks and ours, on nothing but our executables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness import ours, tools
from tests.harness.containerd import BOX
from tests.harness.podman import NETWORKS, Podman
from tests.harness.privatehost import HOST_V4, HOST_V6, OUTSIDE, HostError, PrivateHost
from tests.harness.scenario import fetch, leaves_nothing, strangers
from tests.harness.talk import ask, serve

pytestmark = [pytest.mark.root, pytest.mark.runtime]

HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"]
SLEEP = ["sleep", "1000"]
#: podman takes from containers what `ping` needs.
PING = ("--cap-add", "NET_RAW")


@pytest.fixture
def podman(host: PrivateHost, archive: str, runs: Callable[[str], None], resident: None) -> Iterator[Podman]:
    """podman with an image; what its package would bring of other plugins is not there."""
    root, runc = tools.require(tools.podman), tools.require(tools.runc)
    with Podman(host, root, runc) as driven:
        runs(driven.version)
        assert strangers(host) == []
        driven.run("load", "--input", archive)
        yield driven


def create(podman: Podman, name: str, *options: str) -> None:
    """Make a network and use it once, so that what it keeps is there."""
    podman.run("network", "create", *options, name)
    settle(podman, name)


def settle(podman: Podman, network: str) -> None:
    podman.run("run", "--rm", "--network", network, "--publish", "9:9", BOX, "true")


def start(podman: Podman, name: str, *options: str) -> str:
    """Start a web server and return its id."""
    return podman.start(name, *options, image=BOX, command=HTTPD)


def remove(podman: Podman, *names: str) -> None:
    podman.run("rm", "--force", "--time", "0", *names)


def ping(podman: Podman, network: str, name: str) -> str:
    """What `ping` in a new container prints."""
    return podman.output("run", "--rm", *PING, "--network", network, BOX, "ping", "-c1", name)


def addresses(host: PrivateHost, podman: Podman, name: str) -> dict[str, list[str]]:
    """A container's addresses by interface, without what the kernel gives itself."""
    links = host.links(podman.netns(name))
    return {
        ifname: [entry["local"] for entry in link["addr_info"] if entry["scope"] == "global"]
        for ifname, link in links.items()
        if ifname != "lo"
    }


# --- ports -----------------------------------------------------------------------------------------------------


def test_a_container_on_the_default_network_leaves_nothing(host: PrivateHost, podman: Podman) -> None:
    settle(podman, "podman")
    with leaves_nothing(host):
        start(podman, "web", "--publish", "18080:80")
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        remove(podman, "web")


def test_a_container_on_a_network_of_its_own_leaves_nothing(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net")
    with leaves_nothing(host):
        start(podman, "web", "--network", "net", "--network-alias", "www", "--publish", "18080:80")
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        remove(podman, "web")


def test_a_published_port_answers_on_the_hosts_own_127_0_0_1(host: PrivateHost, podman: Podman) -> None:
    start(podman, "web", "--network", "podman", "--publish", "18080:80")
    assert fetch(host, "http://127.0.0.1:18080/") == "box\n"


def test_a_container_reaches_its_own_published_port(host: PrivateHost, podman: Podman) -> None:
    start(podman, "web", "--network", "podman", "--publish", "18080:80")
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=podman.netns("web")) == "box\n"


def test_a_port_published_on_one_host_address_is_not_on_another(host: PrivateHost, podman: Podman) -> None:
    start(podman, "web", "--network", "podman", "--publish", "127.0.0.1:18080:80")
    assert fetch(host, "http://127.0.0.1:18080/") == "box\n"
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE, patience=0) is None


def test_a_udp_port_answers_from_outside(host: PrivateHost, podman: Podman) -> None:
    start(podman, "web", "--network", "podman", "--publish", "18053:53/udp")
    with serve(host, podman.netns("web"), port=53, kind="udp", name="web"):
        assert ask(host, HOST_V4, 18053, netns=OUTSIDE, kind="udp") == "web 198.51.100.1"


def test_a_range_of_ports_is_published_one_to_one(host: PrivateHost, podman: Podman) -> None:
    start(podman, "web", "--network", "podman", "--publish", "18080-18082:79-81")
    assert fetch(host, f"http://{HOST_V4}:18081/", netns=OUTSIDE) == "box\n"


def test_a_port_that_another_container_publishes_is_refused_and_leaves_nothing(
    host: PrivateHost, podman: Podman
) -> None:
    start(podman, "first", "--network", "podman", "--publish", "18080:80")
    with leaves_nothing(host):
        with pytest.raises(HostError, match="18080"):
            start(podman, "second", "--network", "podman", "--publish", "18080:80")
        remove(podman, "second")


def test_an_ipv6_port_answers_from_outside(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net", "--ipv6", "--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64")
    with leaves_nothing(host):
        start(podman, "web", "--network", "net", "--publish", "18080:80")
        assert fetch(host, f"http://[{HOST_V6}]:18080/", netns=OUTSIDE) == "box\n"
        remove(podman, "web")


# --- addresses and names ---------------------------------------------------------------------------------------


def test_a_container_gets_the_address_and_mac_it_asks_for(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net", "--subnet", "10.5.0.0/24")
    start(podman, "web", "--network", "net", "--ip", "10.5.0.77", "--mac-address", "02:11:22:33:44:55")
    link = host.links(podman.netns("web"))["eth0"]
    assert link["address"] == "02:11:22:33:44:55"
    assert link["addr_info"][0]["local"] == "10.5.0.77"


def test_a_container_gets_the_two_addresses_it_asks_for(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net", "--ipv6", "--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64")
    start(podman, "web", "--network", "net:ip=10.5.0.77,ip=fd00:5::77")
    assert addresses(host, podman, "web") == {"eth0": ["10.5.0.77", "fd00:5::77"]}


def test_an_address_that_is_taken_is_refused_and_leaves_nothing(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net", "--subnet", "10.5.0.0/24")
    start(podman, "first", "--network", "net", "--ip", "10.5.0.77")
    with leaves_nothing(host):
        with pytest.raises(HostError, match=r"10\.5\.0\.77"):
            start(podman, "second", "--network", "net", "--ip", "10.5.0.77")
        remove(podman, "second")


@pytest.mark.parametrize("name", ["web", "web.dns.podman", "www"], ids=["name", "full name", "alias"])
def test_a_container_is_found_by_its(name: str, podman: Podman) -> None:
    create(podman, "net")
    start(podman, "web", "--network", "net", "--network-alias", "www")
    assert "1 packets received" in ping(podman, "net", name)


def test_a_container_that_is_gone_is_found_no_more(podman: Podman) -> None:
    create(podman, "net", "--subnet", "10.5.0.0/24")
    start(podman, "other", "--network", "net")
    start(podman, "web", "--network", "net")
    remove(podman, "web")
    with pytest.raises(HostError, match="NXDOMAIN"):
        podman.run("exec", "other", "nslookup", "web.dns.podman", "10.5.0.1")


# --- networks --------------------------------------------------------------------------------------------------


def test_networks_are_listed_inspected_removed_and_pruned(podman: Podman) -> None:
    for name in ("one", "two", "three"):
        podman.run("network", "create", name)
    inspected = json.loads(podman.output("network", "inspect", "one"))[0]
    assert (inspected["name"], inspected["dns_enabled"]) == ("one", True)
    podman.run("network", "rm", "one")
    start(podman, "web", "--network", "two")
    podman.run("network", "prune", "--force")
    assert set(podman.output("network", "ls", "--format", "{{.Name}}").split()) == {"podman", "two"}


def test_a_container_on_two_networks_has_an_interface_on_each_and_leaves_nothing(
    host: PrivateHost, podman: Podman
) -> None:
    create(podman, "one", "--subnet", "10.5.1.0/24")
    create(podman, "two", "--subnet", "10.5.2.0/24")
    with leaves_nothing(host):
        start(podman, "both", "--network", "one", "--network", "two", "--publish", "18080:80")
        assert sorted(addresses(host, podman, "both").values()) == [["10.5.1.3"], ["10.5.2.3"]]
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        remove(podman, "both")


def test_a_running_container_joins_a_network_is_found_there_and_leaves_it(
    host: PrivateHost, podman: Podman
) -> None:
    create(podman, "one")
    create(podman, "two", "--subnet", "10.5.2.0/24")
    start(podman, "web", "--network", "one")
    with leaves_nothing(host):
        podman.run("network", "connect", "--alias", "late", "two", "web")
        assert "1 packets received" in ping(podman, "two", "late")
        podman.run("network", "disconnect", "two", "web")
        assert list(addresses(host, podman, "web")) == ["eth0"]


def test_a_published_port_stays_when_one_of_two_networks_is_left(host: PrivateHost, podman: Podman) -> None:
    create(podman, "one")
    create(podman, "two")
    start(podman, "web", "--network", "one", "--publish", "18080:80")
    podman.run("network", "connect", "two", "web")
    podman.run("network", "disconnect", "one", "web")
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"


def test_reload_keeps_both_networks_of_a_container(host: PrivateHost, podman: Podman) -> None:
    create(podman, "one")
    create(podman, "two")
    start(podman, "web", "--network", "one", "--network", "two", "--publish", "18080:80")
    before = addresses(host, podman, "web")
    podman.run("network", "reload", "web")
    assert addresses(host, podman, "web") == before
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"


def test_reload_restores_rules_that_somebody_flushed_and_keeps_the_address(
    host: PrivateHost, podman: Podman
) -> None:
    create(podman, "net")
    start(podman, "web", "--network", "net", "--publish", "18080:80")
    before = addresses(host, podman, "web")
    host.run(["iptables", "-t", "nat", "-F"])
    podman.run("network", "reload", "web")
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
    assert addresses(host, podman, "web") == before


def test_restart_stop_and_start_leave_nothing(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net")
    with leaves_nothing(host):
        start(podman, "web", "--network", "net", "--publish", "18080:80")
        podman.run("restart", "--time", "0", "web")
        podman.run("stop", "--time", "0", "web")
        podman.run("start", "web")
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        remove(podman, "web")


def test_a_stopped_container_holds_no_address_no_port_and_no_name(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net")
    with leaves_nothing(host):
        start(podman, "web", "--network", "net", "--publish", "18080:80")
        podman.run("stop", "--time", "0", "web")


def test_after_a_lost_namespace_the_port_is_free_for_the_next_container(
    host: PrivateHost, podman: Podman
) -> None:
    """podman sends no DEL for the lost one."""
    create(podman, "net")
    options = ("--network", "net", "--publish", "18080:80")
    start(podman, "lost", *options)
    (netns,) = host.run(["ls", "/run/netns"]).stdout.split()
    host.run(["umount", f"/run/netns/{netns}"])
    host.run(["rm", f"/run/netns/{netns}"])
    remove(podman, "lost")
    start(podman, "next", *options)
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"


def test_a_pod_shares_one_address_and_leaves_nothing(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net")
    with leaves_nothing(host):
        podman.run("pod", "create", "--name", "pod", "--network", "net", "--publish", "18080:80")
        start(podman, "web", "--pod", "pod")
        podman.start("client", "--pod", "pod", image=BOX, command=SLEEP)
        assert addresses(host, podman, "web") == addresses(host, podman, "client")
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        podman.run("pod", "rm", "--force", "--time", "0", "pod")


def test_an_internal_network_reaches_its_own_and_nobody_else(host: PrivateHost, podman: Podman) -> None:
    create(podman, "hidden", "--internal", "--subnet", "10.5.0.0/24")
    start(podman, "web", "--network", "hidden", "--ip", "10.5.0.77")
    podman.start("client", "--network", "hidden", image=BOX, command=SLEEP)
    assert fetch(host, "http://10.5.0.77/", netns=podman.netns("client")) == "box\n"
    with serve(host, OUTSIDE, port=8000, name="outside"):
        assert ask(host, "198.51.100.1", 8000, netns=podman.netns("client")) is None


def test_isolated_networks_are_apart_and_reach_each_others_published_ports(
    host: PrivateHost, podman: Podman
) -> None:
    create(podman, "one", "--opt", "isolate=true", "--subnet", "10.5.1.0/24")
    create(podman, "two", "--opt", "isolate=true", "--subnet", "10.5.2.0/24")
    start(podman, "web", "--network", "one", "--ip", "10.5.1.77", "--publish", "18080:80")
    podman.start("client", "--network", "two", image=BOX, command=SLEEP)
    client = podman.netns("client")
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=client) == "box\n"
    assert fetch(host, "http://10.5.1.77/", netns=client, patience=0) is None


def test_an_mtu_reaches_the_container(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net", "--opt", "mtu=1400")
    start(podman, "web", "--network", "net")
    assert host.links(podman.netns("web"))["eth0"]["mtu"] == 1400


def test_a_network_without_addresses_still_joins_its_containers(host: PrivateHost, podman: Podman) -> None:
    podman.run("network", "create", "--ipam-driver", "none", "plain")
    for number in (1, 2):
        podman.start(f"box-{number}", "--network", "plain", image=BOX, command=SLEEP)
        host.run(
            ["ip", "address", "add", f"192.0.2.{number}/24", "dev", "eth0"],
            netns=podman.netns(f"box-{number}"),
        )
    pinged = host.run(["ping", "-c1", "-W2", "192.0.2.2"], netns=podman.netns("box-1"))
    assert "1 received" in pinged.stdout


def test_eight_runs_at_once_get_eight_addresses_and_leave_nothing(host: PrivateHost, podman: Podman) -> None:
    create(podman, "net")
    names = [f"box-{number}" for number in range(8)]
    with leaves_nothing(host), ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: start(podman, name, "--network", "net"), names))
        assert len({addresses(host, podman, name)["eth0"][0] for name in names}) == 8
        remove(podman, *names)


# --- a list of ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ours.LISTS)
def test_a_container_on_each_sample_list_leaves_nothing(name: str, host: PrivateHost, podman: Podman) -> None:
    host.write(f"{NETWORKS}/{name}.conflist", json.dumps(ours.conflist(name)))
    settle(podman, name)
    with leaves_nothing(host):
        start(podman, "web", "--network", name)
        remove(podman, "web")


def test_containers_on_a_hand_written_list_find_each_other_through_our_dns(
    host: PrivateHost, podman: Podman
) -> None:
    host.write(f"{NETWORKS}/custom.conflist", json.dumps(ours.conflist("custom")))
    start(podman, "web", "--network", "custom", "--network-alias", "www")
    assert "1 packets received" in ping(podman, "custom", "www")


def test_ports_of_a_sample_list_answer_and_stay_while_podman_s_monitor_holds_them(
    host: PrivateHost, podman: Podman
) -> None:
    """The monitor listens on each port once the container runs; a reload publishes them again."""
    host.write(f"{NETWORKS}/custom.conflist", json.dumps(ours.conflist("custom")))
    start(podman, "web", "--network", "custom", "--publish", "18080:80")
    for _ in range(2):
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        assert fetch(host, "http://127.0.0.1:18080/") == "box\n"
        podman.run("network", "reload", "web")
    assert "18080" in host.run(["ss", "-Hltn"]).stdout


def test_a_port_on_which_a_program_listens_is_refused_with_its_name_on_a_sample_list(
    host: PrivateHost, podman: Podman
) -> None:
    host.write(f"{NETWORKS}/custom.conflist", json.dumps(ours.conflist("custom")))
    settle(podman, "custom")
    with serve(host, None, port=18080), leaves_nothing(host):
        with pytest.raises(HostError, match=r"host port 18080/tcp is in use by python\S* \(pid \d+\)"):
            start(podman, "web", "--network", "custom", "--publish", "18080:80")
        remove(podman, "web")
    start(podman, "web", "--network", "custom", "--publish", "18080:80")
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
