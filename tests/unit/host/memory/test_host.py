"""What the host in memory does for tests: it refuses on demand, counts, dies.

That it is like the real one is tests/contract's business.
"""

from __future__ import annotations

import errno

import pytest

from linkspan.cni.errors import IoFailure, KernelRefused
from linkspan.host.contract import Host
from linkspan.host.memory import Killed, MemoryHost, ReplyLost


def test_it_is_a_host() -> None:
    host: Host = MemoryHost()
    host.close()


def test_every_request_of_a_name_is_refused() -> None:
    host = MemoryHost(refuse={"links.create_bridge": errno.EPERM})
    for _ in range(2):
        with pytest.raises(KernelRefused) as caught:
            host.links().create_bridge("br0")
        assert caught.value.errno == errno.EPERM


def test_only_the_nth_request_is_refused() -> None:
    host = MemoryHost(refuse={("links.create_bridge", 2): errno.EPERM})
    host.links().create_bridge("br0")
    with pytest.raises(KernelRefused):
        host.links().create_bridge("br1")
    host.links().create_bridge("br2")
    assert [each.name for each in host.links().all(kind="bridge")] == ["br0", "br2"]


def test_a_request_whose_reply_is_lost_is_carried_out() -> None:
    host = MemoryHost(refuse={"links.create_bridge": ReplyLost(errno.ENOBUFS)})
    with pytest.raises(KernelRefused) as caught:
        host.links().create_bridge("br0")
    assert caught.value.errno == errno.ENOBUFS
    assert host.links().get("br0") is not None


def test_files_are_refused_as_files_are() -> None:
    host = MemoryHost(refuse={"files.write": errno.ENOSPC})
    with pytest.raises(IoFailure, match="/run/a: No space left"):
        host.files.write("/run/a", b"")


def test_requests_are_keys_that_refuse_takes() -> None:
    host = MemoryHost()
    host.files.read("/a")
    host.links().get("lo")
    host.files.read("/b")
    assert host.requests == [("files.read", 1), ("links.get", 1), ("files.read", 2)]


def test_who_is_killed_does_nothing_more_until_revived() -> None:
    host = MemoryHost(dies_at=("files.write", 2))
    host.files.write("/run/a", b"")
    for _ in range(2):
        with pytest.raises(Killed):
            host.files.write("/run/b", b"")
    with pytest.raises(Killed):
        host.files.remove("/run/a")
    host.revive()
    assert (host.files.read("/run/a"), host.files.read("/run/b")) == (b"", None)


def test_state_tells_what_was_made() -> None:
    host = MemoryHost()
    before = host.state()
    host.files.write("/run/a", b"x")
    assert host.state() - before == {"file /run/a 0600 b'x'"}
