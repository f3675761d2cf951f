"""Rules and changes as iptables-save and iptables-restore write them. Pure text, no kernel.

What a back end must do to a table is decided here once, as edits computed from the table's present rules and a Change, so that
the two variants of iptables and the fake cannot disagree. Formats: iptables-save(8), xtables_save_string() of libxtables.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from linkspan.netfilter.rules import Change, Jump, Rule

Chains = Mapping[str, tuple[str, ...]]
"""Every chain of a table with its rules as iptables-save prints them, without the leading `-A CHAIN `."""

_STRINGS = frozenset(("comment", "log-prefix", "nflog-prefix", "string"))
_ALIASES = {
    "destination-port": "dport",
    "source-port": "sport",
    "destination-ports": "dports",
    "source-ports": "sports",
}
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp", "132": "sctp", "icmpv6": "ipv6-icmp"}
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN = re.compile(r'"((?:\\.|[^"\\])*)"|(\S+)')


# --- a rule as text --------------------------------------------------------------------------------------------


def render(rule: Rule) -> str:
    """The rule as iptables-save prints it, without the leading `-A CHAIN `.

    Raises ValueError for an address that is none and for a line break or NUL anywhere.
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
    """What the rule asks of a packet without any extension, as python-iptables names and writes it ("!" is not)."""
    asked = {
        "src": _address("-s", rule.source),
        "dst": _address("-d", rule.destination),
        "in_interface": _plain("-i", rule.in_interface),
        "out_interface": _plain("-o", rule.out_interface),
        "protocol": _protocol(rule.protocol),
    }
    numbers = {name: number for number, name in _PROTOCOLS.items() if number.isdigit()}
    return {
        key: ("!" if words[0] == "!" else "") + numbers.get(words[-1], words[-1])
        for key, words in asked.items()
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
    network = _network(bare)
    if network.endswith("/0") and not negated:
        return []
    return [*negated, option, network]


def _protocol(value: str) -> list[str]:
    negated, bare = _negation(value.lower())
    return [*negated, "-p", _PROTOCOLS.get(bare, bare)] if bare else []


def _network(value: str) -> str:
    """An address or network with its prefix length and no host bits: the way iptables-save prints it."""
    address, _, length = value.partition("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        packed = socket.inet_pton(family, address)
    except OSError:
        raise ValueError(f"{value!r} is no address") from None
    bits = 8 * len(packed)
    prefix = int(length) if length else bits
    if not 0 <= prefix <= bits:
        raise ValueError(f"{value!r} has no prefix length of 0 to {bits}")
    host_bits = bits - prefix
    number = int.from_bytes(packed, "big") >> host_bits << host_bits
    return f"{socket.inet_ntop(family, number.to_bytes(len(packed), 'big'))}/{prefix}"


def _options(options: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in options:
        negated, bare = _negation(name)
        bare = _ALIASES.get(bare, bare)
        yield from negated
        yield f"--{bare}"
        if bare in _STRINGS:
            yield _quote(value)
        elif value:
            yield value


def _quote(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return '"' + re.sub(r"([\"\\'])", r"\\\1", value) + '"'


# --- text compared ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a saved rule says, whatever the order and spelling it says it in. Equal meanings are equal rules.

    `parts` are its matches, each an option with its value, sorted; `target` is where it jumps, `options` how.
    """

    parts: tuple[str, ...]
    target: str
    options: tuple[str, ...]


def meaning(text: str) -> Meaning:
    """What a rule as iptables-save prints it (or a person writes it) says."""
    parts: list[str] = []
    options: list[str] = []
    target, section, negated = "", "", ""
    words = _Words(text)
    while words:
        word = words.take()
        if word == "!":
            negated = "! "
            continue
        if word in ("-j", "-g"):
            target = words.take()
            section = word
        elif word == "-m":
            section = words.take()
        elif word.startswith("--"):
            said = _said(word[2:], negated, words)
            (options if section in ("-j", "-g") else parts).append(said)
        else:
            parts.append(_said_of_packet(word, negated, words.take()))
        negated = ""
    return Meaning(tuple(sorted(parts)), target, tuple(sorted(options)))


class _Words:
    """The words of a saved rule, one after the other; quotes are taken off."""

    def __init__(self, text: str) -> None:
        self._found = [
            (quoted is not None, re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare)
            for quoted, bare in (found.groups() for found in _TOKEN.finditer(text))
        ]
        self._next = 0

    def __bool__(self) -> bool:
        return self._next < len(self._found)

    def take(self) -> str:
        """The next word, "" at the end."""
        if not self:
            return ""
        self._next += 1
        return self._found[self._next - 1][1]

    def values(self) -> list[str]:
        """The words up to the next option."""
        taken: list[str] = []
        while self and (
            self._found[self._next][0] or not re.match(r"!$|-[a-z-]", self._found[self._next][1])
        ):
            taken.append(self.take())
        return taken


def _said(name: str, negated: str, words: _Words) -> str:
    name = _ALIASES.get(name, name)
    values = [words.take()] if name in _STRINGS else words.values()
    if name == "set-mark" and len(values) == 1 and "/" not in values[0]:
        name, values = "set-xmark", [values[0] + "/0xffffffff"]
    return " ".join((f"{negated}--{name}", *(_value(name, value) for value in values)))


def _value(name: str, value: str) -> str:
    if name in ("mark", "set-xmark"):
        number, _, mask = value.partition("/")
        return f"{int(number, 0):#x}/{int(mask or '0xffffffff', 0):#x}"
    if name in ("ctstate", "state"):
        return ",".join(sorted(value.split(",")))
    return value


def _said_of_packet(option: str, negated: str, value: str) -> str:
    if option in ("-s", "-d"):
        value = _network(value)
    elif option == "-p":
        value = _PROTOCOLS.get(value.lower(), value.lower())
    return f"{negated}{option} {value}"


# --- a table as text -------------------------------------------------------------------------------------------


def parse_policy(text: str, chain: str) -> str:
    """The policy of a built-in chain in what iptables-save printed, "ACCEPT" when it printed no such chain."""
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


@dataclass(frozen=True, slots=True)
class NewChain:
    """Make a chain that must not exist."""

    chain: str


@dataclass(frozen=True, slots=True)
class EmptyChain:
    """Take all rules out of a chain that exists."""

    chain: str


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Take the rule at `index` (from 0, as the chain is at this edit) out; `text` is that rule as printed."""

    chain: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class AddRule:
    """Put a rule last in a chain, or first."""

    chain: str
    rule: Rule
    first: bool = False


@dataclass(frozen=True, slots=True)
class DropChain:
    """Delete a chain that is empty and that nothing jumps to."""

    chain: str


Edit = NewChain | EmptyChain | DeleteRule | AddRule | DropChain


def edits(present: Chains, change: Change) -> tuple[Edit, ...]:
    """What makes of the present chains those that the change asks for, in an order that both tools accept.

    Nothing is edited that is as asked. Raises ValueError for a rule that cannot be written.
    """
    own = {chain: rules for chain, rules in change.own if not _holds(present.get(chain), rules)}
    kept = {chain for chain, _ in change.own} | set(change.shared)
    gone = [chain for chain in change.remove_chains if chain in present and chain not in kept]
    jumps = tuple(_missing_jumps(present, change))
    made = dict.fromkeys((*own, *change.shared))
    return (
        *(EmptyChain(chain) for chain in (*gone, *own) if present.get(chain)),
        *(NewChain(chain) for chain in made if chain not in present),
        *_deletions(present, change, untouched={*gone, *(chain for chain, _ in change.own)}),
        *(AddRule(chain, rule) for chain, rules in own.items() for rule in rules),
        *jumps,
        *(DropChain(chain) for chain in gone),
    )


def _holds(present: tuple[str, ...] | None, rules: tuple[Rule, ...]) -> bool:
    if present is None or len(present) != len(rules):
        return False
    return all(meaning(text) == meaning(render(rule)) for text, rule in zip(present, rules, strict=True))


def _removed(change: Change, chain: str) -> set[Meaning]:
    return {meaning(render(rule)) for at, rule in change.remove if at == chain}


def _goes(text: str, change: Change, removed: set[Meaning]) -> bool:
    candidate = any(_may_say(text, wanted) for wanted in removed)
    if not candidate and not any(chain in text for chain in change.remove_chains):
        return False  # most rules of a busy table: not worth reading
    said = meaning(text)
    return said in removed or said.target in change.remove_chains


def _may_say(text: str, wanted: Meaning) -> bool:
    """Whether a rule names the target and the addresses of that meaning: cheaper than reading it."""
    addresses = (part for part in wanted.parts if part.startswith(("-s ", "-d ")))
    return wanted.target in text and all(address[3:] in text for address in addresses)


def _deletions(present: Chains, change: Change, *, untouched: set[str]) -> Iterator[DeleteRule]:
    moved = {(jump.chain, meaning(render(jump.rule))) for jump in displaced(present, change)}
    targets = _targets(change)
    for chain, rules in present.items():
        # Most chains of a busy table hold nothing that may go, and are not worth reading.
        if chain in untouched or not _mentions(rules, (*change.remove_chains, *targets.get(chain, ()))):
            continue
        removed = _removed(change, chain) | {said for at, said in moved if at == chain}
        # Whoever checks before he appends, as others do, leaves a jump twice when two of him run at once.
        once = dict.fromkeys(_wanted(change, chain) - removed, False)
        gone = 0
        for index, text in enumerate(rules):
            if _goes(text, change, removed) or _is_copy(text, once):
                yield DeleteRule(chain, index - gone, text)
                gone += 1


def _targets(change: Change) -> dict[str, set[str]]:
    """Where the rules of a change jump to, chain by chain."""
    found: dict[str, set[str]] = {}
    for chain, rule in (*change.remove, *((jump.chain, jump.rule) for jump in change.jumps)):
        found.setdefault(chain, set()).add(rule.target)
    return found


def _mentions(rules: tuple[str, ...], targets: Iterable[str]) -> bool:
    text = "\n".join(rules)
    return any(target in text for target in targets)


def _wanted(change: Change, chain: str) -> set[Meaning]:
    return {meaning(render(jump.rule)) for jump in change.jumps if jump.chain == chain}


def _is_copy(text: str, once: dict[Meaning, bool]) -> bool:
    """Whether a rule says what another before it said already; `once` has what may be said once -> whether it was."""
    for wanted, said in once.items():
        if _may_say(text, wanted) and meaning(text) == wanted:
            once[wanted] = True
            return said
    return False


def _missing_jumps(present: Chains, change: Change) -> Iterator[AddRule]:
    moved = displaced(present, change)
    seen: set[tuple[str, Meaning]] = set()
    for jump in change.jumps:
        wanted = (jump.chain, meaning(render(jump.rule)))
        if wanted not in seen and (jump in moved or _place(present, change, *wanted) is None):
            yield AddRule(jump.chain, jump.rule, jump.first)
        seen.add(wanted)


def displaced(present: Chains, change: Change) -> tuple[Jump, ...]:
    """The `first` rules that stand, but not above those that the change lists before them for the same chain."""
    found: list[Jump] = []
    highest: dict[str, int] = {}
    for jump in change.jumps:
        if not jump.first:
            continue
        place = _place(present, change, jump.chain, meaning(render(jump.rule)))
        below = place is not None and place > highest.get(jump.chain, place)
        if below:
            found.append(jump)
        # One that is put in its place is above all that stand.
        highest[jump.chain] = -1 if place is None or below else place
    return tuple(found)


def _place(present: Chains, change: Change, chain: str, wanted: Meaning) -> int | None:
    """Where in its chain the first rule of that meaning stands that this change leaves there."""
    if wanted in _removed(change, chain) or wanted.target in change.remove_chains:
        return None
    if any(chain == refilled for refilled, _ in change.own):
        return None
    for index, text in enumerate(present.get(chain, ())):
        if _may_say(text, wanted) and meaning(text) == wanted:
            return index
    return None


def restore_script(to_do: Mapping[str, Iterable[Edit]]) -> str:
    """The edits of each table as input for `iptables-restore --noflush`: a table's are carried out all or not at all.

    A chain is made with -N, never declared with `:CHAIN`, which would empty the one that somebody else made meanwhile.
    """
    return "".join(
        "\n".join((f"*{table}", *(_restore_line(edit) for edit in wanted), "COMMIT", ""))
        for table, wanted in to_do.items()
    )


def _restore_line(edit: Edit) -> str:
    if isinstance(edit, NewChain):
        return f"-N {edit.chain}"
    if isinstance(edit, EmptyChain):
        return f"-F {edit.chain}"
    if isinstance(edit, DropChain):
        return f"-X {edit.chain}"
    if isinstance(edit, DeleteRule):
        return f"-D {edit.chain} {edit.text}"
    return f"{'-I' if edit.first else '-A'} {edit.chain} {render(edit.rule)}"
