"""loopback on a host in memory."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from linkspan.host.memory import MemoryHost
from tests.harness.memory import BOX, VERSIONS, Desk

LO: dict[str, Any] = {"type": "loopback"}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def is_up(desk: Desk) -> bool:
    lo = desk.host.namespace(BOX).get("lo")
    return lo is not None and lo.up


def test_add_takes_lo_up_and_answers_with_its_addresses(desk: Desk) -> None:
    answer = desk.call("ADD", LO, ifname="lo")
    assert is_up(desk)
    assert answer.document == {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": BOX}],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}, {"address": "::1/128", "interface": 0}],
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_answered_in_its_own_shape(version: str) -> None:
    result = Desk(version=version).call("ADD", LO, ifname="lo").document
    old = version in ("0.1.0", "0.2.0")
    assert result["cniVersion"] == version
    assert result.get("ip4") == ({"ip": "127.0.0.1/8"} if old else None)
    assert ("interfaces" in result) == (not old)


def test_an_earlier_plugin_s_result_comes_back_unchanged(desk: Desk) -> None:
    earlier = {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.2/8"}], "vendor.example/x": 1}
    assert desk.call("ADD", {**LO, "prevResult": earlier}, ifname="lo").document == earlier


def test_add_twice_is_fine(desk: Desk) -> None:
    assert [desk.call("ADD", LO, ifname="lo").status for _ in range(2)] == [0, 0]


def test_del_takes_lo_down(desk: Desk) -> None:
    desk.call("ADD", LO, ifname="lo")
    assert desk.call("DEL", LO, ifname="lo").status == 0
    assert not is_up(desk)


@pytest.mark.parametrize("netns", ["", "/run/netns/nobody"])
def test_del_without_a_namespace_is_fine(desk: Desk, netns: str) -> None:
    assert desk.call("DEL", LO, ifname="lo", netns=netns).status == 0


def test_del_never_touches_the_host_s_own_lo(desk: Desk) -> None:
    own = desk.host.namespace("/proc/self/ns/net")
    own.change("lo", up=True)
    assert desk.call("DEL", LO, ifname="lo", netns="/proc/self/ns/net").status == 0
    assert own.sysctl("ipv4/ip_forward") is not None
    lo = own.get("lo")
    assert lo is not None
    assert lo.up


def test_a_refused_add_is_told_with_the_kernel_s_word() -> None:
    answer = Desk(MemoryHost(refuse={"links.change": errno.EPERM})).call("ADD", LO, ifname="lo")
    assert answer.code == 101
    assert "Operation not permitted" in answer.msg


def test_check_is_content_with_lo_up_and_finds_it_down(desk: Desk) -> None:
    desk.call("ADD", LO, ifname="lo")
    up = desk.call("CHECK", LO, ifname="lo")
    desk.host.namespace(BOX).change("lo", up=False)
    assert (up.code, desk.call("CHECK", LO, ifname="lo").code) == (0, 103)


@pytest.mark.parametrize("verb", ["GC", "STATUS"])
def test_there_is_nothing_to_collect_and_nothing_to_lack(desk: Desk, verb: str) -> None:
    before = desk.host.state()
    assert desk.call(verb, LO).status == 0
    assert desk.host.state() == before
