"""What CHECK of portmap finds wrong."""

from __future__ import annotations

from dataclasses import replace

from linkspan.host.memory.nftables import MemoryTable
from tests.harness.portmap import PortmapDesk


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
    desk.host.listeners = {("tcp", 8080)}
    desk.call("CHECK")
    assert [each for each in desk.host.warnings if "8080/tcp" in each]
