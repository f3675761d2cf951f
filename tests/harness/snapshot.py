"""What a private host looks like from the outside, as lines that two snapshots can be compared by.

A snapshot holds what a plugin can leave behind and leaves out what the kernel changes on its own: counters, handles,
indexes, timers, carrier, neighbours, link-local addresses and the routes that follow from an address.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

FILES_BELOW = ("/run/linkspan", "/run/cni", "/var/lib/cni", "/var/lib/linkspan")

_MARK = "--section--"
# One shell for all of it: a program costs a millisecond, entering the namespaces for each would double that.
# The legacy tables are read only where some exist, because reading them makes them.
SNAPSHOT_SCRIPT = rf"""
s() {{ echo '{_MARK}' "$1"; }}
s links;     ip -json -details link show
s addresses; ip -json address show
s routes4;   ip -json -4 route show table all
s routes6;   ip -json -6 route show table all
s rules4;    ip -json -4 rule show
s rules6;    ip -json -6 rule show
s iptables;  iptables-save 2>/dev/null
s ip6tables; ip6tables-save 2>/dev/null
[ ! -s /proc/net/ip_tables_names ]  || {{ s iptables-legacy;  iptables-legacy-save 2>/dev/null; }}
[ ! -s /proc/net/ip6_tables_names ] || {{ s ip6tables-legacy; ip6tables-legacy-save 2>/dev/null; }}
s nftables;  nft --json list ruleset
s netns;     ls -1 /run/netns
s sysctls;   cd /proc/sys/net
for key in forwarding route_localnet rp_filter arp_notify proxy_arp; do grep -s '' ipv4/conf/*/$key; done
for key in forwarding accept_ra accept_dad disable_ipv6 proxy_ndp; do grep -s '' ipv6/conf/*/$key; done
grep -s '' ipv4/ip_forward bridge/bridge-nf-call-*
:
"""

_LINK_INFO = ("vlan_filtering", "stp_state", "hairpin", "isolated", "id", "mode")
_ROUTE_KEYS = ("type", "dst", "gateway", "via", "dev", "prefsrc", "metric", "table", "scope", "protocol")
_COUNTERS = re.compile(r" \[[0-9]+:[0-9]+\]")
_NFT_VOLATILE = ("handle", "packets", "bytes", "expires", "index")


@dataclass(frozen=True)
class Snapshot:
    """Section (links, addresses, routes, rules, iptables, nftables, files, netns, sysctls, ...) -> its lines."""

    sections: Mapping[str, tuple[str, ...]]

    def diff(self, other: Snapshot, ignore: Sequence[str] = ()) -> list[str]:
        """Return what differs in self from `other`, the earlier one: `section: + line` is new, `- line` is gone.

        `ignore` holds shell patterns (`*` matches anything) for lines that may differ. Empty list: no difference.
        """
        found = []
        for section in sorted({*self.sections, *other.sections}):
            earlier = _without(other.sections.get(section, ()), ignore)
            now = _without(self.sections.get(section, ()), ignore)
            for line in difflib.ndiff(earlier, now) if earlier != now else ():
                if line[:2] in ("+ ", "- "):
                    found.append(f"{section}: {line}")
        return found

    def __getitem__(self, section: str) -> tuple[str, ...]:
        return self.sections.get(section, ())


def read_snapshot(shown: str, root: str, ignore: Sequence[str] = ()) -> Snapshot:
    """Return the snapshot in the output of SNAPSHOT_SCRIPT plus the state files found below `root`."""
    raw: dict[str, str] = {}
    for part in shown.split(f"{_MARK} ")[1:]:
        name, _, body = part.partition("\n")
        raw[name] = body
    sections = {
        "links": _sorted(_link(link) for link in _objects(raw, "links")),
        "addresses": _sorted(line for link in _objects(raw, "addresses") for line in _addresses(link)),
        "routes": _sorted(
            line for family in ("routes4", "routes6") for line in _routes(_objects(raw, family), family[-1])
        ),
        "rules": _sorted(
            f"{family[-1]} {_compact(rule)}"
            for family in ("rules4", "rules6")
            for rule in _objects(raw, family)
        ),
        "nftables": _nftables(raw.get("nftables", "")),
        "netns": tuple(raw.get("netns", "").split()),
        "sysctls": _sorted(line.replace(":", " = ", 1) for line in raw.get("sysctls", "").splitlines()),
        "files": _sorted(line for top in FILES_BELOW for line in _files(root, top)),
    }
    for name in ("iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy"):
        sections[name] = tuple(_iptables(raw.get(name, "")))
    return Snapshot({name: _without(lines, ignore) for name, lines in sections.items() if lines})


def _without(lines: Sequence[str], ignore: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if not any(fnmatchcase(line, pattern) for pattern in ignore))


def _sorted(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(lines))


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _objects(raw: Mapping[str, str], name: str) -> list[dict[str, Any]]:
    """Return the objects iproute2 printed; it prints nothing, or empty objects, where there are none."""
    return [item for item in json.loads(raw.get(name, "").strip() or "[]") if item]


def _link(link: Mapping[str, Any]) -> str:
    info = link.get("linkinfo", {})
    parts = [link["ifname"], info.get("info_kind", ""), link.get("address", ""), f"mtu {link.get('mtu')}"]
    parts += [flag for flag in ("UP", "PROMISC") if flag in link.get("flags", ())]
    parts += [f"{key} {link[key]}" for key in ("master", "ifalias") if key in link]
    for data in (info.get("info_data", {}), info.get("info_slave_data", {})):
        parts += [f"{key} {data[key]}" for key in _LINK_INFO if key in data]
    return " ".join(part for part in parts if part)


def _addresses(link: Mapping[str, Any]) -> Iterable[str]:
    for entry in link.get("addr_info", ()):
        if not str(entry.get("local", "")).startswith("fe80:"):
            yield f"{link['ifname']} {entry.get('local')}/{entry.get('prefixlen')} scope {entry.get('scope')}"


def _routes(routes: Iterable[Mapping[str, Any]], family: str) -> Iterable[str]:
    for route in routes:
        if route.get("table") == "local" or str(route.get("dst", "")).startswith(("fe80:", "ff00:")):
            continue
        yield " ".join([family, *(f"{key} {_compact(route[key])}" for key in _ROUTE_KEYS if key in route)])


def _iptables(saved: str) -> Iterable[str]:
    """Yield `<table> <line>`, without counters and without the comments, which carry dates."""
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith((":", "-")):
            yield f"{table} {_COUNTERS.sub('', line)}"


def _nftables(shown: str) -> tuple[str, ...]:
    """Return one line per table, chain, rule, set and element; rules stay in the order of evaluation."""
    lines = []
    for item in json.loads(shown).get("nftables", ()) if shown.strip() else ():
        ((kind, body),) = item.items()
        if kind == "metainfo":
            continue
        plain = _stable(body)
        name = " ".join(str(plain.pop(key)) for key in ("family", "table", "name", "chain") if key in plain)
        elements = plain.pop("elem", []) if kind in ("set", "map") else []
        lines.append(f"{kind} {name} {_compact(plain)}")
        lines += sorted(f"element {name} {_compact(element)}" for element in elements)
    return tuple(lines)


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if key not in _NFT_VOLATILE}
    return [_stable(item) for item in value] if isinstance(value, list) else value


def _files(root: str, top: str) -> Iterable[str]:
    """Yield `<path> <mode> <content>` for everything below `top`; directories end in `/`."""
    pending = [top]
    while pending:
        path = pending.pop()
        try:
            status = os.lstat(root + path)
        except FileNotFoundError:
            continue
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        if stat.S_ISDIR(status.st_mode):
            yield f"{path}/ {mode}"
            pending += [f"{path}/{name}" for name in os.listdir(root + path)]
        elif stat.S_ISREG(status.st_mode):
            yield f"{path} {mode} {_content(root + path)!r}"
        else:
            kind = "link " + os.readlink(root + path) if stat.S_ISLNK(status.st_mode) else "special"
            yield f"{path} {mode} {kind}"


def _content(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode("utf-8", "backslashreplace")
    except FileNotFoundError:
        return ""
