"""Drives a containerd's CRI with `crictl`, the way a kubelet makes and removes pods.

    with Containerd(host, directory, runc, namespace=POD_NAMESPACE) as containerd:
        containerd.load(write_image(path, [BOX, *PAUSE], busybox, command=["sleep", "inf"]))
        cri = Crictl(containerd, require(tools.crictl))
        pod = cri.run_pod("web", ports=[{"host_port": 18080, "container_port": 80}])
        cri.status(pod)["network"]["ip"]

containerd calls the `loopback` plugin and the network's plugins at the same time; capabilities carry Go's own field
names (`HostPort`); DEL comes at stop and again at remove, the later ones without a namespace and previous result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.harness.containerd import BOX, Containerd

POD_NAMESPACE = "k8s.io"
"""The containerd namespace in which CRI keeps its images and containers."""
PAUSE = ("registry.k8s.io/pause:3.6", "registry.k8s.io/pause:3.10")
"""The names of the image that holds a pod's namespaces, as the harness configures containerd 1.6 and 2.4."""

_FILES = "/run/crictl-under-test"


class Crictl:
    """crictl with its settings; pods and containers are named by what they were asked to be called."""

    def __init__(self, containerd: Containerd, program: str) -> None:
        self.containerd = containerd
        self._argv = [program, "--runtime-endpoint", f"unix://{containerd.socket}", "--timeout", "20s"]

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run crictl and return what it printed, errors included when `check` is off."""
        done = self.containerd.host.run([*self._argv, *arguments], check=check)
        return done.stdout if check else done.stdout + done.stderr

    def run_pod(
        self,
        name: str,
        *,
        ports: Sequence[Mapping[str, Any]] = (),
        dns: Mapping[str, Any] | None = None,
        check: bool = True,
    ) -> str:
        """Make a pod and return its id; `ports` and `dns` are CRI's port_mappings and dns_config."""
        return self.run("runp", self._pod(name, ports, dns), check=check).strip()

    def start(self, pod: str, name: str, command: Sequence[str]) -> str:
        """Start a container of the test image in a pod made by `run_pod` and return its id."""
        config = self._write(
            f"{name}-container",
            {"metadata": {"name": name}, "image": {"image": BOX}, "command": list(command), "linux": {}},
        )
        pod_name = self.status(pod)["metadata"]["name"]
        container = self.run("create", "--no-pull", pod, config, f"{_FILES}/{pod_name}-pod.json").strip()
        self.run("start", container)
        return container

    def execute(self, container: str, *command: str) -> str:
        """Run a command in a container and return what it printed; crictl adds empty lines, which are left out."""
        return self.run("exec", "--sync", container, *command).rstrip("\n") + "\n"

    def stop(self, pod: str) -> None:
        """Stop a pod: its network goes away."""
        self.run("stopp", pod)

    def remove(self, pod: str) -> None:
        """Remove a stopped pod; containerd sends DEL once more."""
        self.run("rmp", pod)

    def status(self, pod: str) -> dict[str, Any]:
        """Return a pod's status."""
        found: dict[str, Any] = json.loads(self.run("inspectp", pod))["status"]
        return found

    def addresses(self, pod: str) -> list[str]:
        """Return every address of a pod, the one called primary first."""
        network = self.status(pod)["network"]
        return [network["ip"], *(extra["ip"] for extra in network.get("additionalIps", ()))]

    def network_ready(self) -> tuple[bool, str]:
        """Return the runtime condition NetworkReady and the message beside it; asks every plugin's STATUS if it may."""
        conditions = json.loads(self.run("info"))["status"]["conditions"]
        found = next(one for one in conditions if one["type"] == "NetworkReady")
        return found["status"], found["message"]

    def wait_until(self, ready: Callable[[tuple[bool, str]], bool], patience: float = 10) -> tuple[bool, str]:
        """Ask `network_ready` until `ready(answer)` holds or `patience` seconds are over; return the last answer."""
        deadline = time.monotonic() + patience
        while not ready(answer := self.network_ready()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return answer

    def _pod(self, name: str, ports: Sequence[Mapping[str, Any]], dns: Mapping[str, Any] | None) -> str:
        config: dict[str, Any] = {
            "metadata": {"name": name, "namespace": "tests", "uid": f"uid-{name}", "attempt": 0},
            "hostname": name,
            "port_mappings": [{"protocol": 0, **port} for port in ports],
            "linux": {},
        }
        if dns is not None:
            config["dns_config"] = dns
        return self._write(f"{name}-pod", config)

    def _write(self, name: str, config: Mapping[str, Any]) -> str:
        path = f"{_FILES}/{name}.json"
        self.containerd.host.write(path, json.dumps(config))
        return path
