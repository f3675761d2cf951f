"""Namespaces in memory and on the kernel keep the same promises."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from linkspan.cni.errors import InvalidNetns, KernelRefused, NetnsGone
from linkspan.host.contract import Host, Netns
from linkspan.host.linux import LinuxHost
from linkspan.host.memory import MemoryHost
from tests.harness.patience import until
from tests.harness.privatehost import PrivateHost

BOX, OTHER = "/run/netns/box", "/run/netns/other"
Ends = Callable[[str], None]


class Both:
    """A host with two namespaces, /run/netns/box and other; `abandon` removes the path of one that something else
    than a process or a mount keeps.
    """

    def __init__(self, host: Host, abandon: Ends) -> None:
        self.host, self.abandon = host, abandon


@pytest.fixture(params=["memory", pytest.param("linux", marks=pytest.mark.root)])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    if request.param == "memory":
        memory = MemoryHost()
        for path in (BOX, OTHER):
            memory.add_netns(path)
        memory.files.write("/etc/file", b"")
        yield Both(memory, memory.abandon_netns)
        return
    sandbox: PrivateHost = request.getfixturevalue("host")
    for name in ("box", "other"):
        sandbox.add_netns(name)
    sandbox.write("/etc/file", "")
    with sandbox.entered():
        real = LinuxHost()
        real.links(BOX)  # a descriptor of it stays open
        yield Both(real, lambda path: sandbox.del_netns(os.path.basename(path)))
        real.close()


def test_a_namespace_is_the_same_whenever_it_is_asked_for_and_no_other_is(both: Both) -> None:
    identify = both.host.namespaces.identify
    assert identify(BOX) == identify(BOX)
    assert identify(BOX) != identify(OTHER)
    assert identify(BOX).cookie != identify(OTHER).cookie


def test_what_is_no_namespace_cannot_be_identified(both: Both) -> None:
    with pytest.raises(NetnsGone):
        both.host.namespaces.identify("/run/netns/absent")
    with pytest.raises(InvalidNetns):
        both.host.namespaces.identify("/etc/file")


@pytest.mark.parametrize("likely", ["", BOX, OTHER, "/run/netns/absent", "/etc/file"])
def test_a_namespace_that_has_a_name_is_held_wherever_it_is_looked_for_first(both: Both, likely: str) -> None:
    assert both.host.namespaces.is_held(both.host.namespaces.identify(BOX), likely=likely)


def test_a_namespace_that_only_a_descriptor_keeps_is_not_held(both: Both) -> None:
    box = both.host.namespaces.identify(BOX)
    both.abandon(BOX)
    assert not both.host.namespaces.is_held(box, likely=BOX)
    assert both.host.namespaces.is_held(both.host.namespaces.identify(OTHER))


def test_another_namespace_with_the_same_inode_is_not_it(both: Both) -> None:
    box = both.host.namespaces.identify(BOX)
    assert not both.host.namespaces.is_held(replace(box, cookie=box.cookie + 4711), likely=BOX)
    assert not both.host.namespaces.is_held(Netns(1, box.cookie), likely=BOX)


# --- on the kernel --------------------------------------------------------------------------------


@pytest.fixture
def linux(host: PrivateHost) -> Iterator[LinuxHost]:
    host.add_netns("box")
    with host.entered():
        real = LinuxHost()
        yield real
        real.close()


@pytest.mark.root
def test_a_process_holds_a_namespace_until_it_ends(host: PrivateHost, linux: LinuxHost) -> None:
    keeper = host.popen(["sleep", "60"], netns="box", stdout=subprocess.DEVNULL)
    box = linux.namespaces.identify(BOX)
    until(
        lambda: os.stat(f"/proc/{keeper.pid}/ns/net").st_ino == box.inode,
        "the process to be in the namespace",
    )
    host.del_netns("box")
    assert linux.namespaces.is_held(box, likely=BOX)
    keeper.kill()
    until(lambda: not linux.namespaces.is_held(box, likely=BOX), "the process to end")  # a zombie by now
    keeper.wait()


@pytest.mark.root
def test_a_mount_that_another_mount_namespace_shows_holds_one(host: PrivateHost, linux: LinuxHost) -> None:
    bind = "touch /run/kept; mount --bind /run/netns/box /run/kept; exec sleep 60"
    keeper = host.popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", bind], stdout=subprocess.DEVNULL
    )
    until(
        lambda: Path(f"/proc/{keeper.pid}/comm").read_text() == "sleep\n",
        "the mount",
    )
    box = linux.namespaces.identify(BOX)
    host.del_netns("box")
    assert linux.namespaces.is_held(box)
    keeper.kill()
    keeper.wait()
    until(lambda: not linux.namespaces.is_held(box), "the mount to go")


@pytest.mark.root
def test_a_lack_of_descriptors_is_no_answer(linux: LinuxHost, monkeypatch: pytest.MonkeyPatch) -> None:
    box = linux.namespaces.identify(BOX)

    def lacking(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("linkspan.host.linux.namespaces.os.open", lacking)
    with pytest.raises(KernelRefused, match="look for whoever holds a network namespace"):
        linux.namespaces.is_held(box, likely=BOX)
