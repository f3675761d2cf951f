"""Whatever stands in place of a lease or a record, or has become of a process: DEL and GC do the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness import ours
from tests.harness.chain import Chain
from tests.harness.networks import box, network, published
from tests.harness.privatehost import PrivateHost
from tests.interchange.mixes import LEASES, addresses, container, leased, pool

pytestmark = pytest.mark.root

#: What is made at the path in `$0`.
ODD = {
    "a directory": "mkdir $0",
    "a full directory": "mkdir -p $0/inside",
    "a FIFO": "mkfifo $0",
    "a link in a loop": "ln -s $0 $0",
    "a link to a directory": "ln -s / $0",
    "a device": "mknod $0 c 1 3",
}
GARBAGE = {
    **{name: ODD[name] for name in ("a full directory", "a link in a loop")},
    "deep nesting": "head -c 100000 /dev/zero | tr '\\0' '[' > $0",
    "another's words": """echo '{"network": [], "containerID": 7, "ifname": null}' > $0""",
}


@pytest.fixture(autouse=True)
def installed(host: PrivateHost) -> None:
    """Our executables in the host."""
    ours.install(host)


def make(host: PrivateHost, script: str, path: str) -> None:
    host.run(["sh", "-c", f"rm -rf $0; {script}", path])


def small(host: PrivateHost) -> Chain:
    return pool(host, [ours.BIN], "10.1.0.0/29", env=ours.STANDALONE)


# --- leases -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_entry_of_a_pool_takes_one_address(host: PrivateHost, odd: str) -> None:
    chain = small(host)
    host.run(["mkdir", "-p", f"{LEASES}/pool"])
    make(host, ODD[odd], f"{LEASES}/pool/10.1.0.3")
    given = [addresses(chain.add(container(name)))[0] for name in ("a", "b", "c")]
    assert given == ["10.1.0.2", "10.1.0.4", "10.1.0.5"]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_entry_of_a_pool_stops_no_del_and_no_gc(host: PrivateHost, odd: str) -> None:
    """Also not the DEL of a container that the reference attached: all leases have to be read for it."""
    chain = small(host)
    chain.add(container("a"))
    make(host, ODD[odd], f"{LEASES}/pool/10.1.0.3")
    host.run(["sh", "-c", r"printf 'theirs\r\neth0' > $0/pool/10.1.0.4", LEASES])
    for name in ("theirs", "unknown"):
        chain.delete(container(name), forget=True)
    chain.gc([])
    assert leased(host) == ["10.1.0.3"]


# --- records ------------------------------------------------------------------------------------------------


def chain_of_all(host: PrivateHost) -> Chain:
    chain = network(host, "n1", 71, backend="nftables")
    chain.plugins.extend(({"type": "tuning", "mtu": 1400}, {"type": "dns"}))
    return chain


def records(host: PrivateHost) -> list[str]:
    found = host.run(["sh", "-c", "find /run/linkspan -path '*/records/*' -name '*.json'"]).stdout
    return sorted(found.split())


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_place_of_every_record_stops_neither_gc_nor_del(host: PrivateHost, garbage: str) -> None:
    chain = chain_of_all(host)
    web = box(host, "web", published(8080))
    chain.add(web)
    assert len(records(host)) == 5
    for path in records(host):
        make(host, GARBAGE[garbage], path)
    chain.gc([])
    chain.delete(web, forget=True)
    assert host.run(["sh", "-c", f"ls {LEASES}/n1 | grep -c '^10'; true"]).stdout.strip() == "0"


# --- the name server ----------------------------------------------------------------------------------------


@contextmanager
def stopped_name_server(host: PrivateHost) -> Iterator[None]:
    servers = [str(pid) for pid, command in host.processes().items() if "cni_dns" in command]
    assert servers
    host.run(["kill", "-STOP", *servers])
    try:
        yield
    finally:
        host.run(["kill", "-CONT", *servers])


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_a_name_server_that_is_stopped_stops_no_removal(host: PrivateHost, verb: str) -> None:
    chain = chain_of_all(host)
    boxes = [box(host, name) for name in ("web", "db", "mail")]
    results: list[dict[str, Any]] = [chain.add(each) for each in boxes]
    with stopped_name_server(host):
        if verb == "GC":
            chain.gc([])
        else:
            chain.delete(boxes[0], results[0])
    left = [path for path in records(host) if "/dns/" in path]
    assert len(left) == {"GC": 0, "DEL": 2}[verb]
