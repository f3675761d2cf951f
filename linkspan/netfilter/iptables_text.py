"""Rules as iptables-save prints them, and the tables in its output. Pure text, no kernel.

Formats: iptables-save(8), xtables_save_string() of libxtables.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Mapping

from linkspan.netfilter.rules import Rule

Chains = Mapping[str, tuple[str, ...]]
"""Every chain of a table with its rules as iptables-save prints them, without the leading `-A CHAIN `."""

#: Options whose value is one quoted string, and the long forms of others that iptables-save shortens.
STRINGS = frozenset(("comment", "log-prefix", "nflog-prefix", "string"))
ALIASES = {
    "destination-port": "dport",
    "source-port": "sport",
    "destination-ports": "dports",
    "source-ports": "sports",
}
PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp", "132": "sctp", "icmpv6": "ipv6-icmp"}
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def render(rule: Rule) -> str:
    """The rule as iptables-save prints it, without the leading `-A CHAIN `.

    Raises ValueError for an invalid address, and for a line break or NUL anywhere.
    """
    words = [
        *_address("-s", rule.source),
        *_address("-d", rule.destination),
        *_plain("-i", rule.in_interface),
        *_plain("-o", rule.out_interface),
        *_protocol(rule.protocol),
    ]
    for match in rule.matches:
        words += ["-m", match.name, *_options(match.options)]
    if rule.target:
        words += ["-j", rule.target, *_options(rule.target_options)]
    text = " ".join(words)
    if any(character in text for character in "\n\r\0"):
        raise ValueError(f"a rule is one line of text: {text!r}")
    return text


def packet(rule: Rule) -> dict[str, str]:
    """The rule's matches that need no extension, with python-iptables' names and spelling ("!" negates)."""
    matched = {
        "src": _address("-s", rule.source),
        "dst": _address("-d", rule.destination),
        "in_interface": _plain("-i", rule.in_interface),
        "out_interface": _plain("-o", rule.out_interface),
        "protocol": _protocol(rule.protocol),
    }
    numbers = {name: number for number, name in PROTOCOLS.items() if number.isdigit()}
    return {
        key: ("!" if words[0] == "!" else "") + numbers.get(words[-1], words[-1])
        for key, words in matched.items()
        if words
    }


def _negation(value: str) -> tuple[list[str], str]:
    return (["!"], value[1:].lstrip()) if value.startswith("!") else ([], value)


def _plain(option: str, value: str) -> list[str]:
    negated, bare = _negation(value)
    return [*negated, option, bare] if bare else []


def _address(option: str, value: str) -> list[str]:
    negated, bare = _negation(value)
    if not bare:
        return []
    printed = network(bare)
    if printed.endswith("/0") and not negated:
        return []
    return [*negated, option, printed]


def _protocol(value: str) -> list[str]:
    negated, bare = _negation(value.lower())
    return [*negated, "-p", PROTOCOLS.get(bare, bare)] if bare else []


def network(value: str) -> str:
    """An address or network as iptables-save prints it: with a prefix length and without host bits.

    Raises ValueError.
    """
    address, _, length = value.partition("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        packed = socket.inet_pton(family, address)
    except OSError:
        raise ValueError(f"{value!r} is not an IP address") from None
    bits = 8 * len(packed)
    prefix = int(length) if length else bits
    if not 0 <= prefix <= bits:
        raise ValueError(f"{value!r} has no prefix length from 0 to {bits}")
    host_bits = bits - prefix
    number = int.from_bytes(packed, "big") >> host_bits << host_bits
    return f"{socket.inet_ntop(family, number.to_bytes(len(packed), 'big'))}/{prefix}"


def _options(options: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in options:
        negated, bare = _negation(name)
        bare = ALIASES.get(bare, bare)
        yield from negated
        yield f"--{bare}"
        if bare in STRINGS:
            yield _quote(value)
        elif value:
            yield value


def _quote(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return '"' + re.sub(r"([\"\\'])", r"\\\1", value) + '"'


def parse_policy(text: str, chain: str) -> str:
    """The policy of a built-in chain as iptables-save printed it; ACCEPT if it printed no such chain."""
    found = re.search(rf"^:{re.escape(chain)} (\w+)", text, re.MULTILINE)
    return found.group(1) if found else "ACCEPT"


def parse_save(text: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """The chains of each table that iptables-save printed: table -> chain -> its rules."""
    tables: dict[str, dict[str, list[str]]] = {}
    chains: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            chains.setdefault(chain, []).append(rule)
        elif line.startswith(":"):
            chains.setdefault(line[1:].split(" ", 1)[0], [])
        elif line.startswith("*"):
            chains = tables.setdefault(line[1:], {})
    return {table: {chain: tuple(rules) for chain, rules in found.items()} for table, found in tables.items()}
