"""rtnetlink messages about policy rules (ip-rule(8)): requests from values, values from answers. Pure.

Numbers: linux/fib_rules.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from linkspan.cni.addresses import Family
from linkspan.host.contract import PolicyRule
from linkspan.host.linux.netlink.attributes import attribute, number, parse, u32
from linkspan.host.linux.netlink.client import NLM_F_CREATE, NLM_F_EXCL, Request

_RTM_NEWRULE, _RTM_DELRULE, _RTM_GETRULE = 32, 33, 34
#: struct fib_rule_hdr: family, length of destination, of source, TOS, table, two unused, action, flags.
_RULE = struct.Struct("=BBBBBBBBI")
_FRA_SRC, _FRA_PRIORITY, _FRA_TABLE = 2, 6, 15
_FR_ACT_TO_TBL = 1
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def get_rules(family: Family) -> Request:
    """Dump the rules of a family."""
    return Request(_RTM_GETRULE, _RULE.pack(_FAMILY[family], 0, 0, 0, 0, 0, 0, 0, 0))


def new_rule(rule: PolicyRule) -> Request:
    """Add a rule."""
    return Request(_RTM_NEWRULE, _payload(rule), NLM_F_CREATE | NLM_F_EXCL)


def del_rule(rule: PolicyRule) -> Request:
    """Delete a rule."""
    return Request(_RTM_DELRULE, _payload(rule))


def _payload(rule: PolicyRule) -> bytes:
    source = ipaddress.ip_address(rule.source)
    head = _RULE.pack(_FAMILY[source.version], 0, source.max_prefixlen, 0, 0, 0, 0, _FR_ACT_TO_TBL, 0)
    numbers = u32(_FRA_PRIORITY, rule.priority) + u32(_FRA_TABLE, rule.table)
    return head + attribute(_FRA_SRC, source.packed) + numbers


def read_rule(payload: bytes) -> PolicyRule | None:
    """The rule that an RTM_NEWRULE describes, None unless it sends what one address sends to a table."""
    family, _, length, _, table, _, _, action, _ = _RULE.unpack_from(payload)
    found = parse(payload, _RULE.size)
    source = found.get(_FRA_SRC, b"")
    if action != _FR_ACT_TO_TBL or not source or length != len(source) * 8:
        return None
    return PolicyRule(
        source=socket.inet_ntop(family, source),
        table=number(found.get(_FRA_TABLE)) or table,
        priority=number(found.get(_FRA_PRIORITY)),
    )
