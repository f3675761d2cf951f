"""`linkspan network` beside the real programs whose networks it manages: nerdctl, podman, ctr, CRI
and cnitool.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator

from tests.harness import ours, tools
from tests.harness.cnitool import CniTool
from tests.harness.containerd import Containerd
from tests.harness.crictl import POD_NAMESPACE, Crictl
from tests.harness.nerdctl import Nerdctl
from tests.harness.podman import Podman
from tests.harness.privatehost import HOST_V4, OUTSIDE, PrivateHost
from tests.harness.scenario import fetch, leaves_nothing

pytestmark = [pytest.mark.root, pytest.mark.runtime]

HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"]
SLEEP = ["sleep", "1000"]
COMMAND = [sys.executable, "-m", "linkspan.cli.main"]
CONF_DIR = "/etc/cni/net.d"


class Command:
    """`linkspan network` in a host."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb, whatever comes of it."""
        return self.host.run([*COMMAND, "network", *arguments], check=False)

    def output(self, *arguments: str) -> str:
        """Run a verb that must succeed and return what it printed, without the last line's end."""
        return str(self.host.run([*COMMAND, "network", *arguments]).stdout.rstrip("\n"))

    def names(self) -> list[str]:
        """The names that `ls` shows."""
        return self.output("ls", "--format", "{{.Name}}").split()

    def inspect(self, name: str) -> dict[str, Any]:
        """What `inspect` shows of one network."""
        found: dict[str, Any] = json.loads(self.output("inspect", name))[0]
        return found

    def containers(self, name: str) -> dict[str, str]:
        """Container name -> IPv4 address, as `inspect` shows them."""
        shown = self.inspect(name)["Containers"].values()
        return {each["Name"]: each["IPv4Address"] for each in shown}


@pytest.fixture
def network(host: PrivateHost) -> Command:
    return Command(host)


def stops(host: PrivateHost, nerdctl: Nerdctl, command: str) -> None:
    """Type what an error advises, with nerdctl in PATH."""
    path = f"{nerdctl.program.rpartition('/')[0]}:{nerdctl.environment['PATH']}"
    host.run(["sh", "-euc", command], env={**nerdctl.environment, "PATH": path})


# --- networks of ours, in nerdctl
# -------------------------------------------------------------------------------------


