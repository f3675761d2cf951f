"""What runtimes leave on disk and in /run of their containers, recorded from real runs.

    recording = record(host, names={"<64 hex>": "web", ...})
    recording == load("nerdctl")              # tests/runtimes/test_containers.py
    placed(load("nerdctl"))                   # a host in memory with those files, for unit tests

A recording holds the files that `linkspan.runtime.containers` reads, the folders that it lists, and which paths are
the same network namespace. What differs from run to run is replaced: IDs by digests of the containers' names, process
numbers by small ones. So two recordings of the same containers are equal as long as the runtime has not changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from linkspan import paths
from linkspan.host.linux import LinuxHost
from linkspan.host.memory import MemoryHost
from linkspan.runtime import oci
from linkspan.runtime.containers import Containers
from tests.harness.privatehost import PrivateHost

FOLDER = Path(__file__).resolve().parent.parent / "unit" / "runtime" / "layouts"
_KEPT_ANNOTATIONS = re.compile(r"nerdctl/(name|namespace|networks|state-dir)|io\.kubernetes\.cri\..*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def record(host: PrivateHost, names: Mapping[str, str]) -> dict[str, Any]:
    """What is read of the containers of a private host. `names` is ID -> what to call the container."""
    with host.entered():
        linux = LinuxHost()
        try:
            reading = _Reading(linux)
            _ = Containers(reading).all  # type: ignore[arg-type]
        finally:
            linux.close()
    text = json.dumps(reading.recording(), sort_keys=True)
    for identifier, name in names.items():
        text = text.replace(identifier, fake_id(name)).replace(identifier[:12], fake_id(name)[:12])
    text = _UUID.sub("00000000-0000-0000-0000-000000000000", text)
    return _ordered(_renumbered(text))


def _renumbered(text: str) -> dict[str, Any]:
    """The recording with process numbers in the order of the files that hold them, also of ended processes."""
    files = json.loads(text)["files"]
    numbers = [files[each].strip() for each in sorted(files) if each.endswith(("/init.pid", "/pidfile"))]
    for at, number in enumerate(dict.fromkeys(numbers)):
        text = re.sub(rf"\b{number}\b", f"P{at}P", text)
    recording: dict[str, Any] = json.loads(re.sub(r"P(\d+)P", lambda found: str(1000 + int(found[1])), text))
    return recording


def _ordered(recording: dict[str, Any]) -> dict[str, Any]:
    """The recording with its folders in order, and namespaces named by the first path that leads to each."""
    groups: dict[str, list[str]] = {}
    for path, label in recording["namespaces"].items():
        groups.setdefault(label, []).append(path)
    labels = {label: label if label == "host" else min(group) for label, group in groups.items()}
    # A process that has ended may still be listed, until its parent has waited for it.
    ended = {each for each in recording["files"] if each.endswith("/cgroup")} - {
        each.replace("/ns/net", "/cgroup") for each in recording["namespaces"]
    }
    return {
        "files": {path: each for path, each in recording["files"].items() if path not in ended},
        "folders": sorted(recording["folders"]),
        "namespaces": {path: labels[each] for path, each in recording["namespaces"].items()},
    }


def fake_id(name: str) -> str:
    """The ID that a container of that name has in a recording."""
    return sha256(name.encode()).hexdigest()


def load(name: str) -> dict[str, Any]:
    """A recording that is kept."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def save(name: str, recording: Mapping[str, Any]) -> None:
    """Keep a recording."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(recording, indent=1, sort_keys=True)
    (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def placed(recording: Mapping[str, Any], host: MemoryHost | None = None) -> MemoryHost:
    """A host in memory with what was recorded."""
    made = host or MemoryHost()
    for folder in recording["folders"]:
        made.files.make_folder(folder)
    for path, content in recording["files"].items():
        made.files.write(path, content.encode())
    first: dict[str, str] = {"host": paths.OWN_NETNS}
    for path, namespace in recording["namespaces"].items():
        if path != paths.OWN_NETNS:
            made.add_netns(path, same_as=first.get(namespace, ""))
            first.setdefault(namespace, path)
    return made


class _Reading:
    """The host as `Containers` sees it, which notes what is read."""

    def __init__(self, host: LinuxHost) -> None:
        self._host = host
        self.files = self
        self._contents: dict[str, str] = {}
        self._folders: dict[str, tuple[str, ...]] = {}
        self._namespaces: dict[str, str] = {}

    def read(self, path: str) -> bytes | None:
        """See contract.Files."""
        content = self._host.files.read(path)
        if content is not None:
            self._contents[path] = _kept(path, content.decode())
        return content

    def names(self, folder: str) -> tuple[str, ...]:
        """See contract.Files."""
        found = self._host.files.names(folder)
        if found:
            self._folders[folder] = found
        return found

    def netns_identity(self, netns: str) -> str:
        """See contract.Host."""
        found = self._host.netns_identity(netns)
        if found:
            self._namespaces[netns] = found
        return found

    def recording(self) -> dict[str, Any]:
        """What was read. A folder that is listed counts with what is in it, also if nothing of it was read."""
        entries = {f"{folder}/{name}" for folder, names in self._folders.items() for name in names}
        return {
            "files": self._contents,
            "folders": sorted(
                each for each in entries - self._contents.keys() if each in self._folders or _is_id(each)
            ),
            "namespaces": self._labelled(),
        }

    def _labelled(self) -> dict[str, str]:
        """Path -> a word for the namespace: "host", or the first path that leads to it."""
        own = self._namespaces.get(paths.OWN_NETNS)
        first: dict[str, str] = {}
        for path in sorted(self._namespaces):
            first.setdefault(self._namespaces[path], path)
        return {path: "host" if each == own else first[each] for path, each in self._namespaces.items()}


def _is_id(path: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", path.rpartition("/")[2]) is not None


def _kept(path: str, content: str) -> str:
    """As much of a file as matters."""
    if path.endswith("/config.json"):
        return json.dumps(_kept_of_spec(json.loads(content)), sort_keys=True)
    if path.endswith("/containers.json"):
        return json.dumps([{key: each.get(key) for key in ("id", "names")} for each in json.loads(content)])
    if path.endswith("/cgroup"):
        return f"0::/{content.strip().rpartition('/')[2]}\n"
    if path.endswith((".toml", ".conf")):
        return "\n".join(
            re.findall(r"^(?:\[storage\]|(?:state|root|graphroot|runroot) = .*)$", content, re.MULTILINE)
        )
    return content


def _kept_of_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """As much of a config.json."""
    notes = {
        key: each for key, each in (spec.get("annotations") or {}).items() if _KEPT_ANNOTATIONS.fullmatch(key)
    }
    mounts = [each for each in spec["mounts"] if each["destination"] in oci.RESOLVER_FILES]
    mounts.sort(key=lambda each: str(each["destination"]))  # podman writes them in any order
    return {
        "annotations": notes,
        "hostname": spec.get("hostname", ""),
        "linux": {
            "cgroupsPath": spec["linux"].get("cgroupsPath", ""),
            "namespaces": [each for each in spec["linux"]["namespaces"] if each["type"] == "network"],
        },
        "mounts": [{key: each[key] for key in ("destination", "source")} for each in mounts],
    }
