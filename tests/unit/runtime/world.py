"""A configuration directory on disk and a host in memory, on which containers are attached to the
networks of its lists.
"""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from linkspan.call.plugin import MODULES
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.runtime.cache import entry_of
from linkspan.runtime.create import Created, CreateOptions, create
from linkspan.runtime.files import Directory
from linkspan.runtime.lists import NetworkList
from linkspan.runtime.network import Network
from linkspan.runtime.remove import Remover
from tests.harness.memory import BOX, Desk


class World:
    """`told` are the warnings about files that are not lists."""

    def __init__(self, path: Path, host: MemoryHost | None = None) -> None:
        self.path = path
        self.host = host or MemoryHost()
        self.told: list[str] = []
        self.directory = Directory(str(path), self.told.append)

    def create(self, name: str = "custom", **fields: Any) -> Created:
        """Create a network without names, whose plugin needs a process."""
        options = {key: fields.pop(key) for key in ("ignore", "dry_run") if key in fields}
        order = CreateOptions(name=name, **{"dns": False, **fields})
        return create(order, self.directory, self.host, **options)

    def write(self, path: str, document: dict[str, Any]) -> None:
        """Write a list as another program does."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document))

    def network(self, name: str) -> Network:
        """A network of the directory."""
        return Remover(self.directory, self.host, "default").catalogue.find(name)

    def names(self) -> list[str]:
        """The networks that have lists."""
        return [each.name for each in self.directory.lists()]

    def remove(self, name: str) -> None:
        """Remove a network as `rm` does."""
        with self.directory.locked():
            remover = Remover(self.directory, self.host, "default")
            remover.finish_interrupted()
            remover.remove(remover.catalogue.find(name))

    def attach(self, name: str, container_id: str = "c1", **fields: Any) -> Attachment:
        """Attach a container as a runtime does with libcni, which keeps list and result.

        Our plugins are in /opt/cni/bin. `fields` are further ones of libcni's entry.
        """
        for each in MODULES:
            self.host.processes.own[f"/opt/cni/bin/{each}"] = each
        one = self.network(name).list
        result = self.call("ADD", one, container_id).result
        attachment = Attachment(name, container_id, "eth0")
        entry = {
            "kind": "cniCacheV1",
            "containerId": container_id,
            "ifName": "eth0",
            "networkName": name,
            "netns": BOX,
            "config": b64encode(json.dumps(one.document).encode()).decode(),
            "result": result,
            **fields,
        }
        self.host.files.write(entry_of(attachment), json.dumps(entry).encode())
        return attachment

    def call(self, verb: str, one: NetworkList, container_id: str = "c1") -> Desk:
        """Call a list's plugins for a container."""
        desk = Desk(self.host, network=one.name, version="1.0.0")
        for plugin in one.plugins if verb == "ADD" else reversed(one.plugins):
            previous = {"prevResult": desk.result} if desk.result else {}
            answer = desk.call(verb, {**plugin, **previous}, container_id=container_id)
            assert answer.status == 0, answer.document
        return desk
