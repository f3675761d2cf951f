"""Records of the attachments that `linkspan connect` made: what it takes to make them again.

They are in /var/lib, because a container may be started again after a boot. A file has libcni's shape
(api.go: cachedInfo) and a key of ours, so it is read like libcni's entries; it is not among those, because a
runtime would detach a container that it does not know to be attached.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linkspan import paths
from linkspan.call.chain import Chain
from linkspan.call.records import read_json
from linkspan.cni.errors import CniError
from linkspan.cni.json_value import parse_json
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from linkspan.host.contract import Files, Host

#: Our key in a file.
OURS = "linkspan"
#: The anchor of a connection that has none yet.
ANY = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An attachment that `linkspan connect` made.

    * `chain` has the list's bytes, and as `prev_result` what its ADD returned, nothing while it is detached.
    * `anchor` is network and interface of the attachment of the runtime's that it follows; ANY is the next
      one that a plugin of ours makes.
    * `addresses` (CIDR) are those that it had last, `boot` is `Host.boot` then.
    * `container` is the container's name, for messages.
    * `netns_identity` is that of the namespace at `chain.netns`, "" in a file of an earlier build: the path
      may lead to another one by now.
    """

    chain: Chain
    anchor: tuple[str, str]
    addresses: tuple[str, ...] = ()
    boot: str = ""
    container: str = ""
    netns_identity: str = ""

    @property
    def attachment(self) -> Attachment:
        """The network, container ID and interface."""
        assert self.chain.attachment is not None  # noqa: S101 - `of` and `connect` give it
        return self.chain.attachment

    @property
    def is_interrupted(self) -> bool:
        """Whether attaching it was begun and not ended. Wants the container's lock held."""
        return bool(self.chain.netns) and not self.chain.prev_result

    def to_json(self) -> dict[str, Any]:
        """The content of its file."""
        chain, attachment = self.chain, self.attachment
        return {
            "kind": "cniCacheV1",
            "containerId": attachment.container_id,
            "ifName": attachment.ifname,
            "networkName": attachment.network,
            "netns": chain.netns,
            "config": b64encode(json.dumps(chain.document).encode()).decode(),
            "cniArgs": [list(each) for each in chain.args.items()],
            "capabilityArgs": dict(chain.capabilities),
            "result": dict(chain.prev_result),
            OURS: {
                "anchor": list(self.anchor),
                "addresses": list(self.addresses),
                "boot": self.boot,
                "container": self.container,
                "netns": self.netns_identity,
                "path": chain.path,
                "version": chain.version,
            },
        }


def of(document: Any) -> Connection | None:
    """What `to_json` made; None for anything else."""
    try:
        ours = document[OURS]
        network, ifname = map(str, ours["anchor"])
        return Connection(
            chain=_chain(document),
            anchor=(network, ifname),
            addresses=tuple(map(str, ours["addresses"])),
            boot=str(ours["boot"]),
            container=str(ours["container"]),
            netns_identity=str(ours.get("netns", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, NotBase64):
        return None


def _chain(document: Mapping[str, Any]) -> Chain:
    attachment = Attachment(
        str(document["networkName"]), str(document["containerId"]), str(document["ifName"])
    )
    return Chain(
        network=attachment.network,
        document=dict(parse_json(b64decode(document["config"]))),
        version=str(document[OURS]["version"]),
        path=str(document[OURS]["path"]),
        attachment=attachment,
        netns=str(document["netns"]),
        args={str(key): str(value) for key, value in document["cniArgs"]},
        capabilities=dict(document["capabilityArgs"]),
        prev_result=dict(document["result"]),
    )


def of_container(files: Files, container_id: str) -> list[Connection]:
    """The connections of a container. Raises IoFailure."""
    folder = paths.connections(container_id)
    found = (of(read_json(files, f"{folder}/{name}")) for name in files.names(folder))
    return [each for each in found if each is not None]


def every(files: Files) -> Iterator[Connection]:
    """All connections. Raises IoFailure."""
    for container_id in files.names(paths.connections()):
        yield from of_container(files, container_id)


def write(files: Files, connection: Connection) -> None:
    """Create or replace its file."""
    data = json.dumps(connection.to_json(), indent=1).encode()
    files.write(_path(connection.attachment), data)


def remove(files: Files, attachment: Attachment) -> None:
    """Remove its file, and the folder with the container's last one."""
    files.remove(_path(attachment))
    files.remove_folder(paths.connections(attachment.container_id))


def _path(attachment: Attachment) -> str:
    return f"{paths.connections(attachment.container_id)}/{attachment.key}.json"


def is_gone(one: Connection, host: Host) -> bool:
    """Whether the attachment does not exist: it was not made in this boot, or its host link is gone.

    One without a host link exists as long as the namespace.
    """
    if one.boot != host.boot or not one.chain.prev_result:
        return True
    names, links = _host_links(one.chain.prev_result), host.links()
    if not names:
        return not host.netns_identity(one.chain.netns)
    return all(links.get(each) is None for each in names)


def spared(host: Host, network: str) -> frozenset[tuple[str, str]]:
    """The connections to a network that exist, as (container ID, interface): no GC removes them, because no
    runtime knows them.
    """
    found = set()
    with suppress(CniError):
        for each in every(host.files):
            if each.chain.network == network and not is_gone(each, host):
                found.add((each.attachment.container_id, each.attachment.ifname))
    return frozenset(found)


def _host_links(result: Mapping[str, Any]) -> list[str]:
    """The host's end of the pair: the last interface of a result that is not in the container."""
    interfaces = result.get("interfaces")
    found = interfaces if isinstance(interfaces, list) else []
    outside = [
        str(each.get("name")) for each in found if isinstance(each, Mapping) and not each.get("sandbox")
    ]
    return outside[-1:]
