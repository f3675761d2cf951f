"""The rules of a publication for iptables. Pure.

Table nat has the names, comments and shapes of the reference plugin, which nerdctl reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from linkspan.cni.errors import InvalidConfig
from linkspan.netfilter import iptables_names, relay
from linkspan.netfilter.iptables_names import comment
from linkspan.netfilter.rules import Change, Jump, Match, Rule

if TYPE_CHECKING:
    from cni_portmap.facts import Entry, Publication
    from linkspan.cni.addresses import Family
    from linkspan.cni.model import Attachment

DNAT, SET_MARK, MASQ = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
#: Table mangle: which addresses accept new connections only from our bridges. The reference has no such
#: chain.
SHIELD = "CNI-SHIELD"

#: multiport takes 15 (XT_MULTI_PORTS in linux/netfilter/xt_multiport.h)
_MULTI_PORTS = 15
_LOCAL = Match("addrtype", (("dst-type", "LOCAL"),))
_FIELDS = {
    "-s": "source",
    "--source": "source",
    "--src": "source",
    "-d": "destination",
    "--destination": "destination",
    "--dst": "destination",
    "-i": "in_interface",
    "--in-interface": "in_interface",
    "-o": "out_interface",
    "--out-interface": "out_interface",
}


def chain_name(attachment: Attachment) -> str:
    """The attachment's chain in table nat."""
    return iptables_names.chain_name(iptables_names.PUBLISHED, attachment)


def shield_name(attachment: Attachment) -> str:
    """The attachment's chain in table mangle."""
    return f"{SHIELD}-{attachment.key[:16]}"


def changes(publication: Publication, family: Family) -> Mapping[str, Change]:
    """The rules of one family: table -> change. The guard of the host's loopback network comes first."""
    by_table: dict[str, Change] = {}
    if family == 4 and publication.routes_loopback():
        by_table["raw"] = loopback_guard(publication.interface)
    if publication.shielded(family):
        by_table["mangle"] = _shield(publication, family)
    if publication.entries(family):
        by_table["nat"] = _publish(publication, family)
    return by_table


def removals(publication: Publication, family: Family) -> Mapping[str, Change]:
    """What removes a publication's rules of one family; what is shared stays."""
    every = removals_by_name(publication.attachment)
    present = {"mangle": publication.shielded(family), "nat": publication.entries(family)}
    return {table: every[table] for table, has_rules in present.items() if has_rules}


def removals_by_name(attachment: Attachment) -> Mapping[str, Change]:
    """What removes every rule that an attachment may have in one family."""
    return {
        "mangle": Change(remove_chains=(shield_name(attachment),)),
        "nat": Change(remove_chains=(chain_name(attachment),)),
    }


def loopback_guard_removal(*interfaces: str) -> Mapping[str, Change]:
    """What removes the guards of the host's loopback network: table -> change, IPv4 only."""
    guards = tuple(("PREROUTING", _drop_to_loopback(each)) for each in interfaces)
    return {"raw": Change(remove=guards)} if guards else {}


def bridge_removals(bridge: str, family: Family) -> Mapping[str, Change]:
    """What removes the rules of one family that name a bridge: table -> change."""
    found = {"mangle": Change(remove=((SHIELD, _pass_from(bridge)),))}
    return {**found, **loopback_guard_removal(bridge)} if family == 4 else found


def _publish(publication: Publication, family: Family) -> Change:
    """Rules of an earlier ADD are removed; new ones come first, so that no stale one wins."""
    chain = chain_name(publication.attachment)
    return Change(
        remove_chains=(chain,),
        shared=(DNAT, *((SET_MARK, MASQ) if _has_own_mark(publication) else ())),
        own=((chain, tuple(_translations(publication, family))),),
        jumps=(*_shared_rules(publication), *_dispatch(publication, family)),
    )


def loopback_guard(interface: str) -> Change:
    """Packets from that interface to the host's loopback network are dropped."""
    return Change(jumps=(Jump(chain="PREROUTING", rule=_drop_to_loopback(interface), first=True),))


def _drop_to_loopback(interface: str) -> Rule:
    return Rule(target="DROP", in_interface=interface, destination="127.0.0.0/8")


def _pass_from(interface: str) -> Rule:
    return Rule(target="RETURN", in_interface=interface)


def _shield(publication: Publication, family: Family) -> Change:
    """Replies, and whatever comes from our bridges, pass; anything else for the address is dropped."""
    own = shield_name(publication.attachment)
    known = Match("conntrack", (("ctstate", "RELATED,ESTABLISHED"),))
    passes = [Rule(target="RETURN", matches=(known,))]
    if publication.interface:
        passes.append(_pass_from(publication.interface))
    shielded = Rule(
        target=own, destination=publication.shielded(family), matches=(_owner(publication.attachment),)
    )
    return Change(
        remove_chains=(own,),
        shared=(SHIELD,),
        own=((own, (Rule(target="DROP"),)),),
        jumps=(
            *(Jump(chain=SHIELD, rule=each, first=True) for each in passes),
            Jump(chain=SHIELD, rule=shielded),
            Jump(chain="PREROUTING", rule=Rule(target=SHIELD)),
        ),
    )


