"""Creating a network: options become a list file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, Literal

from linkspan.cni.addresses import LEAST_MTU
from linkspan.runtime import lists, names, occupied, options, subnets
from linkspan.runtime.catalogue import Catalogue
from linkspan.runtime.compose import NewNetwork, compose, encode
from linkspan.runtime.errors import (
    BridgeInUse,
    NetworkExists,
    NoFreeSubnet,
    PredefinedNetwork,
    SubnetInUse,
    Usage,
)
from linkspan.runtime.network import MTU_OPTION, NAME_OPTION, Subnet
from linkspan.runtime.pools import ula_pool
from linkspan.runtime.remove import Remover
from linkspan.steps.occupied import Used

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Links
    from linkspan.runtime.files import Directory

#: Where a list goes: for nerdctl only, in the root for every runtime, or there as the first file.
Place = Literal["namespace", "shared", "default"]
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions:
    """A network as the user describes it, with texts as they were typed. `dns` None means the default."""

    name: str
    driver: str = "bridge"
    subnets: Sequence[str] = ()
    gateways: Sequence[str] = ()
    ip_ranges: Sequence[str] = ()
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    ipv4: bool = True
    ipv6: bool = False
    internal: bool = False
    dns: bool | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()
    place: Place = "namespace"
    namespace: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The list of a new network and its file; `warnings` are sentences. `existed` if nothing was done."""

    id: str
    path: str = ""
    data: bytes = b""
    warnings: tuple[str, ...] = ()
    existed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """Options with valid values."""

    subnets: tuple[Subnet, ...]
    options: Mapping[str, str]
    families: tuple[int, ...]


def create(
    given: CreateOptions, directory: Directory, host: Host, *, ignore: bool = False, dry_run: bool = False
) -> Created:
    """Create the network, or with `dry_run` only its list. With `ignore` one that exists is left as it is.

    Raises CommandError, CniError, OSError.
    """
    checked = _checked(given)
    if dry_run:
        return _created(given, checked, directory, host, ignore=ignore)
    with directory.locked():
        Remover(directory, host, given.namespace).finish_interrupted()
        created = _created(given, checked, directory, host, ignore=ignore)
        if not created.existed:
            _remove_idle_bridge(given, checked, host.links())
            directory.write(created.path, created.data)
    return created


def _checked(given: CreateOptions) -> _Checked:
    """Raises Usage, PredefinedNetwork for what is wrong whatever the host looks like."""
    if given.driver != "bridge":
        _refuse_driver(given.driver)
    if given.name in (names.HOST, names.NONE):
        raise NetworkExists(f"network with name {given.name} already exists", fix="choose another name")
    if not names.is_valid(given.name):
        raise Usage(
            f"invalid network name {given.name!r}",
            fix=f"2 to {names.LONGEST} letters, digits, '_', '.' and '-', the first a letter or digit",
        )
    if not names.is_namespace(given.namespace):
        raise Usage(f"invalid namespace {given.namespace!r}", fix="letters, digits, '_', '.' and '-'")
    try:
        chosen = options.parse(given.options)
        paired = subnets.pair(given.subnets, given.gateways, given.ip_ranges, given.auxiliary)
    except (options.InvalidOption, subnets.InvalidAddress) as error:
        raise Usage(str(error), fix=error.fix) from None
    return _Checked(subnets=paired, options=chosen, families=_families(given, paired, chosen))


def _refuse_driver(driver: str) -> None:
    if driver in ("host", "null", names.NONE):
        name = "null" if driver == names.NONE else driver
        raise PredefinedNetwork(
            f'only one instance of "{name}" network is allowed',
            fix=f"use the network {'host' if name == 'host' else names.NONE}",
        )
    raise Usage(f"driver {driver!r} is not supported", fix="bridge, or write a list for that plugin by hand")


def _families(given: CreateOptions, paired: Sequence[Subnet], chosen: Mapping[str, str]) -> tuple[int, ...]:
    """The address families: an IPv6 subnet that is given counts as --ipv6. Raises Usage."""
    if not given.ipv4 and any(not each.is_ipv6 for each in paired):
        raise Usage("an IPv4 subnet is given for a network without IPv4", fix="remove --ipv4=false")
    ipv6 = given.ipv6 or any(each.is_ipv6 for each in paired)
    families = (*((4,) if given.ipv4 else ()), *((6,) if ipv6 else ()))
    if not families:
        raise Usage("IPv4 or IPv6 must be enabled", fix="add --ipv6")
    mtu = int(chosen.get(MTU_OPTION, "0"))
    if ipv6 and 0 < mtu < LEAST_MTU[6]:
        raise Usage(f"MTU {mtu} is too small for IPv6", fix="at least 1280 bytes (RFC 8200)")
    return families


