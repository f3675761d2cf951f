"""Names of an attachment's iptables chains, and comments, as the reference plugins write them. Pure."""

from __future__ import annotations

import re
from hashlib import sha512

from linkspan.cni.model import FIRST_IFNAME, Attachment
from linkspan.netfilter.rules import Match

#: XT_EXTENSION_MAXNAMELEN of linux/netfilter/x_tables.h without the final NUL, and XT_MAX_COMMENT_LEN of
#: xt_comment.h likewise.
MAX_NAME, _MAX_COMMENT = 28, 255
#: The beginnings of the chains of attachments in table nat: masquerading, published ports.
MASQUERADING, PUBLISHED = "CNI-", "CNI-DN-"
#: `names` as iptables-save prints it.
_NAMES = re.compile(r'name: \\?"([^"\\]+)\\?" id: \\?"([^"\\]+)\\?"')
_INTERFACES = tuple(f"eth{number}" for number in range(10))


def chain_name(prefix: str, attachment: Attachment) -> str:
    """The prefix and as many hex digits of the attachment's digest as a chain's name can have.

    For eth0 it is the reference's name, which leaves the interface out: the reference gives all interfaces of
    a container on one network the same chain, and deletes it with the first of them.
    """
    words = attachment.network + attachment.container_id
    if attachment.ifname != FIRST_IFNAME:
        words += "\0" + attachment.ifname
    return f"{prefix}{sha512(words.encode()).hexdigest()}"[:MAX_NAME]


def comment(text: str) -> Match:
    """A comment, cut at the length that the kernel allows."""
    return Match("comment", (("comment", text[:_MAX_COMMENT]),))


def names(attachment: Attachment) -> str:
    """The network and the container in the reference's form, which nerdctl and people read."""
    return f'name: "{attachment.network}" id: "{attachment.container_id}"'


def attachment_in(rule: str) -> Attachment | None:
    """The attachment whose chain a rule leads to, by its comment and the chain's name; None for other
    rules.
    """
    words, target = _NAMES.search(rule), rule.partition(" -j ")[2].split(" ")[0]
    if words is None:
        return None
    possible = (Attachment(words[1], words[2], each) for each in _INTERFACES)
    return next((each for each in possible if target in _chains(each)), None)


def _chains(attachment: Attachment) -> tuple[str, ...]:
    return tuple(chain_name(each, attachment) for each in (MASQUERADING, PUBLISHED))