def test_nerdctl_lists_inspects_uses_and_removes_a_network_of_ours(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    identifier = network.output("create", "custom", "--label", "env=prod")
    assert nerdctl.output("network", "ls", "--filter", "label=env=prod", "--quiet") == identifier[:12]
    inspected = json.loads(nerdctl.output("network", "inspect", "custom"))[0]
    assert inspected["Id"] == identifier
    assert inspected["IPAM"]["Config"] == [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]
    nerdctl.start("web", "--network", "custom", "--publish", "18080:80", command=HTTPD)
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
    nerdctl.run("rm", "--force", "web")
    assert nerdctl.output("network", "rm", "custom") == "custom"
    assert "custom" not in network.names()
    assert f"br-{identifier[:12]}" not in host.links()


def test_the_whole_life_of_a_network_leaves_nothing(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "first", "--ipv6")
    nerdctl.once("--network", "first", "--publish", "9:9", command=["true"])
    network.output("rm", "first")
    with leaves_nothing(host):
        network.output("create", "custom", "--ipv6", "--subnet", "10.5.0.0/24")
        nerdctl.start("web", "--network", "custom", "--publish", "18080:80", command=HTTPD)
        assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
        nerdctl.run("rm", "--force", "web")
        network.output("rm", "custom")


def test_containers_of_nerdctls_are_shown_with_their_names_addresses_and_ports(
    nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "custom")
    identifier = nerdctl.start("web", "--network", "custom", "--publish", "18080:80", command=SLEEP)
    found = network.inspect("custom")
    container = found["Containers"][identifier]
    assert (container["Name"], container["IPv4Address"]) == ("web", "172.17.0.2/16")
    assert container["MacAddress"] == nerdctl.inspect("web")["NetworkSettings"]["MacAddress"]
    assert found["Linkspan"]["Endpoints"][0]["Ports"] == ["0.0.0.0:18080->80/tcp"]
    wide = network.output("ls", "--output", "wide", "--filter", "name=custom").splitlines()[1]
    assert wide.split()[-2:] == ["1/65533", "18080"]


def test_a_network_in_use_is_refused_and_the_advice_frees_it(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "custom")
    nerdctl.start("web", "--network", "custom", command=SLEEP)
    refused = network("rm", "custom")
    assert refused.returncode == 4
    assert "container web (eth0, 172.17.0.2/16)" in refused.stderr
    assert "custom" in network.names()
    stops(host, nerdctl, refused.stderr.partition("fix: ")[2])
    assert network.output("rm", "custom") == "custom"


def test_a_network_that_nerdctl_made_is_shown_and_removed_completely(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    nerdctl.run("network", "create", "first")
    nerdctl.once("--network", "first", "--publish", "9:9", command=["true"])
    network.output("rm", "first")
    with leaves_nothing(host):
        options = ("--subnet", "10.6.0.0/24", "--gateway", "10.6.0.254", "--label", "a=b")
        identifier = nerdctl.output("network", "create", "theirs", *options)
        nerdctl.start("web", "--network", "theirs", "--publish", "18080:80", command=SLEEP)
        found = network.inspect(identifier[:12])
        assert (found["Name"], found["Labels"]) == ("theirs", {"a": "b"})
        assert found["IPAM"]["Config"] == [{"Subnet": "10.6.0.0/24", "Gateway": "10.6.0.254"}]
        assert network.containers("theirs") == {"web": "10.6.0.1/24"}
        assert network("rm", "theirs").returncode == 4
        nerdctl.run("rm", "--force", "web")
        assert network.output("rm", "theirs") == "theirs"


def test_automatic_host_ports_differ_on_a_network_of_ours(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    """nerdctl finds those of other containers by their listeners, as there are no iptables rules."""
    network.output("create", "custom")
    told = []
    for name in ("first", "second"):
        nerdctl.start(name, "--network", "custom", "--publish", "80", command=HTTPD)
        told.append(nerdctl.output("port", name, "80").rpartition(":")[2])
    assert len(set(told)) == 2
    assert [fetch(host, f"http://{HOST_V4}:{port}/", netns=OUTSIDE) for port in told] == ["box\n"] * 2


def test_ports_of_a_network_that_is_bound_to_an_address_are_published_there_only(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "custom", "--opt", "com.docker.network.bridge.host_binding_ipv4=127.0.0.1")
    nerdctl.start("web", "--network", "custom", "--publish", "18080:80", command=HTTPD)
    assert fetch(host, "http://127.0.0.1:18080/") == "box\n"
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE, patience=0) is None


def test_without_icc_containers_of_a_network_do_not_reach_each_other(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "apart", "--opt", "com.docker.network.bridge.enable_icc=false")
    nerdctl.start("web", "--network", "apart", "--publish", "18080:80", command=HTTPD)
    nerdctl.start("client", "--network", "apart", command=SLEEP)
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
    url = f"http://{nerdctl.address('web')}/"
    assert fetch(host, url, netns=nerdctl.netns("client"), patience=0) is None


def test_the_containers_of_an_internal_network_reach_each_other_only(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "hidden", "--internal")
    nerdctl.start("web", "--network", "hidden", command=HTTPD)
    nerdctl.start("client", "--network", "hidden", command=SLEEP)
    client = nerdctl.netns("client")
    assert fetch(host, f"http://{nerdctl.address('web')}/", netns=client) == "box\n"
    assert "default" not in host.run(["ip", "route"], netns=client).stdout


def test_a_network_with_the_name_of_its_bridge_and_an_mtu_has_both(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "custom", "--opt", "com.docker.network.bridge.name=br7", "--opt", "mtu=1300")
    nerdctl.start("web", "--network", "custom", command=SLEEP)
    assert (host.links()["br7"]["mtu"], host.links(nerdctl.netns("web"))["eth0"]["mtu"]) == (1300, 1300)


def test_addresses_come_from_the_range_and_leave_out_auxiliary_ones(
    nerdctl: Nerdctl, network: Command
) -> None:
    options = ("--subnet", "10.5.0.0/24", "--ip-range", "10.5.0.128/30", "--aux-address", "router=10.5.0.129")
    network.output("create", "custom", *options)
    found = []
    for name in ("one", "two", "three"):
        nerdctl.start(name, "--network", "custom", command=SLEEP)
        found.append(nerdctl.address(name))
    assert found == ["10.5.0.128", "10.5.0.130", "10.5.0.131"]


def test_a_default_network_called_bridge_is_nerdctls_and_ctrs(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "bridge", "--default", "--subnet", "10.5.0.0/24")
    nerdctl.start("first", command=SLEEP)
    assert nerdctl.address("first").startswith("10.5.0.")
    containerd = nerdctl.containerd
    assert "10.5.0." in containerd.run_container("second", ["ip", "address"]).stdout


def test_networks_that_both_create_at_once_get_different_subnets(nerdctl: Nerdctl, network: Command) -> None:
    """nerdctl chooses its subnet outside its lock, so only ours must avoid what is there when it is
    written.
    """
    nerdctl.run("network", "create", "first")
    names = [f"net{number}" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: network.output("create", name), names))
    subnets = [network.inspect(name)["IPAM"]["Config"][0]["Subnet"] for name in ("first", *names)]
    assert len(set(subnets)) == len(subnets)


def test_a_removed_list_whose_containers_nerdctl_does_not_know_is_still_shown(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output("create", "custom", "--shared")
    tool = CniTool(host, tools.require(tools.cnitool), ours.BIN)
    assert tool.add("custom", host.add_netns("box")).status == 0
    assert nerdctl.output("network", "rm", "custom") == "custom"
    assert network.inspect("custom")["Linkspan"]["CreatedBy"] == "cache"
    assert list(network.containers("custom")) == ["box"]
    assert network("rm", "custom").returncode == 4


# --- podman
# -----------------------------------------------------------------------------------------------------------


def test_a_network_that_podman_made_is_shown_and_removed(
    host: PrivateHost, podman: Podman, network: Command
) -> None:
    podman.run("network", "create", "--label", "a=b", "--subnet", "10.7.0.0/24", "theirs")
    podman.start("web", "--network", "theirs", image="docker.io/library/box:1", command=SLEEP)
    found = network.inspect("theirs")
    assert (found["Labels"], found["Linkspan"]["CreatedBy"], found["Linkspan"]["DNS"]) == (
        {"a": "b"},
        "podman",
        True,
    )
    assert network.containers("theirs") == {"web": "10.7.0.2/24"}
    refused = network("rm", "theirs")
    assert (refused.returncode, "container web (eth0, 10.7.0.2/24)" in refused.stderr) == (4, True)
    podman.run("rm", "--force", "--time", "0", "web")
    bridge = found["Linkspan"]["Bridge"]
    assert bridge in host.links()
    assert network.output("rm", "theirs") == "theirs"
    assert "theirs" not in podman.output("network", "ls")
    assert bridge not in host.links()


def test_a_shared_network_of_ours_is_podmans_too(host: PrivateHost, podman: Podman, network: Command) -> None:
    network.output("create", "custom", "--shared")
    assert "custom" in podman.output("network", "ls", "--format", "{{.Name}}").split()
    podman.start(
        "web", "--network", "custom", "-p", "18080:80", image="docker.io/library/box:1", command=HTTPD
    )
    assert fetch(host, f"http://{HOST_V4}:18080/", netns=OUTSIDE) == "box\n"
    assert network.containers("custom") == {"web": "172.17.0.2/16"}
    refused = network("rm", "custom")
    host.run(["sh", "-euc", refused.stderr.partition("fix: ")[2]], env=podman.environment)
    assert network.output("rm", "custom") == "custom"


def test_podmans_default_network_is_shown_while_it_has_containers(podman: Podman, network: Command) -> None:
    podman.start("web", "--network", "podman", image="docker.io/library/box:1", command=SLEEP)
    assert "podman" in network.names()
    assert list(network.containers("podman")) == ["web"]


def test_a_podman_network_with_names_switched_off_and_a_label_is_read_by_podman(
    podman: Podman, network: Command
) -> None:
    podman.run("network", "create", "theirs")
    network.output("update", "theirs", "--no-dns", "--label", "env=prod")
    found = json.loads(podman.output("network", "inspect", "theirs"))[0]
    assert (found["dns_enabled"], found["labels"]) == (False, {"env": "prod"})


# --- CRI, cnitool
# -----------------------------------------------------------------------------------------------------


def test_cri_notices_a_default_network_as_it_is_created_and_removed(
    host: PrivateHost, archive: str, network: Command, resident: None
) -> None:
    directory, runc = tools.require(tools.containerd24), tools.require(tools.runc)
    with Containerd(host, directory, runc, namespace=POD_NAMESPACE) as containerd:
        containerd.load(archive)
        cri = Crictl(containerd, tools.require(tools.crictl))
        assert not becomes_ready(cri, patience=0.5)
        network.output("create", "pods", "--default", "--subnet", "10.5.0.0/24")
        assert becomes_ready(cri)
        pod = cri.run_pod("web")
        assert cri.status(pod)["network"]["ip"] == "10.5.0.2"
        assert network.containers("pods") == {"web": "10.5.0.2/24"}
        cri.stop(pod)
        cri.remove(pod)
        network.output("rm", "pods")
        assert not becomes_ready(cri, patience=2, wanted=False)


def becomes_ready(cri: Crictl, patience: float = 10, *, wanted: bool = True) -> bool:
    """Whether CRI has a network, once that is as wanted or patience ends."""
    deadline = time.monotonic() + patience
    while True:
        conditions = json.loads(cri.run("info"))["status"]["conditions"]
        ready = next(each["status"] for each in conditions if each["type"] == "NetworkReady")
        if ready == wanted or time.monotonic() > deadline:
            return bool(ready)
        time.sleep(0.05)


def test_containers_of_the_reference_plugins_are_shown_and_keep_their_network(
    host: PrivateHost, network: Command
) -> None:
    reference = tools.require(tools.reference_plugins)
    for plugin in os.listdir(reference):  # what hides them from runtimes
        host.run(["umount", f"{reference}/{plugin}"])
    document = ours.conflist("bridge")
    # The reference adds a default route for the key and one for the list's routes, which are the same.
    document["plugins"][0]["isGateway"] = document["plugins"][0].pop("isDefaultGateway")
    for plugin in document["plugins"]:
        for key in ("ipMasqBackend", "backend", "isolated"):
            plugin.pop(key, None)
    tool = CniTool(host, tools.require(tools.cnitool), reference)
    tool.network(document)
    netns = host.add_netns("box")
    answer = tool.add("bridge", netns)
    found = network.inspect("bridge")
    (container,) = found["Containers"].values()
    assert container["Name"] == "box"
    assert container["IPv4Address"] == answer.result["ips"][0]["address"]
    assert container["MacAddress"] == answer.result["interfaces"][2]["mac"]
    assert network("rm", "bridge").returncode == 4
    host.del_netns("box")
    assert network.containers("bridge") == {}


# --- Docker's shapes
# --------------------------------------------------------------------------------------------------


def test_an_inspected_network_has_the_shape_of_dockers_api(
    host: PrivateHost, nerdctl: Nerdctl, network: Command
) -> None:
    network.output(
        "create",
        "custom",
        "--ipv6",
        "--label",
        "a=b",
        "--opt",
        "mtu=1400",
        "--ip-range",
        "10.5.0.128/25",
        "--subnet",
        "10.5.0.0/24",
        "--aux-address",
        "router=10.5.0.130",
    )
    nerdctl.start("web", "--network", "custom", command=SLEEP)
    with open(tools.require(tools.docker_api), encoding="utf-8") as file:
        definitions = json_schema(yaml.safe_load(file)["definitions"])
    for name in ("custom", "bridge", "host", "none"):
        found = network.inspect(name)
        del found["Linkspan"]
        validator = Draft4Validator({"$ref": "#/definitions/NetworkInspect", "definitions": definitions})
        assert [f"{each.json_path}: {each.message}" for each in validator.iter_errors(found)] == []


def json_schema(definitions: dict[str, Any]) -> dict[str, Any]:
    """Swagger's definitions as JSON Schema, in which a network has no member that is not Docker's and lacks
    none that Docker never omits.
    """
    for one in ("IPAM", "IPAMConfig", "EndpointResource", "ConfigReference", "IPAMStatus", "SubnetStatus"):
        definitions[one]["additionalProperties"] = False
        definitions[one]["required"] = always(definitions[one]["properties"])
    network = definitions["NetworkInspect"]
    network["properties"] = {**definitions["Network"]["properties"], **network["properties"]}
    network["additionalProperties"] = False
    network["required"] = [*always(network["properties"]), "IPAM"]
    definitions["EndpointResource"]["minProperties"] = 5
    return definitions


def always(properties: dict[str, Any]) -> list[str]:
    """The members that Docker never omits."""
    return [name for name, each in properties.items() if each.get("x-omitempty") is False]


# --- who is not root, and who is killed
# -------------------------------------------------------------------------------


def test_who_is_not_root_sees_networks_and_changes_none(host: PrivateHost, network: Command) -> None:
    network.output("create", "custom", "--shared")
    CniTool(host, tools.require(tools.cnitool), ours.BIN).add("custom", host.add_netns("box"))
    nobody = ours.ordinary_user(host)
    shown = nobody("network", "ls", "--format", "{{.Name}}")
    assert shown.stdout.split() == ["custom", "host", "none"], shown.stderr
    inspected = nobody("network", "inspect", "custom")
    assert (inspected.returncode, "containers are shown to root only" in inspected.stderr) == (0, True)
    for verb in (["create", "other"], ["rm", "custom"], ["update", "custom", "--label", "a"]):
        refused = nobody("network", *verb)
        assert (refused.returncode, "(LS-G003)" in refused.stderr) == (5, True), refused.stderr


def test_a_command_that_is_killed_at_any_moment_leaves_what_the_next_one_clears(
    host: PrivateHost, network: Command
) -> None:
    tool = CniTool(host, tools.require(tools.cnitool), ours.BIN)

    def life() -> None:
        network("create", "custom", "--shared", "--subnet", "10.5.0.0/24")
        netns = host.add_netns("box")
        assert tool.add("custom", netns).status == 0
        assert tool.delete("custom", netns).status == 0
        host.del_netns("box")

    life()
    network.output("rm", "custom")
    chance = random.Random(7)
    with leaves_nothing(host):
        for _ in range(12):
            killed(host, chance.uniform(0.02, 0.3), "create", "custom", "--shared", "--subnet", "10.5.0.0/24")
            life()
            killed(host, chance.uniform(0.02, 0.4), "rm", "custom")
        network("rm", "custom")
        network.output("create", "other")
        network.output("rm", "other")
        left = host.run(["find", CONF_DIR, "-type", "f"]).stdout.split()
        assert left == [f"{CONF_DIR}/.nerdctl.lock"]


def killed(host: PrivateHost, after: float, *arguments: str) -> None:
    """Run a verb and kill it after so many seconds, if it still runs then."""
    process = host.popen([*COMMAND, "network", *arguments])
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_what_both_remove_at_once_is_removed_once(host: PrivateHost, network: Command) -> None:
    network.output("create", "custom")
    with ThreadPoolExecutor(4) as pool:
        codes = [each.returncode for each in pool.map(lambda _: network("rm", "custom"), range(4))]
    assert sorted(codes) == [0, 3, 3, 3]
