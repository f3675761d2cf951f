"""Real nerdctl on containerd 2.4: its own networks and ours, on nothing but our executables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness import ours
from tests.harness.containerd import BOX
from tests.harness.nerdctl import Nerdctl
from tests.harness.patience import until
from tests.harness.privatehost import HOST_V4, OUTSIDE, HostError, PrivateHost
from tests.harness.scenario import fetch, leaves_nothing
from tests.harness.talk import ask, serve

pytestmark = [pytest.mark.root, pytest.mark.runtime]

HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"]
SLEEP = ["sleep", "1000"]


def create(nerdctl: Nerdctl, name: str, *options: str) -> None:
    """Make a network and use it once, so that what it keeps is there."""
    nerdctl.run("network", "create", name, *options)
    settle(nerdctl, name)


def settle(nerdctl: Nerdctl, network: str) -> None:
    nerdctl.once("--network", network, "--publish", "9:9", command=["true"])


# --- ports -----------------------------------------------------------------------------------------------------


def test_a_published_port_answers_from_outside_and_leaves_nothing(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    settle(nerdctl, "bridge")
    with leaves_nothing(host):
        nerdctl.start("web", "--publish", "18080:80", command=HTTPD)
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("rm", "--force", "web")


def test_a_published_port_answers_on_the_hosts_own_127_0_0_1(host: PrivateHost, nerdctl: Nerdctl) -> None:
    nerdctl.start("web", "--publish", "18080:80", command=HTTPD)
    assert fetch(host, "http://127.0.0.1:18080/") == "box\n"


def test_a_container_reaches_its_own_published_port(host: PrivateHost, nerdctl: Nerdctl) -> None:
    nerdctl.start("web", "--publish", "18080:80", command=HTTPD)
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=nerdctl.netns("web")) == "box\n"


def test_a_range_of_ports_is_published_one_to_one(host: PrivateHost, nerdctl: Nerdctl) -> None:
    nerdctl.start("web", "--publish", "18080-18082:79-81", command=HTTPD)
    assert fetch(host, f"http://{HOST_V4}:18081/", netns=OUTSIDE) == "box\n"


def test_a_port_published_on_one_host_address_is_not_on_another(host: PrivateHost, nerdctl: Nerdctl) -> None:
    nerdctl.start("web", "--publish", "127.0.0.1:18080:80", command=HTTPD)
    assert fetch(host, "http://127.0.0.1:18080/") == "box\n"
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE, patience=0) is None


def test_a_udp_port_answers_from_outside(host: PrivateHost, nerdctl: Nerdctl) -> None:
    nerdctl.start("web", "--publish", "18053:53/udp", command=SLEEP)
    with serve(host, nerdctl.netns("web"), port=53, kind="udp", name="web"):
        assert ask(host, HOST_V4, 18053, netns=OUTSIDE, kind="udp") == "web 198.51.100.1"


def test_a_hundred_ports_are_published_and_leave_nothing(host: PrivateHost, nerdctl: Nerdctl) -> None:
    settle(nerdctl, "bridge")
    with leaves_nothing(host):
        nerdctl.start("web", "--publish", "20000-20099:1-100", command=HTTPD)
        assert fetch(host, f"http://{HOST_V4}:20079/", netns=OUTSIDE) == "box\n"
        nerdctl.run("rm", "--force", "web")


def test_a_port_that_another_container_publishes_is_refused_and_leaves_nothing(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    nerdctl.start("first", "--publish", "18080:80", command=HTTPD)
    with leaves_nothing(host):
        with pytest.raises(HostError, match="18080"):
            nerdctl.start("second", "--publish", "18080:80", command=HTTPD)
        nerdctl.run("rm", "--force", "second", check=False)
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"


def test_a_port_that_a_program_of_the_host_holds_is_refused_and_leaves_nothing(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    settle(nerdctl, "bridge")
    with serve(host, None, port=18080), leaves_nothing(host):
        with pytest.raises(HostError, match="18080"):
            nerdctl.start("web", "--publish", "18080:80", command=HTTPD)
        nerdctl.run("rm", "--force", "web", check=False)


def test_nerdctl_port_tells_what_is_published(nerdctl: Nerdctl) -> None:
    nerdctl.start("web", "--publish", "18080:80", "--publish", "127.0.0.1:18053:53/udp", command=SLEEP)
    told = nerdctl.output("port", "web").splitlines()
    assert sorted(told) == ["53/udp -> 127.0.0.1:18053", "80/tcp -> 0.0.0.0:18080"]


def test_automatic_host_ports_differ(host: PrivateHost, nerdctl: Nerdctl) -> None:
    """nerdctl looks for a free one in our chains."""
    told = []
    for name in ("first", "second"):
        nerdctl.start(name, "--publish", "80", command=HTTPD)
        told.append(nerdctl.output("port", name, "80").rpartition(":")[2])
    assert len(set(told)) == 2
    assert [fetch(host, f"http://{HOST_V4}:{port}/", netns=OUTSIDE) for port in told] == ["box\n"] * 2


def test_the_chains_have_the_shape_that_nerdctls_own_tests_look_for(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    container_id = nerdctl.start("web", "--publish", "18080:80", command=SLEEP)
    rules = host.run(["iptables-save", "-t", "nat"]).stdout
    dispatch = next(
        line for line in rules.splitlines() if f"default-{container_id}" in line and "DNAT" in line
    )
    chain = dispatch.split()[-1]
    assert re.search(rf"-A {chain} .*--dport 18080 .*--to-destination {nerdctl.address('web')}:80", rules)


# --- addresses and names ---------------------------------------------------------------------------------------


def test_a_container_gets_the_address_and_mac_it_asks_for(host: PrivateHost, nerdctl: Nerdctl) -> None:
    create(nerdctl, "net", "--subnet", "10.5.0.0/24")
    nerdctl.start(
        "web", "--network", "net", "--ip", "10.5.0.77", "--mac-address", "02:11:22:33:44:55", command=SLEEP
    )
    link = host.links(nerdctl.netns("web"))["eth0"]
    assert link["address"] == "02:11:22:33:44:55"
    assert link["addr_info"][0]["local"] == "10.5.0.77"


def test_an_address_that_is_taken_is_refused_and_leaves_nothing(host: PrivateHost, nerdctl: Nerdctl) -> None:
    create(nerdctl, "net", "--subnet", "10.5.0.0/24")
    nerdctl.start("first", "--network", "net", "--ip", "10.5.0.77", command=SLEEP)
    with leaves_nothing(host):
        with pytest.raises(HostError, match=r"10\.5\.0\.77"):
            nerdctl.start("second", "--network", "net", "--ip", "10.5.0.77", command=SLEEP)
        nerdctl.run("rm", "--force", "second", check=False)


def test_a_container_on_a_dual_stack_network_gets_the_ipv6_address_it_asks_for(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    create(nerdctl, "net", "--ipv6", "--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64")
    nerdctl.start("web", "--network", "net", "--ip6", "fd00:5::77", command=SLEEP)
    shown = [entry["local"] for entry in host.links(nerdctl.netns("web"))["eth0"]["addr_info"]]
    assert "fd00:5::77" in shown


def test_a_hostname_is_set_and_found_by_others(nerdctl: Nerdctl) -> None:
    create(nerdctl, "net")
    nerdctl.start("web", "--network", "net", "--hostname", "tomcat", command=SLEEP)
    assert nerdctl.output("exec", "web", "hostname") == "tomcat"
    assert "1 packets received" in nerdctl.once("--network", "net", command=["ping", "-c1", "tomcat"])


def test_a_container_on_two_networks_has_an_interface_on_each_and_leaves_nothing(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    create(nerdctl, "one", "--subnet", "10.5.1.0/24")
    create(nerdctl, "two", "--subnet", "10.5.2.0/24")
    with leaves_nothing(host):
        nerdctl.start("both", "--network", "one", "--network", "two", "--publish", "18080:80", command=HTTPD)
        links = host.links(nerdctl.netns("both"))
        networks = {links[name]["addr_info"][0]["local"].rpartition(".")[0] for name in ("eth0", "eth1")}
        assert networks == {"10.5.1", "10.5.2"}
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("rm", "--force", "both")


def test_a_restart_keeps_both_networks_of_a_container(host: PrivateHost, nerdctl: Nerdctl) -> None:
    create(nerdctl, "one", "--subnet", "10.5.1.0/24")
    create(nerdctl, "two", "--subnet", "10.5.2.0/24")
    with leaves_nothing(host):
        nerdctl.start("both", "--network", "one", "--network", "two", "--publish", "18080:80", command=HTTPD)
        nerdctl.run("restart", "--time", "0", "both")
        assert {"eth0", "eth1"} <= set(host.links(nerdctl.netns("both")))
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("rm", "--force", "both")


# --- a list of ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ours.LISTS)
def test_a_container_on_each_sample_list_leaves_nothing(
    name: str, host: PrivateHost, nerdctl: Nerdctl
) -> None:
    host.write(f"/etc/cni/net.d/{name}.conflist", json.dumps(ours.conflist_for_nerdctl(name)))
    settle(nerdctl, name)
    with leaves_nothing(host):
        nerdctl.start("web", "--network", name, command=SLEEP)
        nerdctl.run("rm", "--force", "web")


def test_containers_on_a_hand_written_list_find_each_other_through_our_dns(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    host.write("/etc/cni/net.d/custom.conflist", json.dumps(ours.conflist_for_nerdctl("custom")))
    options = ("--network", "custom", "--dns", "10.89.0.1")
    settle(nerdctl, "custom")
    with leaves_nothing(host):
        nerdctl.start("web", *options, "--hostname", "tomcat", "--publish", "18080:80", command=HTTPD)
        assert "1 packets received" in nerdctl.once(*options, command=["ping", "-c1", "tomcat.custom"])
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("rm", "--force", "web")


@pytest.mark.parametrize(
    "with_backend", [ours.conflist, ours.conflist_for_nerdctl], ids=["nftables", "iptables"]
)
def test_ports_of_a_sample_list_answer_beside_nerdctls_reserver_also_after_a_restart(
    host: PrivateHost, nerdctl: Nerdctl, with_backend: Callable[[str], dict[str, Any]]
) -> None:
    """nerdctl listens on the port itself, which is neither refused nor warned of, and hides it from nobody."""
    host.write("/etc/cni/net.d/custom.conflist", json.dumps(with_backend("custom")))
    ports = ("--publish", "18080:80", "--publish", "18053:53/udp")
    nerdctl.start("web", "--network", "custom", *ports, command=HTTPD)
    for _ in range(2):
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        assert fetch(host, "http://127.0.0.1:18080/") == "box\n"
        with serve(host, nerdctl.netns("web"), port=53, kind="udp", name="web"):
            assert ask(host, "127.0.0.1", 18053, kind="udp") == "web 10.89.0.1"
        (endpoint,) = json.loads(ours.linkspan(host, "network", "inspect", "custom"))[0]["Linkspan"][
            "Endpoints"
        ]
        assert endpoint["Warnings"] == []
        nerdctl.run("restart", "--time", "0", "web")


def test_what_nerdctl_does_not_say_is_shown_by_inspect(host: PrivateHost, nerdctl: Nerdctl) -> None:
    host.write("/etc/cni/net.d/bridge.conflist", json.dumps(ours.conflist_for_nerdctl("bridge")))
    nerdctl.start("web", "--network", "bridge", "--publish", "[::]:18080:80", command=HTTPD)
    (endpoint,) = json.loads(ours.linkspan(host, "network", "inspect", "bridge"))[0]["Linkspan"]["Endpoints"]
    assert endpoint["Warnings"] == [
        "portmap: nothing is published on ::: the container has no address of that family"
    ]


def test_a_hand_written_list_is_shown_and_never_removed(host: PrivateHost, nerdctl: Nerdctl) -> None:
    host.write("/etc/cni/net.d/custom.conflist", json.dumps(ours.conflist_for_nerdctl("custom")))
    assert "custom" in nerdctl.output("network", "ls", "--format", "{{.Name}}").split()
    nerdctl.run("network", "prune", "--force")
    assert nerdctl.run("network", "rm", "custom", check=False).returncode != 0
    assert "custom" in nerdctl.output("network", "ls", "--format", "{{.Name}}").split()


# --- networks --------------------------------------------------------------------------------------------------


def test_networks_are_listed_inspected_removed_and_pruned(nerdctl: Nerdctl) -> None:
    for name in ("one", "two", "three"):
        nerdctl.run("network", "create", name)
    assert json.loads(nerdctl.output("network", "inspect", "one"))[0]["Name"] == "one"
    nerdctl.run("network", "rm", "one")
    nerdctl.start("web", "--network", "two", command=SLEEP)
    nerdctl.run("network", "prune", "--force")
    listed = nerdctl.output("network", "ls", "--format", "{{.Name}}").split()
    assert {"one", "two", "three"}.intersection(listed) == {"two"}


def test_an_internal_network_reaches_its_own_and_nobody_else(host: PrivateHost, nerdctl: Nerdctl) -> None:
    create(nerdctl, "hidden", "--internal", "--subnet", "10.5.0.0/24")
    nerdctl.start("web", "--network", "hidden", command=HTTPD)
    nerdctl.start("client", "--network", "hidden", command=SLEEP)
    assert fetch(host, f"http://{nerdctl.address('web')}/", netns=nerdctl.netns("client")) == "box\n"
    with serve(host, OUTSIDE, port=8000, name="outside"):
        assert ask(host, "198.51.100.1", 8000, netns=nerdctl.netns("client")) is None


def test_a_network_with_a_range_and_a_gateway_of_its_own_uses_them(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    options = ("--subnet", "10.5.0.0/24", "--ip-range", "10.5.0.128/25", "--gateway", "10.5.0.254")
    create(nerdctl, "net", *options)
    nerdctl.start("web", "--network", "net", command=SLEEP)
    assert nerdctl.address("web").startswith(("10.5.0.12", "10.5.0.13"))
    assert "via 10.5.0.254" in host.run(["ip", "route"], netns=nerdctl.netns("web")).stdout


def test_a_container_on_a_dual_stack_network_publishes_in_ipv4(host: PrivateHost, nerdctl: Nerdctl) -> None:
    create(nerdctl, "net", "--ipv6", "--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64")
    with leaves_nothing(host):
        nerdctl.start("web", "--network", "net", "--publish", "18080:80", command=HTTPD)
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("rm", "--force", "web")


def test_without_icc_containers_of_one_network_do_not_reach_each_other(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    create(nerdctl, "apart", "--opt", "com.docker.network.bridge.enable_icc=false")
    host.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"])
    nerdctl.start("web", "--network", "apart", "--publish", "18080:80", command=HTTPD)
    nerdctl.start("client", "--network", "apart", command=SLEEP)
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
    url = f"http://{nerdctl.address('web')}/"
    assert fetch(host, url, netns=nerdctl.netns("client"), patience=0) is None


def test_two_networks_are_apart_and_reach_each_others_published_ports(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    create(nerdctl, "one")
    create(nerdctl, "two")
    nerdctl.start("web", "--network", "one", "--publish", "18080:80", command=HTTPD)
    nerdctl.start("client", "--network", "two", command=SLEEP)
    client = nerdctl.netns("client")
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=client) == "box\n"
    assert fetch(host, f"http://{nerdctl.address('web')}/", netns=client, patience=0) is None


# --- lives -----------------------------------------------------------------------------------------------------


def test_stop_start_kill_restart_and_remove_leave_nothing(host: PrivateHost, nerdctl: Nerdctl) -> None:
    create(nerdctl, "net")
    with leaves_nothing(host):
        nerdctl.start("web", "--network", "net", "--publish", "18080:80", command=HTTPD)
        nerdctl.run("stop", "--time", "0", "web")
        nerdctl.run("start", "web")
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("restart", "--time", "0", "web")
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("kill", "web")
        nerdctl.run("rm", "--force", "web")


def test_a_container_that_outlives_the_resident_leaves_nothing(host: PrivateHost, nerdctl: Nerdctl) -> None:
    create(nerdctl, "net")
    with leaves_nothing(host):
        nerdctl.start("web", "--network", "net", "--publish", "18080:80", command=HTTPD)
        ours.linkspan(host, "resident", "stop")
        nerdctl.run("rm", "--force", "web")


def test_a_stopped_container_holds_no_port_and_no_rule(host: PrivateHost, nerdctl: Nerdctl) -> None:
    create(nerdctl, "net")
    with leaves_nothing(host):
        nerdctl.start("web", "--network", "net", "--publish", "18080:80", command=HTTPD)
        nerdctl.run("stop", "--time", "0", "web")
        # nerdctl sends the DEL before the signal.
        until(lambda: not ours.deferred(host), "the resident to carry out what was deferred")


def test_twenty_runs_at_once_get_twenty_addresses_and_leave_nothing(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    create(nerdctl, "net")
    # Names that no container ID can begin with: nerdctl takes either for a container.
    names = [f"box-{number}" for number in range(20)]
    with leaves_nothing(host), ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: nerdctl.start(name, "--network", "net", command=SLEEP), names))
        assert len({nerdctl.address(name) for name in names}) == 20
        nerdctl.run("rm", "--force", *names)


# --- signals: nerdctl kill sends a DEL without a namespace before any signal ------------------------------


@pytest.mark.parametrize("resident_runs", [True, False], ids=["resident", "standalone"])
def test_a_container_that_lives_on_after_a_signal_keeps_port_name_and_address(
    host: PrivateHost, nerdctl: Nerdctl, resident_runs: bool
) -> None:
    host.write("/etc/cni/net.d/custom.conflist", json.dumps(ours.conflist_for_nerdctl("custom")))
    options = ("--network", "custom", "--dns", "10.89.0.1")
    settle(nerdctl, "custom")
    if not resident_runs:
        nerdctl.environment.update(ours.STANDALONE)
        ours.linkspan(host, "resident", "stop")
    with leaves_nothing(host):
        nerdctl.start("web", *options, "--hostname", "tomcat", "--publish", "18080:80", command=HTTPD)
        before = nerdctl.address("web")
        nerdctl.run("kill", "--signal", "HUP", "web")
        assert ours.deferred(host), "nerdctl sent no DEL"
        assert "1 packets received" in nerdctl.once(*options, command=["ping", "-c1", "tomcat.custom"])
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.start("other", *options, command=SLEEP)
        assert before not in ("", nerdctl.address("other"))
        assert host.links(nerdctl.netns("web"))["eth0"]["addr_info"][0]["local"] == before
        nerdctl.run("rm", "--force", "web", "other")
        assert ours.deferred(host) == []


def test_after_a_signal_and_rm_the_same_address_can_be_had_at_once(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    create(nerdctl, "net", "--subnet", "10.5.0.0/24")
    with leaves_nothing(host):
        for _ in range(3):
            nerdctl.start("web", "--network", "net", "--ip", "10.5.0.77", command=SLEEP)
            nerdctl.run("kill", "--signal", "HUP", "web")
            nerdctl.run("rm", "--force", "web")


def test_after_a_signal_a_restart_gets_its_address_and_port_again(
    host: PrivateHost, nerdctl: Nerdctl
) -> None:
    create(nerdctl, "net", "--subnet", "10.5.0.0/24")
    with leaves_nothing(host):
        nerdctl.start("web", "--network", "net", "--ip", "10.5.0.77", "--publish", "18080:80", command=HTTPD)
        nerdctl.run("kill", "--signal", "HUP", "web")
        nerdctl.run("restart", "--time", "1", "web")
        assert host.links(nerdctl.netns("web"))["eth0"]["addr_info"][0]["local"] == "10.5.0.77"
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("rm", "--force", "web")


def test_compose_brings_two_services_up_and_down(host: PrivateHost, nerdctl: Nerdctl) -> None:
    host.write("/run/project/compose.yaml", _COMPOSE)
    compose = ("compose", "--file", "/run/project/compose.yaml")
    nerdctl.run(*compose, "up", "--detach")
    nerdctl.run(*compose, "down")
    with leaves_nothing(host):
        nerdctl.run(*compose, "up", "--detach")
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        pinged = nerdctl.output("exec", "project-client-1", "ping", "-c1", "web")
        assert "1 packets received" in pinged
        nerdctl.run(*compose, "down")


_COMPOSE = f"""\
services:
  web:
    image: {BOX}
    pull_policy: never
    stop_signal: SIGKILL
    command: httpd -f -p 80 -h /www
    ports: ["18080:80"]
  client:
    image: {BOX}
    pull_policy: never
    stop_signal: SIGKILL
    command: sleep 1000
"""
