"""From a query to its answer, or to the decision to forward it. Pure.

`fast_path` serves what nearly all clients send, from prebuilt answers; `slow_path` serves the rest, parsed
by dnspython.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cni_dns.server import wire
from cni_dns.server.wire import AAAA, ANY, HEADER, LARGEST, LARGEST_UDP, SMALLEST, A, Answer, Query

if TYPE_CHECKING:
    from cni_dns.server.zone import View

_PLAIN = b"\0\1\0\0\0\0\0\0"
_EDNS = b"\0\1\0\0\0\0\0\1"

#: Types that no name has data of: OPT, and the transactions 249 to 254 (TKEY, TSIG, IXFR, AXFR, MAILB,
#: MAILA).
_META = frozenset((41, *range(249, 255)))


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A query for the upstream servers.

    `failure` is the reply if none of them answers; `limit` as of Query.
    """

    failure: bytes
    limit: int
    upstreams: tuple[str, ...]


def fast_path(data: bytes, view: View) -> bytes | None:
    """The reply to an ordinary UDP query for a name of the view; None for any other: see `slow_path`."""
    counts = data[4:12]
    if len(data) < 17 or data[2] & 0xFE or data[3] & 0xCF or counts not in (_PLAIN, _EDNS):
        return None
    end = data.find(b"\0", HEADER) + 5
    edns, limit = counts == _EDNS, SMALLEST
    if edns:
        # Only an OPT at the very end: root name, type 41, size, no extended rcode, version 0, flags, options.
        if data[end : end + 3] != b"\0\0\x29" or data[end + 5 : end + 7] != b"\0\0":
            return None
        if len(data) < end + 11 or len(data) != end + 11 + (data[end + 9] << 8 | data[end + 10]):
            return None
        limit = max(SMALLEST, min(data[end + 3] << 8 | data[end + 4], LARGEST_UDP))
    elif end != len(data):
        return None
    question = data[HEADER:end]
    key = wire.lowercase(question)
    for zone in view.zones:
        answer = zone.table.get(key)
        if answer is not None:
            return wire.reply(Query(data[:2], data[2:4], question, edns, limit), answer)
    return None


def slow_path(data: bytes, view: View | None, *, tcp: bool = False) -> bytes | Forwarded | None:
    """The reply to any bytes, or Forwarded, or None for what must not be answered at all.

    Not answered: what is too short for a header, and responses (QR), so that two servers never answer each
    other for ever.
    """
    if len(data) < HEADER or data[2] & 0x80:
        return None
    bare = Query(data[:2], data[2:4], b"", edns=False, limit=SMALLEST)
    if data[2] & 0x78:
        return wire.reply(bare, Answer(wire.NOTIMP, own=False))
    end = wire.question_end(data)
    if data[4:6] != b"\0\1" or not end:
        return wire.reply(bare, Answer(wire.FORMERR, own=False))
    found = _edns(data)
    if found is None:
        return wire.reply(bare, Answer(wire.FORMERR, own=False))
    version, size = found
    limit = LARGEST if tcp else max(SMALLEST, min(size, LARGEST_UDP))
    query = Query(data[:2], data[2:4], data[HEADER:end], version >= 0, limit)
    if version > 0:
        return wire.reply(query, Answer(wire.BADVERS, own=False))
    return _resolve(query, view)


def _edns(data: bytes) -> tuple[int, int] | None:
    """(EDNS version, UDP size) of a query, (-1, 0) without EDNS; None if the message is malformed."""
    import dns.message

    try:
        parsed = dns.message.from_wire(data, ignore_trailing=True, keyring=False)
    except Exception:  # whatever dnspython raises for unexpected bytes, it means that they are malformed
        return None
    return parsed.edns, max(parsed.payload, 0)


def _resolve(query: Query, view: View | None) -> bytes | Forwarded:
    kind, cls = int.from_bytes(query.question[-4:-2], "big"), query.question[-2:]
    if view is None or cls != b"\0\1" or kind in _META:
        return wire.reply(query, wire.REFUSAL)
    name = query.question[:-4].lower()
    answer = local_answer(view, name, kind)
    if answer is not None:
        return wire.reply(query, answer)
    if not view.forward:
        return wire.reply(query, wire.NOT_KNOWN)
    return Forwarded(wire.reply(query, wire.FAILURE), query.limit, view.upstreams)


def local_answer(view: View, name: bytes, kind: int) -> Answer | None:
    """The answer for a lower-case wire name: data, no data or no such name; None if it is in no zone."""
    for zone in view.zones:
        if name in zone.known:
            kinds = (A, AAAA, wire.PTR) if kind == ANY else (kind,)
            found = [zone.table[key] for each in kinds if (key := wire.question(name, each)) in zone.table]
            return next((each for each in found if each.count), zone.known[name])
    for zone in view.zones:
        suffix = zone.suffix_of(name)
        if suffix is not None:
            negative = wire.no_data if name == suffix else wire.no_name
            return negative(name, suffix, zone.ttl)
    return None


def truncated(data: bytes, limit: int) -> bytes:
    """An upstream's reply; only header and question, with TC set, if it has more than `limit` octets."""
    end = wire.question_end(data)
    if len(data) <= limit or not end:
        return data
    return data[:2] + bytes((data[2] | 0x02,)) + data[3:4] + b"\0\1\0\0\0\0\0\0" + data[HEADER:end]
