"""host-local on a host in memory: what to call it with, and what it leaves on the disk."""

from __future__ import annotations

import re
from typing import Any

from linkspan.cni.addresses import canonical_ip
from tests.harness.memory import Desk

FOLDER = "/var/lib/cni/networks/net"
SMALL: dict[str, Any] = {"ranges": [[{"subnet": "10.5.0.0/29"}]]}
WIDE: dict[str, Any] = {"ranges": [[{"subnet": "10.5.0.0/24"}]]}
DUAL: dict[str, Any] = {"ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]]}


def config(ipam: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration with this `ipam` object."""
    return {"type": "host-local", "ipam": {"type": "host-local", **ipam}, **more}


def addresses(
    desk: Desk, ipam: dict[str, Any], cni_args: str = "", cid: str = "c1", **more: Any
) -> list[str]:
    """The addresses that an ADD answers with."""
    answer = desk.call("ADD", config(ipam, **more), container_id=cid, args=cni_args)
    assert answer.status == 0, answer.document
    return [each["address"] for each in answer.document["ips"]]


def leases(desk: Desk) -> list[str]:
    """The addresses with a lease file."""
    return [each for each in desk.host.files.names(FOLDER) if canonical_ip(each) is not None]


def reboot(desk: Desk, boot: str = "second-boot 1") -> None:
    """The host starts anew."""
    desk.host.boot = boot


def left(desk: Desk) -> list[str]:
    """Files besides the lock, the cursors and the memory of what was given back."""
    stays = re.compile(r".*(/lock|_ip\.[01]|/released/.*|/swept/.*)")
    return [each for each in desk.host.files.contents if not stays.fullmatch(each)]
