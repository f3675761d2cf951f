"""What must be known of the host before an address is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_host_local_ipam.leases.contract import UNREADABLE, Owner
from cni_host_local_ipam.leases.files import FileLeases
from linkspan.cni.errors import InvalidConfig, NotAFile
from linkspan.cni.model import Dns

if TYPE_CHECKING:
    from cni_host_local_ipam.config import Config
    from cni_host_local_ipam.leases.contract import Leases
    from linkspan.cni.addresses import Ip
    from linkspan.cni.model import Request
    from linkspan.host.contract import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The leases of a network, as far as a choice depends on them.

    `owners` has every address with a lease: its owner, None for a lease that does not count any more,
    UNREADABLE also for a lease that the choice does not depend on. `cursors` has the address that was last
    allocated in turn from each range set, `released` the order of recently released addresses.
    """

    owners: Mapping[str, Owner | None]
    cursors: tuple[Ip | None, ...]
    released: Mapping[str, int]

    def is_free(self, ip: Ip) -> bool:
        """Whether nobody holds an address."""
        return self.owners.get(str(ip)) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What ADD decides from. `present` are the addresses that the attachment has already."""

    pool: Pool
    present: tuple[Ip, ...]
    dns: Dns


def read_facts(request: Request, config: Config, host: Host) -> Facts:
    """The facts. The lock of the leases must be held. Raises InvalidConfig if resolvConf cannot be read."""
    leases = FileLeases(host, config.folder)
    names = leases.names()
    held = leases.held_by(request.attachment, leases.foreign(names))
    return Facts(
        pool=_pool(config, leases, names),
        present=tuple(ip for ip in held if leases.owner(ip) is not None),
        dns=_dns(config, host),
    )


def read_pool(config: Config, host: Host) -> Pool:
    """What a choice from each range set depends on. A directory that does not exist is not created."""
    leases = FileLeases(host, config.folder)
    if not leases.exists():
        return Pool(owners={}, cursors=(None,) * len(config.sets), released={})
    with leases.locked():
        return _pool(config, leases, leases.names())


def _pool(config: Config, leases: Leases, names: frozenset[str]) -> Pool:
    cursors = tuple(leases.cursor(number) for number in range(len(config.sets)))
    released = leases.released()
    owners: dict[str, Owner | None] = dict.fromkeys(names, UNREADABLE)
    for ip in _in_question(config, cursors, owners, released):
        if str(ip) in names:
            owners[str(ip)] = leases.owner(ip)
    return Pool(owners=owners, cursors=cursors, released=released)


def _in_question(
    config: Config,
    cursors: tuple[Ip | None, ...],
    owners: Mapping[str, Owner | None],
    released: Mapping[str, int],
) -> Iterator[Ip]:
    """The requested addresses, else those of a range set in turn up to the first that can be allocated.

    `owners` is filled in meanwhile. So a lease is read only if the choice depends on it.
    """
    for number, one in enumerate(config.sets):
        if number in config.requested:
            yield config.requested[number]
            continue
        for ip in one.candidates(cursors[number]):
            yield ip
            if owners.get(str(ip)) is None and str(ip) not in released:
                break


def _dns(config: Config, host: Host) -> Dns:
    if not config.resolv_conf:
        return Dns()
    try:
        content = host.files.read(config.resolv_conf)
    except NotAFile:
        content = None
    if content is None:
        raise InvalidConfig(
            f"$.ipam.resolvConf: {config.resolv_conf} is not a readable file",
            "give the path of a resolv.conf, or remove the key",
        )
    return parse_resolv_conf(content.decode(errors="replace"))


def parse_resolv_conf(text: str) -> Dns:
    """resolv.conf(5) as a result's `dns`.

    Name servers, search domains and options add up over the lines; of several `domain` lines the last counts.
    """
    found: dict[str, list[str]] = {"nameserver": [], "domain": [], "search": [], "options": []}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;" or words[0] not in found:
            continue
        found[words[0]] += words[1:] if words[0] in ("search", "options") else words[1:2]
    return Dns(
        nameservers=tuple(found["nameserver"]),
        domain=found["domain"][-1] if found["domain"] else "",
        search=tuple(found["search"]),
        options=tuple(found["options"]),
    )
