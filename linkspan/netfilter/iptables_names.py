"""Names of an attachment's iptables chains, and comments, as the reference plugins write them. Pure."""

from __future__ import annotations

from hashlib import sha512
from typing import TYPE_CHECKING

from linkspan.cni.model import FIRST_IFNAME
from linkspan.netfilter.rules import Match

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment

#: XT_EXTENSION_MAXNAMELEN of linux/netfilter/x_tables.h without the final NUL, and XT_MAX_COMMENT_LEN of
#: xt_comment.h likewise.
MAX_NAME, _MAX_COMMENT = 28, 255


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
