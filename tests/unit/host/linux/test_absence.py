"""Nothing but its own error number means that something is absent: no other error is taken for absence."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from linkspan.cni.errors import CniError, InvalidNetns, IoFailure, KernelRefused, NetnsGone
from linkspan.host.contract import KernelRoute, PolicyRule, PortVlans
from linkspan.host.linux import LinuxHost, sysctls
from linkspan.host.linux.namespaces import open_netns, same_namespace
from linkspan.host.linux.netlink.netfilter import NfTables
from linkspan.netfilter.rules import Flow
from tests.harness.netlink import refusing

FLOW = Flow(family=4, protocol="udp", to_port=53)
#: Every netlink request of the contract whose answer may be "absent": how it is asked, what absence is, and
#: the numbers that mean it.
ASKED: dict[str, tuple[Callable[[LinuxHost], object], object, tuple[int, ...]]] = {
    "get": (lambda host: host.links().get("lo"), None, (errno.ENODEV,)),
    "by_index": (lambda host: host.links().by_index(1), None, (errno.ENODEV,)),
    "all": (lambda host: host.links().all(), (), ()),
    "delete": (lambda host: host.links().delete("lo"), False, (errno.ENODEV,)),
    "vlans": (lambda host: host.links().vlans("lo"), (), ()),
    "delete_vlans": (
        lambda host: host.links().delete_vlans("lo", PortVlans(1, 1)),
        None,
        (errno.ENOENT,),
    ),
    "addresses": (lambda host: host.links().addresses("lo"), (), ()),
    "delete_address": (
        lambda host: host.links().delete_address("lo", "10.0.0.1/8"),
        False,
        (errno.EADDRNOTAVAIL, errno.ENODEV),
    ),
    "rules": (lambda host: host.links().rules(4), None, (errno.EAFNOSUPPORT, errno.EOPNOTSUPP)),
    "delete_rule": (
        lambda host: host.links().delete_rule(PolicyRule(source="10.0.0.1", table=100, priority=100)),
        False,
        (errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP),
    ),
    "delete_route": (
        lambda host: host.links().delete_route(
            KernelRoute(dst="10.0.0.0/8", gw="", ifname="lo", table=100, priority=0, scope=253)
        ),
        False,
        (errno.ESRCH, errno.ENODEV, errno.ENOENT),
    ),
    "routes": (lambda host: host.links().routes(4), (), (errno.ENOENT,)),
    "listening": (lambda host: host.listening("sctp", {80}), (), (errno.ENOENT,)),
    "conntrack": (
        lambda host: host.conntrack.flush([FLOW]),
        0,
        (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP),
    ),
    "nftables": (
        lambda host: host.nftables.usable(),
        False,
        (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP),
    ),
    "element": (lambda _: NfTables().element("ports", ("tcp",)), None, (errno.ENOENT,)),
    "rule_count": (lambda _: NfTables().rule_count("ports"), 0, (errno.ENOENT,)),
    "has_chain": (lambda _: NfTables().has_chain("ip nat", "POSTROUTING"), False, (errno.ENOENT,)),
    "drops": (lambda _: NfTables().drops("ip filter", "FORWARD"), False, (errno.ENOENT,)),
}
NUMBERS = (errno.ENOENT, errno.ENODEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)
ERRORS = (
    errno.EBUSY,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.EPERM,
    errno.EACCES,
    errno.EAGAIN,
    errno.EADDRNOTAVAIL,
)


@pytest.fixture
def host() -> Iterator[LinuxHost]:
    made = LinuxHost()
    yield made
    made.close()


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let every open(2) and socket(2) of this process fail with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("number", [*NUMBERS, *ERRORS], ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("asked", ASKED)
def test_an_error_in_a_netlink_message_is_absence_only_where_the_kernel_says_so(
    host: LinuxHost, monkeypatch: pytest.MonkeyPatch, asked: str, number: int
) -> None:
    ask, absent, numbers = ASKED[asked]
    refusing(monkeypatch, number)
    if number in numbers:
        assert ask(host) == absent
        return
    with pytest.raises(KernelRefused) as caught:
        ask(host)
    assert caught.value.errno == number


@pytest.mark.parametrize("asked", ASKED)
def test_a_netlink_socket_that_cannot_be_opened_is_an_error(host: LinuxHost, asked: str) -> None:
    ask, _, _ = ASKED[asked]
    with suppress(KernelRefused):
        ask(LinuxHost())  # what it imports needs descriptors too
    with no_descriptors(), pytest.raises(KernelRefused) as caught:
        ask(host)
    assert caught.value.errno == errno.EMFILE


@pytest.mark.parametrize(
    "ask",
    [
        lambda host, path: host.files.read(path),
        lambda host, path: host.files.names(os.path.dirname(path)),
        lambda host, path: host.files.write(path, b""),
        lambda host, path: host.files.create(path, b"", temporary_in=os.path.dirname(path)),
        lambda host, path: host.files.lock(path).__enter__(),
        lambda host, _: host.links().sysctl("ipv4/ip_forward"),
        lambda host, _: host.links().set_sysctl("ipv4/ip_forward", "1"),
        lambda host, _: host.links("/proc/self/ns/net"),
    ],
    ids=["read", "names", "write", "create", "lock", "sysctl", "set_sysctl", "links"],
)
def test_without_descriptors_nothing_is_taken_for_absent(
    host: LinuxHost, tmp_path: Path, ask: Callable[[LinuxHost, str], object]
) -> None:
    path = str(tmp_path / "file")
    assert host.files.read(path) is None
    with no_descriptors(), pytest.raises(CniError, match="Too many open files"):
        ask(host, path)


@pytest.mark.parametrize("call", ["lstat", "unlink"])
def test_a_file_that_cannot_be_read_is_not_absent(
    host: LinuxHost, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, call, refused)
    ask = {"lstat": host.files.exists, "unlink": host.files.remove}[call]
    with pytest.raises(IoFailure, match="/etc/hosts: Permission denied"):
        ask("/etc/hosts")


def test_an_error_is_no_answer_to_whether_state_can_be_written(
    host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "lstat", refused)
    with pytest.raises(IoFailure, match="Input/output error"):
        host.files.can_write("/run/linkspan/1")


def test_a_program_is_searched_on_behind_a_folder_that_cannot_be_read(
    host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def refused(path: str, **more: object) -> os.stat_result:
        if str(path).startswith("/opt/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path)

    monkeypatch.setattr(os, "stat", refused)
    assert host.processes.find("sh", ("/opt/bin", "/bin")) == "/bin/sh"
    assert host.processes.find("no-such-program", ("/bin",)) is None
    with pytest.raises(IoFailure, match="/opt/bin/no-such-program: Permission denied"):
        host.processes.find("no-such-program", ("/opt/bin", "/bin"))


def test_a_namespace_that_cannot_be_read_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    for call, ask in (("open", open_netns), ("stat", same_namespace)):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, refused)
            with pytest.raises(InvalidNetns) as caught:
                ask("/run/netns/box")
        assert not isinstance(caught.value, NetnsGone)


@pytest.mark.parametrize("key", ["ipv4/a\0b", "ipv4/\ud800"], ids=["NUL", "surrogate"])
def test_a_sysctl_whose_name_no_file_can_have_is_absent(key: str) -> None:
    assert (sysctls.read(key), sysctls.write(key, "1")) == (None, False)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: Path(path).write_text("")], ids=["FIFO", "file"])
def test_a_path_that_is_not_a_namespace_is_recognized_at_once(
    tmp_path: Path, make: Callable[[str], object]
) -> None:
    path = str(tmp_path / "netns")
    make(path)
    with pytest.raises(InvalidNetns, match="is not a network namespace"):
        open_netns(path)


def test_a_caller_that_reads_no_warnings_still_gets_its_answer() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    host = LinuxHost(stderr=writer)
    host.warn("not read \ud800 by anybody")
    os.close(writer)
