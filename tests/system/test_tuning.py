"""tuning on a real kernel, alone and alternating with the reference's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness import ours, tools
from tests.harness.chain import Attachment, Chain, ChainError
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

BACKUP = "/run/cni/tuning/c1_{ifname}.json"
MAC = "02:00:00:00:95:20"


class Box:
    """One container with a veth, as a plugin before tuning leaves it, and calls of tuning for it."""

    def __init__(self, host: PrivateHost, ifname: str = "eth0") -> None:
        ours.install(host)
        self.host = host
        self.attachment = Attachment("c1", host.add_netns("box"), ifname)
        host.run(["ip", "link", "add", "outer", "type", "veth", "peer", "name", ifname, "netns", "box"])
        host.run(["ip", "link", "set", ifname, "up"], netns="box")
        host.run(["ip", "address", "add", "10.5.0.2/24", "dev", ifname], netns="box")
        self.before = self.link()
        sandboxed = {"name": ifname, "mac": self.before["address"], "sandbox": self.attachment.netns}
        self.result = {
            "cniVersion": "1.1.0",
            "interfaces": [{"name": ifname, "mac": "02:00:00:00:00:01"}, sandboxed],
            "ips": [{"address": "10.5.0.2/24", "interface": 1}],
        }

    def call(
        self, verb: str, *, bin_dir: str = ours.BIN, previous: bool = True, **config: Any
    ) -> dict[str, Any]:
        listed = {"cniVersion": "1.1.0", "name": "n1", "plugins": [{"type": "tuning", **config}]}
        chain = Chain(listed, bin_dir, host=self.host, env=ours.STANDALONE)
        sent = chain.config(chain.plugins[0], self.attachment, self.result if previous else None)
        printed = chain.call("tuning", verb, sent, self.attachment).stdout
        return dict(json.loads(printed)) if printed else {}

    def link(self) -> dict[str, Any]:
        return self.host.links("box")[self.attachment.ifname]

    def sysctl(self, name: str) -> str:
        return self.host.run(["cat", f"/proc/sys/net/{name}"], netns="box").stdout.strip()

    def backup(self) -> str | None:
        try:
            return self.host.read(BACKUP.format(ifname=self.attachment.ifname))
        except FileNotFoundError:
            return None


@pytest.fixture
def box(host: PrivateHost) -> Box:
    return Box(host)


EVERYTHING: dict[str, Any] = {"mac": MAC, "mtu": 1400, "promisc": True, "allmulti": True, "txQLen": 77}


def test_add_changes_every_attribute(box: Box) -> None:
    box.call("ADD", **EVERYTHING)
    link = box.link()
    assert (link["address"], link["mtu"], link["txqlen"]) == (MAC, 1400, 77)
    assert {"PROMISC", "ALLMULTI"} <= set(link["flags"])


def test_result_has_the_new_mac_and_mtu_on_the_container_s_interface_only(box: Box) -> None:
    """Case 153."""
    host_side, inside = box.call("ADD", mac=MAC.upper().replace(":", "-"), mtu=1400)["interfaces"]
    assert (inside["mac"], inside["mtu"]) == (MAC, 1400)
    assert host_side == {"name": "eth0", "mac": "02:00:00:00:00:01"}


@pytest.mark.parametrize("times", [1, 2])
def test_delete_restores_what_was_before_the_first_add(box: Box, times: int) -> None:
    """Case 151."""
    for _ in range(times):
        box.call("ADD", **EVERYTHING)
    box.call("DEL", previous=False, **EVERYTHING)
    assert {**box.link(), "operstate": ""} == {**box.before, "operstate": ""}
    assert box.backup() is None


def test_backup_is_the_reference_s_byte_for_byte(box: Box) -> None:
    reference = tools.require(tools.reference_plugins)
    box.call("ADD", bin_dir=reference, **EVERYTHING)
    theirs = box.backup()
    box.call("DEL", bin_dir=reference, **EVERYTHING)
    box.call("ADD", **EVERYTHING)
    assert box.backup() == theirs


@pytest.mark.parametrize("first_is_ours", [True, False])
def test_either_plugin_restores_what_the_other_changed(box: Box, first_is_ours: bool) -> None:
    plugins = [ours.BIN, tools.require(tools.reference_plugins)]
    changing, restoring = plugins if first_is_ours else reversed(plugins)
    box.call("ADD", bin_dir=changing, **EVERYTHING)
    box.call("DEL", bin_dir=restoring, **EVERYTHING)
    assert box.link()["address"] == box.before["address"]
    assert box.backup() is None


def test_delete_removes_the_backup_if_the_namespace_no_longer_exists(box: Box) -> None:
    """Case 152."""
    box.call("ADD", **EVERYTHING)
    box.host.del_netns("box")
    box.call("DEL", **EVERYTHING)
    assert box.backup() is None


def test_a_sysctl_that_the_kernel_refuses_restores_the_earlier_ones(box: Box) -> None:
    """Case 150."""
    before = box.sysctl("core/somaxconn")
    with pytest.raises(ChainError) as failure:
        box.call("ADD", sysctl={"net.core.somaxconn": "500", "net.ipv4.ip_forward": "no number"})
    assert failure.value.error["code"] == 101
    assert box.sysctl("core/somaxconn") == before


def test_an_mtu_that_the_kernel_refuses_leaves_mac_and_backup_as_they_were(box: Box) -> None:
    with pytest.raises(ChainError):
        box.call("ADD", mac=MAC, mtu=1_000_000)
    assert box.link()["address"] == box.before["address"]
    assert box.backup() is None


def test_the_token_ifname_stands_for_an_interface_with_dots(host: PrivateHost) -> None:
    """Case 155."""
    box = Box(host, "eth0.100")
    box.call("ADD", sysctl={"net.ipv4.conf.IFNAME.arp_ignore": "1"})
    assert box.sysctl("ipv4/conf/eth0.100/arp_ignore") == "1"


def test_sysctl_outside_net_is_refused(box: Box) -> None:
    before = box.host.read("/proc/sys/kernel/msgmax")
    with pytest.raises(ChainError, match="invalid net sysctl key") as failure:
        box.call("ADD", sysctl={"kernel.msgmax": "9000"})
    assert failure.value.error["code"] == 7
    assert box.host.read("/proc/sys/kernel/msgmax") == before


def test_a_sysctl_that_is_not_on_the_allowlist_is_refused(box: Box) -> None:
    box.host.write("/etc/cni/tuning/allowlist.conf", "^net.ipv4\\.\n\n")
    box.call("ADD", sysctl={"net.ipv4.conf.IFNAME.arp_ignore": "1"})
    with pytest.raises(ChainError, match="Only the following sysctls are allowed"):
        box.call("ADD", sysctl={"net.core.somaxconn": "500"})


def test_check_finds_a_changed_mtu(box: Box) -> None:
    config: dict[str, Any] = {"mtu": 1400, "sysctl": {"net.ipv4.tcp_rmem": "4096 131072 6291456"}}
    box.call("ADD", **config)
    box.call("CHECK", **config)
    box.host.run(["ip", "link", "set", "eth0", "mtu", "1300"], netns="box")
    with pytest.raises(ChainError, match="mtu of eth0 is 1300, not 1400"):
        box.call("CHECK", **config)


def test_check_accepts_promiscuous_mode_that_another_program_enabled(box: Box) -> None:
    """Case 154."""
    box.call("ADD", mtu=1400)
    box.host.run(["ip", "link", "set", "eth0", "promisc", "on"], netns="box")
    box.call("CHECK", mtu=1400)


def test_gc_removes_the_backup_of_an_invalid_attachment(box: Box) -> None:
    box.call("ADD", **EVERYTHING)
    chain = Chain(
        {"cniVersion": "1.1.0", "name": "n1", "plugins": [{"type": "tuning"}]}, ours.BIN, host=box.host
    )
    chain.gc([box.attachment])
    assert box.backup() is not None
    chain.gc([])
    assert box.backup() is None


def test_an_empty_configuration_leaves_nothing(box: Box) -> None:
    box.call("DEL")
    before = box.host.snapshot(ignore=ours.STAYS)
    assert box.call("ADD") == box.result
    box.call("CHECK")
    box.call("DEL")
    assert box.host.snapshot(ignore=ours.STAYS).diff(before) == []
