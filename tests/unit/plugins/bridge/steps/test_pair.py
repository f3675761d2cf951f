"""The veth pair and its bridge port."""

from __future__ import annotations

import errno

import pytest

from linkspan.host.contract import PortVlans
from linkspan.host.memory import ReplyLost
from tests.harness.bridge import ONE, PLAIN, TAGGED, VETH, links
from tests.harness.memory import Desk


@pytest.mark.parametrize(
    ("failure", "code", "stays"), [(errno.ENOBUFS, 101, False), (errno.EEXIST, 105, True)]
)
def test_a_pair_that_is_there_after_a_failed_request_is_removed_unless_another_created_it(
    desk: Desk, failure: int, code: int, stays: bool
) -> None:
    desk.host.refuse = {"links.create_veth": ReplyLost(failure)}
    assert desk.call("ADD", PLAIN).code == code
    assert (links(desk).get(VETH) is not None) == stays


def test_the_port_is_an_untagged_member_of_its_vlan_only(desk: Desk) -> None:
    assert desk.call("ADD", TAGGED).status == 0
    assert links(desk).vlans(ONE.host_veth) == (PortVlans(100, 100, untagged=True),)


def test_the_default_vlan_is_kept_if_configured(desk: Desk) -> None:
    desk.call("ADD", {**TAGGED, "preserveDefaultVlan": True})
    untagged = PortVlans(1, 1, untagged=True), PortVlans(100, 100, untagged=True)
    assert links(desk).vlans(ONE.host_veth) == untagged


def test_a_trunk_port_is_a_tagged_member_of_its_vlans(desk: Desk) -> None:
    trunk = [{"id": 30}, {"minID": 200, "maxID": 299}]
    assert desk.call("ADD", {"type": "bridge", "bridge": "br0", "vlanTrunk": trunk}).status == 0
    assert links(desk).vlans(ONE.host_veth) == (
        PortVlans(1, 1, untagged=True),
        PortVlans(30, 30),
        PortVlans(200, 299),
    )
