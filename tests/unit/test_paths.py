"""Where state is: told by the kernel's number for our network namespace, and never by a guess."""

from __future__ import annotations

import _socket
import errno
import os

import pytest

from linkspan import paths


class Probe:
    """A socket of a kernel that answers the question for the namespace's number with an error."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.closed = False

    def getsockopt(self, *_: object) -> bytes:
        raise OSError(self._number, os.strerror(self._number))

    def close(self) -> None:
        self.closed = True


def probing(monkeypatch: pytest.MonkeyPatch, number: int) -> Probe:
    probe = Probe(number)
    monkeypatch.setattr(_socket, "socket", lambda *_: probe)
    return probe


def test_the_state_directory_is_named_after_the_namespace() -> None:
    assert paths.state_dir() == paths.state_of(paths.netns_cookie())
    assert paths.netns_cookie() == paths.netns_cookie()


def test_a_kernel_without_cookies_has_the_namespace_s_inode(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = probing(monkeypatch, errno.ENOPROTOOPT)
    assert paths.netns_cookie() == os.stat(paths.OWN_NETNS).st_ino
    assert probe.closed


def test_another_error_is_not_a_kernel_without_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    """State would be searched, and not be found, in another place."""
    probe = probing(monkeypatch, errno.ENOMEM)
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        paths.netns_cookie()
    assert probe.closed


@pytest.mark.parametrize(
    ("path", "is_state"),
    [
        ("/run/linkspan", True),
        ("/run/linkspan/1/records", True),
        ("/run/linkspan-other", False),
        ("/run", False),
        ("/var/lib/linkspan/leases", False),
    ],
)
def test_state_is_what_is_below_the_run_directory(path: str, is_state: bool) -> None:
    assert paths.is_state(path) == is_state


def test_no_two_kinds_of_state_share_a_path() -> None:
    state = paths.state_of(1)
    kinds = {
        paths.records(state, "bridge"),
        paths.lock(state, "bridge"),
        paths.port_claims(state, "tcp", 80),
        paths.address_owners(state),
        paths.internal_mark(state, "br0"),
        paths.released(state, "pool"),
        *(of(state, paths.WORKERS) for of in (paths.socket, paths.only_one, paths.log)),
        *(of(state, paths.NAME_SERVER) for of in (paths.socket, paths.only_one, paths.log)),
    }
    assert len(kinds) == 12
    assert all(paths.is_state(each) for each in kinds)
