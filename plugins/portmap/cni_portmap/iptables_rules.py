"""The rules of a publication for iptables. Table nat has names, comments and shapes of the reference, which nerdctl reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha512
from typing import Any

from cni_portmap.publication import Entry, Publication
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Attachment
from linkspan.netfilter.rules import Change, Family, Jump, Match, Rule

DNAT, SET_MARK, MASQ = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
#: Table mangle: which addresses take no new connections from outside our bridges. Not the reference's.
SHIELD = "CNI-SHIELD"

#: multiport takes 15 (XT_MULTI_PORTS in linux/netfilter/xt_multiport.h)
_MULTI_PORTS = 15
_COMMENT_LIMIT = 255
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
    """The attachment's chain: for eth0 the reference's name, which leaves the interface out."""
    words = attachment.network + attachment.container_id
    if attachment.ifname != "eth0":
        words += "\0" + attachment.ifname
    return f"CNI-DN-{sha512(words.encode()).hexdigest()[:21]}"


def shield_name(attachment: Attachment) -> str:
    """The attachment's chain in table mangle."""
    return f"{SHIELD}-{attachment.key[:16]}"


def changes(publication: Publication, family: Family) -> Mapping[str, Change]:
    """The whole of one family: table -> what is to be so. The guard of the host's loopback comes before anything else."""
    wanted: dict[str, Change] = {}
    if family == 4 and publication.needs_loopback():
        wanted["raw"] = _loopback_guard(publication.interface)
    if publication.shielded(family):
        wanted["mangle"] = _shield(publication, family)
    if publication.entries(family):
        wanted["nat"] = _publish(publication, family)
    return wanted


def removals(publication: Publication, family: Family) -> Mapping[str, Change]:
    """What takes a publication's rules of one family back; what is shared stays."""
    every = removals_by_name(publication.attachment)
    return {table: every[table] for table in changes(publication, family) if table in every}


def removals_by_name(attachment: Attachment) -> Mapping[str, Change]:
    """What takes back every rule that an attachment may have in one family."""
    return {
        "nat": Change(remove_chains=(chain_name(attachment),)),
        "mangle": Change(remove_chains=(shield_name(attachment),)),
    }


def _publish(publication: Publication, family: Family) -> Change:
    """Rules of an earlier ADD go; new ones come first, so that no stale one wins."""
    chain = chain_name(publication.attachment)
    return Change(
        remove_chains=(chain,),
        shared=(DNAT, *((SET_MARK, MASQ) if _marks_itself(publication) else ())),
        own=((chain, tuple(_translations(publication, family))),),
        jumps=(*_shared_rules(publication), *_dispatch(publication, family)),
    )


def _loopback_guard(interface: str) -> Change:
    """Nothing that comes in from there may go to the host's loopback network."""
    rule = Rule(target="DROP", in_interface=interface, destination="127.0.0.0/8")
    return Change(jumps=(Jump(chain="PREROUTING", rule=rule, first=True),))


def _shield(publication: Publication, family: Family) -> Change:
    """What is answered or comes from one of our bridges passes; anything else for the address is dropped."""
    own = shield_name(publication.attachment)
    known = Match("conntrack", (("ctstate", "RELATED,ESTABLISHED"),))
    passes = [Rule(target="RETURN", matches=(known,))]
    if publication.interface:
        passes.append(Rule(target="RETURN", in_interface=publication.interface))
    shielded = Rule(
        target=own, destination=publication.shielded(family), matches=(_whose(publication.attachment),)
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


def _marks_itself(publication: Publication) -> bool:
    return publication.config.snat and not publication.config.external_set_mark_chain


def _shared_rules(publication: Publication) -> Iterator[Jump]:
    if _marks_itself(publication):
        yield from _masquerading(publication.config.mark_bit)
    for chain in ("PREROUTING", "OUTPUT"):
        # Above whatever else translates there, so that no foreign rule for one of our ports wins.
        yield Jump(chain=chain, rule=Rule(target=DNAT, matches=(_LOCAL,)), first=True)


def _masquerading(bit: int) -> Iterator[Jump]:
    mark = f"{1 << bit:#x}/{1 << bit:#x}"
    yield Jump(
        chain=SET_MARK,
        rule=Rule(
            target="MARK",
            target_options=(("set-xmark", mark),),
            matches=(_comment("CNI portfwd masquerade mark"),),
        ),
    )
    yield Jump(chain=MASQ, rule=Rule(target="MASQUERADE", matches=(Match("mark", (("mark", mark),)),)))
    masquerade = Rule(target=MASQ, matches=(_comment("CNI portfwd requiring masquerade"),))
    yield Jump(chain="POSTROUTING", rule=masquerade, first=True)


def _whose(attachment: Attachment) -> Match:
    words = f'dnat name: "{attachment.network}" id: "{attachment.container_id}"'
    return _comment(words[:_COMMENT_LIMIT])


def _comment(text: str) -> Match:
    return Match("comment", (("comment", text),))


def _translations(publication: Publication, family: Family) -> Iterator[Rule]:
    for entry in publication.entries(family):
        for source in _masqueraded(publication, family):
            yield _rule(entry, publication.config.external_set_mark_chain or SET_MARK, source=source)
        yield _dnat(entry)


def _masqueraded(publication: Publication, family: Family) -> tuple[str, ...]:
    """The sources whose connections must seem to come from the host, or their answers would bypass it."""
    if not publication.config.snat:
        return ()
    if publication.config.masq_all:
        return ("",)
    return (publication.subnet(family), *(("127.0.0.1",) if family == 4 else ()))


def _dnat(entry: Entry) -> Rule:
    """Published on loopback means to the host itself; ::1 is never translated, since it could not answer."""
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
                matches=(_whose(attachment), multiport, *matches),
                **fields,
            )
            yield Jump(chain=DNAT, rule=rule, first=True)


def _groups(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), _MULTI_PORTS):
        yield numbers[start : start + _MULTI_PORTS]


def conditions(words: Sequence[str]) -> tuple[dict[str, Any], tuple[Match, ...]]:
    """Iptables options as the fields and matches of a rule. Raises InvalidConfig for what is neither."""
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
                f"$.conditionsV4, V6: {option or 'the end'!r} is out of place",
                "-s, -d, -i, -o with a value, or -m NAME and its options",
            )
    return fields, tuple(Match(name, tuple(options)) for name, options in matches)


def _values(rest: list[str]) -> Iterator[str]:
    while rest and rest[0] != "!" and not rest[0].startswith("-"):
        yield rest.pop(0)
