"""Hairpin mode and isolation of bridge ports on a host in memory."""

from __future__ import annotations

import errno

import pytest

from linkspan.cni.errors import KernelRefused
from linkspan.host.contract import Link
from linkspan.host.memory import MemoryHost, ReplyLost
from linkspan.paths import OWN_NETNS
from linkspan.steps.bridge_ports import EnableHairpin, IsolatePort, disable_hairpin

NETNS = "/run/netns/box"


@pytest.fixture
def host() -> MemoryHost:
    """A host whose bridge br0 has the port veth0."""
    made = MemoryHost()
    made.add_netns(NETNS)
    links = made.namespace(OWN_NETNS)
    links.create_bridge("br0")
    links.create_veth("veth0", mac="", peer="eth0", peer_mac="", peer_netns=NETNS)
    links.change("veth0", master="br0")
    return made


def port(host: MemoryHost) -> Link:
    found = host.namespace(OWN_NETNS).get("veth0")
    assert found is not None
    return found


def test_hairpin_mode_is_enabled_and_undone(host: MemoryHost) -> None:
    undo = EnableHairpin("veth0").do(host)
    enabled = port(host).hairpin
    undo()
    assert (enabled, port(host).hairpin) == (True, False)


def test_a_port_that_no_longer_exists_needs_no_reset(host: MemoryHost) -> None:
    EnableHairpin("veth0").do(host)
    host.namespace(OWN_NETNS).delete("veth0")
    disable_hairpin(host, "veth0")


def test_a_refusal_is_not_taken_for_a_missing_port(host: MemoryHost) -> None:
    EnableHairpin("veth0").do(host)
    host.refuse = {"links.change_port": errno.EMFILE}
    with pytest.raises(KernelRefused):
        disable_hairpin(host, "veth0")


@pytest.mark.parametrize(("sysctl", "isolated"), [(None, True), ("0", True), ("1", False)])
def test_a_port_is_isolated_only_where_rules_do_not_see_bridged_packets(
    host: MemoryHost, sysctl: str | None, *, isolated: bool
) -> None:
    if sysctl is not None:
        host.namespace(OWN_NETNS).sysctls["bridge/bridge-nf-call-iptables"] = sysctl
    step = IsolatePort("veth0")
    missing = step.missing(host)
    undo = step.do(host)
    assert (bool(missing), port(host).isolated, step.missing(host)) == (isolated, isolated, [])
    undo()
    assert not port(host).isolated


def test_an_isolated_port_stays_isolated_when_the_step_is_undone(host: MemoryHost) -> None:
    host.namespace(OWN_NETNS).change_port("veth0", isolated=True)
    IsolatePort("veth0").do(host)()
    assert port(host).isolated


def test_a_step_that_fails_although_the_kernel_acted_leaves_the_port_as_it_was(host: MemoryHost) -> None:
    host.refuse = {("links.change_port", 1): ReplyLost(errno.ENOBUFS)}
    with pytest.raises(KernelRefused):
        IsolatePort("veth0").do(host)
    assert not port(host).isolated
