"""DEL of what the reference plugin attached: its objects are removed, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from cni_bridge.takeover import REFERENCE_RULES, rules_comment
from linkspan.cni.model import Attachment
from linkspan.steps.masquerade import Masquerade
from tests.harness.bridge import ONE, links, masquerading
from tests.harness.memory import BOX, Desk


def attached_by_the_reference(desk: Desk) -> dict[str, Any]:
    """Attach as the reference does, without a record of ours; the configuration for the DEL."""
    host = links(desk)
    host.create_bridge("br0")
    host.create_veth(
        "veth5f71f192", mac="46:54:17:14:f7:8c", peer="eth0", peer_mac="d2:5c:ca:ca:df:8b", peer_netns=BOX
    )
    host.change("veth5f71f192", master="br0")
    Masquerade(Attachment("net", "c1", "eth0"), ("10.5.0.2/24",), "iptables").do(desk.host)
    interfaces = [
        {"name": "br0", "mac": "8a:59:94:b4:0c:da"},
        {"name": "veth5f71f192", "mac": "46:54:17:14:f7:8c"},
        {"name": "eth0", "mac": "d2:5c:ca:ca:df:8b", "sandbox": BOX},
    ]
    result = {"interfaces": interfaces, "ips": [{"address": "10.5.0.2/24", "interface": 2}]}
    return {**masquerading("iptables"), "prevResult": {"cniVersion": desk.version, **result}}


def test_del_removes_what_the_reference_attached(desk: Desk) -> None:
    config = attached_by_the_reference(desk)
    assert desk.call("DEL", config, netns="").status == 0
    assert desk.host.namespace(BOX).get("eth0") is None
    assert "CNI-" not in "\n".join(desk.host.state())


def test_del_keeps_a_link_that_only_has_the_name_in_prev_result(desk: Desk) -> None:
    config = attached_by_the_reference(desk)
    config["prevResult"]["interfaces"][1]["mac"] = "46:54:17:14:f7:8d"
    assert desk.call("DEL", config).status == 0
    assert desk.host.namespace(BOX).get("eth0") is not None


def test_del_of_a_second_interface_keeps_the_masquerading_of_the_first(desk: Desk) -> None:
    """The reference gives both one chain; a late DEL must not take it from an attachment of ours."""
    config = masquerading("iptables")
    desk.call("ADD", config)
    before = desk.host.state()
    assert desk.call("DEL", config, ifname="eth1").status == 0
    assert desk.host.state() == before


def rule_of(attachment: Attachment, address: str) -> str:
    words = f"net: {attachment.network}, if: {attachment.ifname}, id: {attachment.container_id}"
    return (
        f'ip saddr {address} ip daddr != 10.1.0.0/24 masquerade comment "{rules_comment(attachment)}{words}"'
    )


def test_the_comment_begins_as_the_reference_s() -> None:
    assert rules_comment(Attachment("mixed", "c1", "eth0")) == "ba9ce3b1eebaa267-f4d01f2ef4b92245, "


@pytest.mark.parametrize(
    ("keys", "stays"),
    [
        ({"ipMasq": True}, False),
        ({"ipMasq": True, "ipMasqBackend": "nftables"}, False),
        ({"ipMasq": True, "ipMasqBackend": "iptables"}, True),
        ({}, True),
    ],
)
def test_del_removes_the_attachment_s_masquerading_if_the_list_may_have_made_some(
    desk: Desk, keys: dict[str, Any], stays: bool
) -> None:
    mine, other = rule_of(ONE, "10.1.0.2"), rule_of(Attachment("net", "c1", "eth1"), "10.1.0.3")
    desk.host.nftables.others = {REFERENCE_RULES: [mine, other]}
    assert desk.call("DEL", {"type": "bridge", "bridge": "br0", **keys}).status == 0
    assert desk.host.nftables.others[REFERENCE_RULES] == ([mine, other] if stays else [other])
