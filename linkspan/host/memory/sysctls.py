"""The network sysctls of one namespace in memory: as many as plugins use."""

from __future__ import annotations

#: What a new link has, unless `default` was changed.
_DEFAULTS = {
    **{
        f"ipv4/conf/default/{key}": "0"
        for key in ("forwarding", "route_localnet", "arp_announce", "arp_notify", "rp_filter")
    },
    **{f"ipv6/conf/default/{key}": "0" for key in ("forwarding", "disable_ipv6", "proxy_ndp")},
    **{f"ipv6/conf/default/{key}": "1" for key in ("accept_ra", "accept_dad", "autoconf")},
}
_FORWARDING = ("ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding")


class Sysctls(dict[str, str]):
    """Key -> value. `ipv4/ip_forward` is another name for one of them, as in the kernel."""

    def __init__(self) -> None:
        every = {key.replace("/default/", "/all/"): value for key, value in _DEFAULTS.items()}
        super().__init__({**_DEFAULTS, **every, "core/somaxconn": "4096"})

    def read(self, key: str) -> str | None:
        """The value of a key, or None."""
        return self.get(_canonical(key))

    def write(self, key: str, value: str) -> bool:
        """Set a key; False if there is none. Forwarding for all is set on every link too."""
        key = _canonical(key)
        if key not in self:
            return False
        if key in _FORWARDING:
            family = key[:4]
            links = [each for each in self if each.startswith(family) and each.endswith("/forwarding")]
            self.update(dict.fromkeys(links, value))
        self[key] = value
        return True

    def add_link(self, name: str) -> None:
        """A new link has the values of `default`."""
        for key, value in tuple(self.items()):
            if "/conf/default/" in key:
                self[key.replace("/default/", f"/{name}/")] = value

    def drop_link(self, name: str) -> None:
        """A link's keys go with it."""
        for key in [each for each in self if f"/conf/{name}/" in each]:
            del self[key]


def _canonical(key: str) -> str:
    return "ipv4/conf/all/forwarding" if key == "ipv4/ip_forward" else key
