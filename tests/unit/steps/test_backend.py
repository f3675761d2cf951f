"""Which packet-rule backend serves a call."""

from __future__ import annotations

import pytest

from linkspan.cni.errors import InvalidConfig, ToolMissing
from linkspan.host.memory import MemoryHost
from linkspan.steps.backend import choose


def a_host(*, iptables: bool = True, nftables: bool = True) -> MemoryHost:
    host = MemoryHost()
    host.iptables.families = (4, 6) if iptables else ()
    host.nftables.available = nftables
    return host


@pytest.mark.parametrize("unset", [None, ""])
def test_unset_is_iptables_where_it_works(unset: str | None) -> None:
    assert choose(a_host(), unset) == "iptables"


def test_unset_is_nftables_where_iptables_does_not_work() -> None:
    assert choose(a_host(iptables=False), None) == "nftables"


def test_unset_is_nftables_where_nft_created_the_table_of_iptables() -> None:
    host = a_host()
    host.iptables.foreign = {(4, "nat")}
    assert choose(host, None) == "nftables"
    assert choose(host, None, table="filter") == "iptables"


def test_unset_where_nothing_works_says_so() -> None:
    with pytest.raises(ToolMissing, match="neither"):
        choose(a_host(iptables=False, nftables=False), None)


@pytest.mark.parametrize("name", ["iptables", "nftables"])
def test_a_configured_backend_is_used(name: str) -> None:
    assert choose(a_host(), name) == name


@pytest.mark.parametrize("name", ["iptables", "nftables"])
def test_a_configured_backend_that_does_not_work_is_named_with_its_key(name: str) -> None:
    with pytest.raises(ToolMissing) as caught:
        choose(a_host(iptables=False, nftables=False), name, path="$.ipMasqBackend")
    assert caught.value.msg.startswith(f'$.ipMasqBackend: "{name}"')


def test_an_unknown_name_is_named_with_its_key() -> None:
    with pytest.raises(InvalidConfig, match=r"\$\.backend: unknown backend"):
        choose(a_host(), "ebtables")
