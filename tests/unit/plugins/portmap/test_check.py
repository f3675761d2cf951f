"""What CHECK of portmap finds wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from linkspan.host.memory.nftables import MemoryTable
from tests.harness.portmap import BACKENDS, PortmapDesk


def _table(desk: PortmapDesk) -> MemoryTable:
    table = desk.host.nftables.table
    assert table is not None
    return table


def test_check_is_content_after_add(desk: PortmapDesk) -> None:
    desk.call("ADD")
    assert desk.call("CHECK").status == 0


def test_check_names_a_chain_that_has_lost_its_rules(desk: PortmapDesk) -> None:
    desk.call("ADD")
    if desk.backend == "nftables":
        _table(desk).chains["published"].clear()
    else:
        desk.host.iptables.tables[4, "nat"]["CNI-HOSTPORT-MASQ"].clear()
    answer = desk.call("CHECK")
    assert answer.code == 103
    assert ("published" if desk.backend == "nftables" else "CNI-HOSTPORT-MASQ") in answer.msg


def test_check_finds_an_element_that_leads_elsewhere() -> None:
    desk = PortmapDesk("nftables")
    desk.call("ADD")
    ports = _table(desk).sets["ports4"]
    stolen = ports["tcp", "8080"]
    ports["tcp", "8080"] = replace(stolen, value="10.5.0.99 . 80")
    answer = desk.call("CHECK")
    assert answer.code == 103
    assert "10.5.0.99" in answer.msg


def test_check_tells_of_a_listener_that_came_later_and_is_content(desk: PortmapDesk) -> None:
    desk.call("ADD")
    desk.host.listen("tcp", 8080)
    desk.call("CHECK")
    assert [each for each in desk.host.warnings if "8080/tcp" in each]


@pytest.fixture(params=BACKENDS)
def relaying(request: pytest.FixtureRequest) -> PortmapDesk:
    return PortmapDesk(request.param, localhost="relay")


def test_check_is_content_with_what_is_relayed_and_redirected(relaying: PortmapDesk) -> None:
    relaying.call("ADD")
    assert relaying.call("CHECK").status == 0


def test_check_names_a_port_that_is_not_relayed(relaying: PortmapDesk) -> None:
    relaying.call("ADD")
    relaying.host.services.relayed.clear()
    answer = relaying.call("CHECK")
    assert (answer.code, answer.msg) == (103, "8080/tcp of 127.0.0.0/8 is not relayed to 10.5.0.2")


def test_check_finds_a_redirection_that_leads_to_another_port(relaying: PortmapDesk) -> None:
    relaying.call("ADD")
    for ports in relaying.host.services.relayed.values():
        for each in ports:
            each["redirect"] += 1
    assert relaying.call("CHECK").code == 103


def test_check_does_not_miss_ipv6_on_a_host_that_has_none(relaying: PortmapDesk) -> None:
    relaying.host.namespace("/proc/self/ns/net").sysctls["ipv6/conf/lo/disable_ipv6"] = "1"
    relaying.host.services.without_families.add(6)
    relaying.call("ADD")
    assert relaying.call("CHECK").status == 0