def _created(
    given: CreateOptions, checked: _Checked, directory: Directory, host: Host, *, ignore: bool
) -> Created:
    catalogue = Catalogue(directory.lists(), given.namespace)
    present = catalogue.named(given.name)
    if present is not None:
        if ignore:
            return Created(id=present.id, existed=True)
        raise NetworkExists(
            f"network with name {given.name} already exists",
            by=[present.list.path],
            fix="choose another name, or --ignore",
        )
    bridge = checked.options.get(NAME_OPTION) or names.default_bridge(given.name)
    _refuse_shared_bridge(bridge, catalogue)
    used = [*_used_by_networks(catalogue), *occupied.used(host, except_link=bridge)]
    network = _new_network(given, checked, _complete(checked, used, host), occupied.default_mtu(host.links()))
    return Created(
        id=names.network_id(given.name),
        path=_path(given, directory),
        data=encode(compose(network)),
        warnings=tuple(_warnings(given, network, used, catalogue)),
    )


def _new_network(
    given: CreateOptions, checked: _Checked, complete: tuple[Subnet, ...], mtu: int
) -> NewNetwork:
    return NewNetwork(
        name=given.name,
        subnets=complete,
        created=time.time_ns(),
        internal=given.internal,
        # As in Docker: the default network has no name server.
        dns=given.place != "default" if given.dns is None else given.dns,
        mtu=_mtu(mtu, checked.families),
        labels=given.labels,
        options=checked.options,
    )


def _mtu(of_host: int, families: Sequence[int]) -> int:
    """The MTU for a host whose default route has that of `of_host`; 0 if it need not be set."""
    least = LEAST_MTU[6 if 6 in families else 4]
    return 0 if of_host in (0, occupied.ETHERNET_MTU) else max(of_host, least)


def _complete(checked: _Checked, used: Sequence[Used], host: Host) -> tuple[Subnet, ...]:
    """The subnets with those chosen from the pools. Raises SubnetInUse, NoFreeSubnet."""
    ula = ula_pool(occupied.machine_id(host))
    try:
        return subnets.completed(checked.subnets, checked.families, used, ula)
    except subnets.PoolOverlap as error:
        family = 6 if ":" in error.subnet else 4
        free = subnets.next_free(family, used, ula)
        raise SubnetInUse(
            f"subnet {error.subnet}: Pool overlaps with other one on this address space",
            by=_causes(error.used),
            fix=f"--subnet {free}, which is free" if free else "choose another subnet",
        ) from None
    except subnets.PoolsExhausted as error:
        raise NoFreeSubnet(
            "all predefined address pools have been fully subnetted",
            by=_causes(error.used),
            fix="give a free subnet with --subnet, or remove networks with `linkspan network prune`",
        ) from None


def _causes(used: Sequence[Used]) -> list[str]:
    shown = [f"{each.by}: {each.network}" for each in used[:_SHOWN]]
    more = len(used) - _SHOWN
    return [*shown, f"and {more} more"] if more > 0 else shown


def _used_by_networks(catalogue: Catalogue) -> Iterator[Used]:
    for network in catalogue.defined:
        for text in (*(each.subnet for each in network.subnets), *network.static_addresses):
            with suppress(ValueError):
                yield Used(ip_network(text, strict=False), f"network {network.name}")


def _refuse_shared_bridge(bridge: str, catalogue: Catalogue) -> None:
    other = next((each for each in catalogue.defined if each.bridge == bridge), None)
    if other is not None:
        raise BridgeInUse(
            f"bridge name {bridge} is already used",
            by=[f"network {other.name}"],
            fix="choose another name with --opt com.docker.network.bridge.name=NAME",
        )


def _remove_idle_bridge(given: CreateOptions, checked: _Checked, links: Links) -> None:
    """Remove a bridge that has the network's own name: an earlier one's list was removed, its bridge was not.

    It may have an address of another subnet. Raises BridgeInUse if it still has ports.
    """
    bridge = names.default_bridge(given.name)
    link = links.get(bridge) if NAME_OPTION not in checked.options else None
    if link is None:
        return
    if links.all(master=link.index):
        raise BridgeInUse(
            f"bridge {bridge} of an earlier network {given.name} still has containers",
            fix="remove those containers, or choose another name",
        )
    links.delete(bridge)


def _path(given: CreateOptions, directory: Directory) -> str:
    """The new file. Raises PredefinedNetwork if no name of ours would be the first."""
    if given.place == "namespace":
        return f"{directory.path}/{given.namespace}/{lists.namespaced_file(given.name)}"
    present = directory.root_files()
    if given.place == "shared":
        return f"{directory.path}/{lists.shared_file(given.name, present)}"
    name = lists.default_file(given.name, present)
    if not name:
        raise PredefinedNetwork(
            "another list is the default network",
            by=[f"{directory.path}/{min(present)} comes first"],
            fix="rename that file so that it begins with a number above 10",
        )
    return f"{directory.path}/{name}"


def _warnings(
    given: CreateOptions, network: NewNetwork, used: Sequence[Used], catalogue: Catalogue
) -> Iterator[str]:
    for subnet, one in subnets.in_wide_routes(network.subnets, used):
        yield f"subnet {subnet} lies inside the {one.by}, which does not lead to its addresses any more"
    roots = [each for each in catalogue.defined if not each.namespace]
    if given.place == "shared" and not roots:
        yield f"{given.name} is the only list in the root of the directory, and so CRI's and ctr's network"