def _has_own_mark(publication: Publication) -> bool:
    return publication.config.snat and not publication.config.external_set_mark_chain


def _shared_rules(publication: Publication) -> Iterator[Jump]:
    if _has_own_mark(publication):
        yield from _masquerading(publication.config.mark_bit)
    for chain in ("PREROUTING", "OUTPUT"):
        # Above other rules that translate, so that no foreign rule for one of our ports wins.
        yield Jump(chain=chain, rule=Rule(target=DNAT, matches=(_LOCAL,)), first=True)


def _masquerading(bit: int) -> Iterator[Jump]:
    mark = f"{1 << bit:#x}/{1 << bit:#x}"
    yield Jump(
        chain=SET_MARK,
        rule=Rule(
            target="MARK",
            target_options=(("set-xmark", mark),),
            matches=(comment("CNI portfwd masquerade mark"),),
        ),
    )
    yield Jump(chain=MASQ, rule=Rule(target="MASQUERADE", matches=(Match("mark", (("mark", mark),)),)))
    masquerade = Rule(target=MASQ, matches=(comment("CNI portfwd requiring masquerade"),))
    yield Jump(chain="POSTROUTING", rule=masquerade, first=True)


def _owner(attachment: Attachment) -> Match:
    return comment(f"dnat {iptables_names.names(attachment)}")


def _translations(publication: Publication, family: Family) -> Iterator[Rule]:
    # Before any mark: what is redirected is not to be masqueraded.
    yield from relay.iptables_rules(each for each in publication.relayed_ports() if each.family == family)
    for entry in publication.translated(family):
        for source in _masqueraded(publication, family):
            yield _rule(entry, publication.config.external_set_mark_chain or SET_MARK, source=source)
        yield _dnat(entry)


def _masqueraded(publication: Publication, family: Family) -> tuple[str, ...]:
    """The sources whose connections are masqueraded: their replies would bypass the host."""
    if not publication.config.snat:
        return ()
    if publication.config.masq_all:
        return ("",)
    from_loopback = family == 4 and not publication.relays
    return (publication.subnet(family), *(("127.0.0.1",) if from_loopback else ()))


def _dnat(entry: Entry) -> Rule:
    """Loopback addresses are published to the host itself only; ::1 is never translated: it cannot reply."""
    return _rule(
        entry,
        "DNAT",
        target_options=(("to-destination", entry.target),),
        destination=entry.host_ip or ("! ::1" if entry.family == 6 else ""),
        more=(Match("addrtype", (("src-type", "LOCAL"),)),) if entry.on_loopback else (),
    )


def _rule(entry: Entry, target: str, *, more: tuple[Match, ...] = (), **fields: Any) -> Rule:
    port = Match(entry.protocol, (("dport", str(entry.host_port)),))
    fields.setdefault("destination", entry.host_ip)
    return Rule(target=target, protocol=entry.protocol, matches=(port, *more), **fields)


def _dispatch(publication: Publication, family: Family) -> Iterator[Jump]:
    attachment = publication.attachment
    fields, matches = conditions(publication.config.conditions(family))
    ports: dict[str, dict[int, None]] = {}
    for entry in publication.entries(family):
        ports.setdefault(entry.protocol, {})[entry.host_port] = None
    for protocol, numbers in ports.items():
        for group in _groups(list(numbers)):
            multiport = Match("multiport", (("destination-ports", ",".join(str(each) for each in group)),))
            rule = Rule(
                target=chain_name(attachment),
                protocol=protocol,
                matches=(_owner(attachment), multiport, *matches),
                **fields,
            )
            yield Jump(chain=DNAT, rule=rule, first=True)


def _groups(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), _MULTI_PORTS):
        yield numbers[start : start + _MULTI_PORTS]


def conditions(words: Sequence[str]) -> tuple[dict[str, Any], tuple[Match, ...]]:
    """Iptables options as the fields and matches of a rule. Raises InvalidConfig for anything else."""
    fields: dict[str, str] = {}
    matches: list[tuple[str, list[tuple[str, str]]]] = []
    rest = list(words)
    while rest:
        negated = "! " if rest[0] == "!" else ""
        if negated:
            rest.pop(0)
        option = rest.pop(0) if rest else ""
        if option in ("-m", "--match") and rest:
            matches.append((rest.pop(0), []))
        elif option in _FIELDS and rest:
            fields[_FIELDS[option]] = negated + rest.pop(0)
        elif option.startswith("--") and matches:
            matches[-1][1].append((negated + option[2:], " ".join(_values(rest))))
        else:
            raise InvalidConfig(
                f"$.conditionsV4, V6: unexpected {option or 'end'!r}",
                "-s, -d, -i, -o with a value, or -m NAME and its options",
            )
    return fields, tuple(Match(name, tuple(options)) for name, options in matches)


def _values(rest: list[str]) -> Iterator[str]:
    while rest and rest[0] != "!" and not rest[0].startswith("-"):
        yield rest.pop(0)
