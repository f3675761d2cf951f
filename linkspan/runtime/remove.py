"""Removing a network: its list, its bridge, what its containers shared, the directory of its leases.

The list is renamed first, so that no runtime attaches anybody any more, and deleted last. So a removal that
was interrupted is finished by the next command that changes networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from linkspan.cni.addresses import bridge_mac
from linkspan.cni.errors import CniError
from linkspan.runtime import names
from linkspan.runtime.attachments import Attachments
from linkspan.runtime.catalogue import Catalogue
from linkspan.runtime.endpoints import Endpoint, from_record
from linkspan.runtime.errors import NetworkInUse, PredefinedNetwork
from linkspan.runtime.files import Directory, Removal
from linkspan.runtime.network import Network
from linkspan.runtime.owners import Owner

if TYPE_CHECKING:
    from linkspan.host.contract import Host

Attached = Sequence[tuple[Endpoint, Owner]]


class Remover:
    """Removes networks of one directory. Wants its lock held, throughout."""

    def __init__(self, directory: Directory, host: Host, namespace: str) -> None:
        self._directory = directory
        self._host = host
        self._namespace = namespace

    @property
    def catalogue(self) -> Catalogue:
        """The networks as they are now, also those that have lost their lists."""
        return Attachments(self._host).completed(Catalogue(self._directory.lists(), self._namespace))

    def finish_interrupted(self) -> None:
        """Remove what is left of networks whose removal was interrupted. What still fails is a warning.

        If another network has their name or bridge by now, only the list is removed; if containers are
        attached, it is put back.
        """
        for each in self._directory.unfinished_removals():
            try:
                self._finish(each)
            except CniError as error:
                self._host.warn(f"network {each.list.name} is not removed completely: {error.msg}")

    def _finish(self, removal: Removal) -> None:
        shared = self._shared_with(removal)
        if not shared and Attachments(self._host).uses(Network(removal.list)):
            self._directory.restore(removal)
            return
        if not shared:
            self._remove_objects(removal)
        self._directory.forget(removal)

    def remove(self, network: Network) -> None:
        """Remove a network that no container is attached to.

        Raises PredefinedNetwork, NetworkInUse, CniError, OSError.
        """
        refuse_predefined(network)
        refuse_used(network, Attachments(self._host).of(network))
        removal = self._directory.put_aside(network.list)
        try:
            # Whoever had loaded the list already may have attached a container meanwhile.
            refuse_used(network, self._attached_meanwhile(network))
        except Exception:
            self._directory.restore(removal)
            raise
        self._remove_objects(removal)
        self._directory.forget(removal)

    def _attached_meanwhile(self, network: Network) -> Attached:
        """The network's endpoints once every ADD that has begun has ended."""
        from linkspan.call.records import Records

        for attachment, record in Records(self._host, "bridge").all():
            endpoint = from_record(attachment, record)
            if attachment.network == network.name and endpoint.bridge == network.bridge:
                with self._host.files.lock_attachment("bridge", attachment):
                    pass
        return Attachments(self._host).of(network)

    def _remove_objects(self, removal: Removal) -> None:
        """Remove what attachments left that ended without a DEL, what all of them shared, and the bridge."""
        from linkspan.call.transaction import best_effort
        from linkspan.runtime.invoke import remove_network

        network, shared = Network(removal.list), self._shared_with(removal)
        attachments = [endpoint.attachment for endpoint, _ in Attachments(self._host).all()]
        valid = [each for each in attachments if each.network == network.name]
        best_effort(
            partial(remove_network, removal.list, self._host, valid, keep_shared=shared),
            *([] if shared else [partial(self._remove_bridge, network)]),
        )

    def _remove_bridge(self, network: Network) -> None:
        """Remove a network's bridge, unless links are ports of it or an administrator may have created it."""
        links = self._host.links()
        link = links.get(network.bridge) if network.bridge else None
        if link is None or link.kind != "bridge" or links.all(master=link.index):
            return
        if link.mac == bridge_mac(link.name) or has_own_bridge(network):
            links.delete(link.name)
        else:
            self._host.warn(
                f"the bridge {link.name} stays: it was not created for the network {network.name}"
            )

    def _shared_with(self, removal: Removal) -> bool:
        """Whether another list has the network's name, and so its leases, or its bridge."""
        gone = Network(removal.list)
        return any(_shares(Network(each), gone) for each in self._directory.lists())


def _shares(one: Network, other: Network) -> bool:
    """Whether two networks share a bridge, or a name and so the directory of leases."""
    return one.name == other.name or (bool(one.bridge) and one.bridge == other.bridge)


def has_own_bridge(network: Network) -> bool:
    """Whether a bridge is the network's by its name, whichever plugin created it: nerdctl's or
    podman's rule.
    """
    if network.bridge == names.default_bridge(network.name):
        return True
    return network.creator in ("nerdctl", "podman")


def refuse_predefined(network: Network) -> None:
    """Raise PredefinedNetwork for a network that runtimes define."""
    if network.is_builtin:
        fix = "" if network.name in (names.HOST, names.NONE) else f"delete {network.list.path} by hand"
        raise PredefinedNetwork(f"{network.name} is a pre-defined network and cannot be removed", fix=fix)


def refuse_used(network: Network, attached: Attached) -> None:
    """Raise NetworkInUse, with the containers and the command that frees the network, if there are any."""
    if attached:
        raise NetworkInUse(
            f"network {network.name} is in use: it has active endpoints",
            by=[described(endpoint, owner) for endpoint, owner in attached],
            fix="; ".join(
                dict.fromkeys(
                    disconnected_by(network, owner) if endpoint.connected else freed_by(network, owner)
                    for endpoint, owner in attached
                )
            ),
        )


def described(endpoint: Endpoint, owner: Owner) -> str:
    """An endpoint in a message: `container web (eth0, 172.17.0.2/16)`."""
    where = ", ".join((endpoint.attachment.ifname, *endpoint.addresses))
    return f"container {owner.name} ({where})"


def disconnected_by(network: Network, owner: Owner) -> str:
    """The command that detaches a container that `linkspan connect` attached."""
    return f"linkspan disconnect {network.name} {owner.name}"


def freed_by(network: Network, owner: Owner) -> str:
    """The command that detaches a container from a network, by the means of its runtime."""
    commands = {
        "nerdctl": f"nerdctl --namespace {owner.namespace} stop {owner.name}",
        "podman": f"podman network disconnect {network.name} {owner.name}",
        "cri": f"crictl stopp {owner.id[:13]}",
        "ctr": f"ctr --namespace {owner.namespace} task kill --signal SIGKILL {owner.name}",
    }
    return commands.get(owner.runtime, f"detach {owner.name}")


def prunable(
    networks: Iterable[Network], first_of_root: str, is_used: Callable[[Network], bool]
) -> list[Network]:
    """The networks that `prune` removes: made by a program, not a default network of any runtime,
    without containers.
    """
    return [
        each
        for each in networks
        if each.creator in ("linkspan", "nerdctl", "podman")
        and not each.is_builtin
        and each.list.path != first_of_root
        and not is_used(each)
    ]
