"""The nouns of the CNI contract as frozen values. Words and shapes are those of SPEC 1.1.0.

Nothing here reads or writes anything: `request` and `result` turn bytes into these values and back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha512
from typing import Any

from linkspan.cni.addresses import Family, family_of, local_mac, without_prefix
from linkspan.cni.errors import shortened

#: A container ID that runtimes shorten, perhaps behind containerd's namespace; others are shown to a length.
_LONG_ID, _SHOWN = re.compile(r"(?:.+-)?([0-9a-f]{12})[0-9a-f]{52}", re.ASCII), 32
NO_EXTRA: Mapping[str, Any] = {}
#: The bridge of a list that names none, and the interface that a runtime makes first.
DEFAULT_BRIDGE, FIRST_IFNAME = "cni0", "eth0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One element of a result's `interfaces`. `sandbox` is CNI_NETNS to the letter, or "" on the host."""

    name: str
    mac: str = ""
    sandbox: str = ""
    mtu: int | None = None
    socket_path: str = ""
    pci_id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One element of a result's `ips`: `address` in CIDR form, `interface` an index into `interfaces`."""

    address: str
    gateway: str = ""
    interface: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ip(self) -> str:
        """The address without its prefix length."""
        return without_prefix(self.address)

    @property
    def family(self) -> Family:
        """4 or 6."""
        return family_of(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One element of a result's `routes`. None is "not said": table 0 and scope 0 are values."""

    dst: str
    gw: str = ""
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> Family:
        """4 or 6."""
        return family_of(self.dst)

    @property
    def is_default(self) -> bool:
        """Whether this is a way out: 0.0.0.0/0 or ::/0."""
        return self.dst.endswith("/0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """A result's `dns`."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.nameservers or self.domain or self.search or self.options)


NO_DNS = Dns()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What ADD answers and what arrives as `prevResult`, whatever the version on the wire."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Dns = NO_DNS
    extra: Mapping[str, Any] = field(default_factory=dict)

    def host_side(self) -> tuple[Interface, ...]:
        """The interfaces outside any sandbox, in order: with `bridge`, the bridge and the host end."""
        return tuple(each for each in self.interfaces if not each.sandbox)

    def interface_of(self, ifname: str) -> Interface | None:
        """The container's interface `ifname`; a link of that name on the host is another one."""
        return next((each for each in self.interfaces if each.sandbox and each.name == ifname), None)

    def addresses_of(self, ifname: str) -> tuple[Address, ...]:
        """The addresses on the container's interface `ifname`; an address with no index counts as its own."""
        mine = {i for i, each in enumerate(self.interfaces) if each.sandbox and each.name == ifname}
        return tuple(ip for ip in self.ips if ip.interface is None or ip.interface in mine)


@dataclass(frozen=True, slots=True, order=True)
class Attachment:
    """One container interface on one network: the only key by which we find again what we made.

    Everything computed here depends on nothing but these three words, so DEL and GC need no saved state.
    """

    network: str
    container_id: str
    ifname: str

    @property
    def key(self) -> str:
        """32 hex digits, for file names and comments: a network name or an id may be longer than either
        allows.
        """
        return self._digest("key")[:32]

    @property
    def host_veth(self) -> str:
        """The host end's name: ``veth`` and 11 hex digits (IFNAMSIZ leaves 15 bytes; linux/if.h)."""
        return "veth" + self._digest("veth")[:11]

    @property
    def host_mac(self) -> str:
        """The host end's MAC: locally administered, and the proof that a link of that name is ours."""
        return local_mac(self._digest("host-mac"))

    @property
    def container_mac(self) -> str:
        """The container end's MAC where no IPv4 address gives one."""
        return local_mac(self._digest("container-mac"))

    @property
    def short_id(self) -> str:
        """The container ID as runtimes show it: 12 digits of a long one, after any containerd namespace."""
        digits = _LONG_ID.fullmatch(self.container_id)
        return digits[1] if digits else shortened(self.container_id, _SHOWN)

    def to_json(self) -> dict[str, str]:
        """The three words as records and messages have them."""
        return {"network": self.network, "containerID": self.container_id, "ifname": self.ifname}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Attachment:
        """What `to_json` made, with whatever else. Raises KeyError."""
        return cls(document["network"], document["containerID"], document["ifname"])

    def _digest(self, purpose: str) -> str:
        return sha512("\0".join((purpose, self.network, self.container_id, self.ifname)).encode()).hexdigest()

    def __str__(self) -> str:
        return f"container {self.short_id} ({self.ifname}) on network {self.network}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a plugin, decoded and checked; `config` has its keys spelled as the plugin's schema does.

    `netns` is CNI_NETNS as given ("" when absent). `valid_attachments` is None when GC's key is absent, which
    means "not known". `stdin`, `document` (the same, parsed) and `env` are what arrived, for delegates.
    """

    verb: str
    plugin: str
    cni_version: str
    network: str
    config: Mapping[str, Any]
    container_id: str = ""
    ifname: str = ""
    netns: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    prev_result: Result | None = None
    valid_attachments: frozenset[tuple[str, str]] | None = None
    stdin: bytes = b""
    document: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"

    @property
    def attachment(self) -> Attachment:
        """The key of what this call is about. Only ADD, DEL and CHECK have one."""
        return Attachment(self.network, self.container_id, self.ifname)

    @property
    def own_netns_allowed(self) -> bool:
        """Whether the caller confirms, by CNI_NETNS_OVERRIDE, that CNI_NETNS may be the namespace we
        run in.
        """
        return self.env.get("CNI_NETNS_OVERRIDE", "").lower() in ("1", "true")

    @property
    def runtime_config(self) -> Mapping[str, Any]:
        """`runtimeConfig`, or an empty mapping."""
        value = self.config.get("runtimeConfig")
        return value if isinstance(value, Mapping) else NO_EXTRA

    @property
    def cni_args(self) -> Mapping[str, Any]:
        """`args.cni`, or an empty mapping."""
        args = self.config.get("args")
        value = args.get("cni") if isinstance(args, Mapping) else None
        return value if isinstance(value, Mapping) else NO_EXTRA

    def choose(self, name: str, arg: str = "") -> Any:
        """The value of an item that runtimes give in several places, or None.

        The order is runtimeConfig, args.cni, CNI_ARGS (CONVENTIONS.md: what is in `args` overrides CNI_ARGS),
        then the configuration itself.
        """
        for place in (self.runtime_config, self.cni_args):
            if place.get(name) not in (None, ""):
                return place[name]
        return self.args.get(arg) or self.config.get(name)

    def as_verb(self, verb: str) -> Request:
        """The same call as another verb: the DEL that follows a failed ADD."""
        return replace(self, verb=verb, env={**self.env, "CNI_COMMAND": verb})


def strings(value: object) -> tuple[str, ...]:
    """The strings of a JSON list; nothing for any other value."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return ()
    return tuple(each for each in value if isinstance(each, str))
