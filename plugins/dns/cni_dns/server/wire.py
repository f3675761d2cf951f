"""DNS messages: names and answers in wire form, built once and assembled for each query (RFC 1035, RFC
6891).

Pure.

An answer is kept without header and question: those are the client's own bytes, so that its spelling of the
name comes back. Answers point at the name in the question, which is always at offset 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

A, SOA, PTR, AAAA, OPT, AXFR, ANY = 1, 6, 12, 28, 41, 252, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

HEADER = 12
#: Octets of a reply: what every client accepts over UDP, the most we send over UDP (one frame of any link),
#: the most over TCP.
SMALLEST, LARGEST_UDP, LARGEST = 512, 1232, 65535

_OPT_TAIL = b"\0\0\0\0\0"
_MOST_ROTATIONS = 16


class Answer:
    """The sections after the question.

    `rotations` holds the answer section in every rotation; they are used in turn.
    """

    __slots__ = ("_next", "authority", "count", "own", "rcode", "rotations")

    def __init__(
        self,
        rcode: int,
        rotations: Sequence[bytes] = (b"",),
        count: int = 0,
        authority: bytes = b"",
        *,
        own: bool = True,
    ) -> None:
        self.rcode = rcode
        self.rotations = tuple(rotations)
        self.count = count
        self.authority = authority
        self.own = own
        self._next = 0

    def section(self) -> bytes:
        """The answer section, rotated by one record each time."""
        rotations = self.rotations
        if len(rotations) == 1:
            return rotations[0]
        self._next = number = (self._next + 1) % len(rotations)
        return rotations[number]


REFUSAL = Answer(REFUSED, own=False)
FAILURE = Answer(SERVFAIL, own=False)
#: NXDOMAIN without SOA, not to be cached: for a name that is in no zone of ours and may not be forwarded.
NOT_KNOWN = Answer(NXDOMAIN, own=False)


def wire_name(name: str) -> bytes:
    """A checked name in wire form, lower case: a length octet before each label, a zero octet at the end."""
    return b"".join(bytes((len(label),)) + label.encode() for label in name.lower().split(".")) + b"\0"


def reverse_name(ip: str) -> bytes:
    """The wire name that asks for an address's name (RFC 1035, 3.5; RFC 3596, 2.5)."""
    return wire_name(ip_address(ip).reverse_pointer)


def address_of_reverse(name: bytes) -> IPv4Address | IPv6Address | None:
    """The address that a lower-case wire name below in-addr.arpa or ip6.arpa stands for, or None."""
    labels = _labels(name)
    try:
        if labels[-2:] == [b"in-addr", b"arpa"] and len(labels) == 6:
            return IPv4Address(b".".join(reversed(labels[:4])).decode())
        if labels[-2:] == [b"ip6", b"arpa"] and len(labels) == 34:
            return IPv6Address(int(b"".join(reversed(labels[:32])), 16))
    except ValueError:
        pass
    return None


def _labels(name: bytes) -> list[bytes]:
    labels, at = [], 0
    while name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return labels


def question(name: bytes, kind: int) -> bytes:
    """A question section's bytes, class IN; a table's key when the name is in lower case."""
    return name + kind.to_bytes(2, "big") + b"\0\1"


def addresses(kind: int, packed: Sequence[bytes], ttl: int) -> Answer:
    """All addresses of a name, in at most 16 rotations."""
    head = b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1" + ttl.to_bytes(4, "big")
    records = [head + len(each).to_bytes(2, "big") + each for each in packed]
    rotations = [b"".join(records[i:] + records[:i]) for i in range(min(len(records), _MOST_ROTATIONS))]
    return Answer(NOERROR, rotations, len(records))


def pointer(target: str, ttl: int) -> Answer:
    """The name of an address."""
    data = wire_name(target)
    head = b"\xc0\x0c\0\x0c\0\1" + ttl.to_bytes(4, "big")
    return Answer(NOERROR, (head + len(data).to_bytes(2, "big") + data,), 1)


def no_data(name: bytes, zone: bytes, ttl: int) -> Answer:
    """The name exists and has nothing of this type (RFC 2308, 2.2): no answer, the zone's SOA."""
    return Answer(NOERROR, authority=_soa(name, zone, ttl))


def no_name(name: bytes, zone: bytes, ttl: int) -> Answer:
    """The zone has no such name (RFC 2308, 2.1)."""
    return Answer(NXDOMAIN, authority=_soa(name, zone, ttl))


def _soa(name: bytes, zone: bytes, ttl: int) -> bytes:
    """A SOA record whose owner `zone` is a compression pointer into the name of the question."""
    owner = (0xC000 | HEADER + len(name) - len(zone)).to_bytes(2, "big")
    numbers = b"".join(each.to_bytes(4, "big") for each in (1, 3600, 600, 86400, ttl))
    data = owner + b"\x0ahostmaster" + owner + numbers
    head = owner + b"\0\6\0\1" + ttl.to_bytes(4, "big")
    return head + len(data).to_bytes(2, "big") + data


@dataclass(frozen=True, slots=True)
class Query:
    """What the reply needs of a query: the header's id and flags, the question as sent.

    `limit` is how long the reply may be, in octets; `edns` whether the client uses EDNS, so that the reply
    must, too.
    """

    ident: bytes
    flags: bytes
    question: bytes
    edns: bool
    limit: int


def reply(query: Query, answer: Answer) -> bytes:
    """The complete reply; truncated to its question, with TC set, if it is longer than the client accepts."""
    section = answer.section()
    size = HEADER + len(query.question) + len(section) + len(answer.authority) + 11 * query.edns
    truncated = size > query.limit
    counts = (
        len(query.question) > 0,
        0 if truncated else answer.count,
        0 if truncated else answer.authority != b"",
        query.edns,
    )
    # AA if the answer is ours, RD and CD as in the query, RA always; AD never, we validate nothing (RFC
    # 4035, 3.2.3).
    first = 0x80 | query.flags[0] & 0x79 | 0x04 * answer.own | 0x02 * truncated
    second = 0x80 | query.flags[1] & 0x10 | answer.rcode & 0x0F
    return b"".join(
        (
            query.ident,
            bytes((first, second)),
            *(int(count).to_bytes(2, "big") for count in counts),
            query.question,
            b"" if truncated else section,
            b"" if truncated else answer.authority,
            _opt(answer.rcode) if query.edns else b"",
        )
    )


def _opt(rcode: int) -> bytes:
    """Our OPT record (RFC 6891, 6.1.2): what we accept over UDP, the upper bits of the rcode, version 0."""
    return b"\0\0\x29" + LARGEST_UDP.to_bytes(2, "big") + bytes((rcode >> 4,)) + _OPT_TAIL


def question_end(data: bytes) -> int:
    """Where the (first) question ends, or 0 if its name is malformed or compressed."""
    at = HEADER
    while at < len(data) and data[at]:
        if data[at] > 63:
            return 0
        at += 1 + data[at]
    return at + 5 if at + 5 <= len(data) and at - HEADER < 255 else 0


def lowercase(question: bytes) -> bytes:
    """A question with its name in lower case. The type stays as it is: octet 65 (HTTPS) would become 97."""
    return question[:-4].lower() + question[-4:]
