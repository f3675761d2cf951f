"""What an error advises is followed on a real host, and cures it: programs and libraries, processes, ports, namespaces.

What can be followed in memory is in tests/unit/test_advice.py, with the table of all texts.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from linkspan.cni.errors import PortTaken
from linkspan.cni.model import Attachment
from linkspan.ports.table import HeldPort
from tests.harness import ours, talk
from tests.harness.chain import Chain, ChainError
from tests.harness.networks import box, network, published
from tests.harness.ports import PortsProcess
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

GATEWAY = "10.71.0.1"
NAMES: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "n1",
    "plugins": [
        {"type": "bridge", "bridge": "br-n1", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.71.0.0/24"}},
        {"type": "dns"},
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def installed(host: PrivateHost) -> None:
    """Our executables in the host."""
    ours.install(host)


@pytest.fixture
def named(host: PrivateHost) -> Chain:
    """A network with names."""
    return Chain(NAMES, ours.BIN, host=host, env=ours.STANDALONE)


def details(raised: pytest.ExceptionInfo[ChainError]) -> str:
    return str(raised.value.error["details"])


@contextmanager
def hidden(host: PrivateHost, *paths: str) -> Iterator[None]:
    """Files that are not there, as on a host on which nobody has installed them."""
    found = [each for each in paths if os.path.isfile(host.path(each))]
    assert found
    for each in found:
        host.run(["mount", "--bind", "/dev/null", each])
    try:
        yield
    finally:
        for each in reversed(found):
            host.run(["umount", each])


def libnftables(host: PrivateHost) -> list[str]:
    listed = host.run(["ldconfig", "-p"]).stdout.splitlines()
    return [os.path.realpath(each.split(" => ")[1]) for each in listed if "libnftables.so.1" in each]


IPTABLES = [
    f"{folder}/{name}"
    for folder in ("/usr/sbin", "/sbin")
    for name in ("xtables-nft-multi", "xtables-legacy-multi")
]


def test_a_namespace_is_given_by_its_path(host: PrivateHost) -> None:
    chain = Chain({"name": "n", "plugins": [{"type": "loopback"}]}, ours.BIN, host=host, env=ours.STANDALONE)
    one = box(host, "one")
    with pytest.raises(ChainError) as refused:
        chain.add(type(one)("one", "/etc/hostname", "lo"))
    assert details(refused) == "give a path like /run/netns/NAME"
    chain.add(type(one)("one", "/run/netns/one", "lo"))


@pytest.mark.parametrize("key", ["ipMasqBackend", "macspoofchk"])
def test_a_library_that_is_missing_is_installed_or_not_needed(host: PrivateHost, key: str) -> None:
    keys = {"ipMasq": True, "ipMasqBackend": "nftables"} if key == "ipMasqBackend" else {"macspoofchk": True}
    wanted, plain = (
        Chain(
            {"cniVersion": "1.1.0", "name": "n", "plugins": [{**NAMES["plugins"][0], **each}]},
            ours.BIN,
            host=host,
            env=ours.STANDALONE,
        )
        for each in (keys, {})
    )
    with hidden(host, *libnftables(host)):
        with pytest.raises(ChainError) as refused:
            wanted.add(box(host, "one"))
        plain.add(box(host, "two"))
    assert "install the package libnftables1" in details(refused)
    wanted.add(box(host, "three"))


def test_programs_that_are_missing_are_installed_or_not_needed(host: PrivateHost) -> None:
    chain = network(host, "n1", 71, backend="iptables")
    other = network(host, "n2", 72, backend="nftables")
    one = box(host, "one", published(8080))
    with hidden(host, *IPTABLES):
        with pytest.raises(ChainError) as refused:
            chain.add(one)
        other.add(box(host, "two", published(8081)))
    assert details(refused) == "install the package iptables, or remove the key"
    chain.delete(one)
    chain.add(one)
    with hidden(host, *IPTABLES), pytest.raises(ChainError) as unchecked:
        chain.check(one)
    assert "install the package iptables" in details(unchecked)
    chain.check(one)


@pytest.mark.parametrize("wildcard", [True, False])
def test_a_program_on_port_53_is_stopped_or_kept_off_the_gateways(
    host: PrivateHost, named: Chain, wildcard: bool
) -> None:
    first = box(host, "first")
    named.call("bridge", "ADD", named.config(named.plugins[0], first), first)
    with talk.serve(host, None, port=53, kind="udp", address="0.0.0.0" if wildcard else GATEWAY):
        if wildcard:
            with pytest.raises(ChainError) as unready:
                named.status()
            assert details(unready) == "keep that program off the gateways of container networks"
        with pytest.raises(ChainError) as refused:
            named.add(box(host, "one"))
        assert details(refused).startswith("stop that program or keep it off this address")
    with talk.serve(host, None, port=53, kind="udp", address="127.0.0.1"):
        named.status()
        named.add(box(host, "kept-off"))


def servers(host: PrivateHost, name: str) -> list[int]:
    return [pid for pid, command in host.processes().items() if name in command]


def test_a_process_of_ours_that_hangs_is_stopped(host: PrivateHost, named: Chain) -> None:
    named.add(box(host, "first"))
    hung = servers(host, "cni_dns/server")
    assert hung
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ChainError) as refused:
        named.add(box(host, "one"))
    assert details(refused).startswith("stop that process; the next ADD starts another")
    told = int(refused.value.error["msg"].split("(pid ")[1].partition(")")[0])
    assert told in hung
    for pid in hung:
        os.kill(pid, signal.SIGKILL)
    named.add(box(host, "two"))


def test_a_port_that_cannot_be_held_is_held_once_it_is_free(host: PrivateHost) -> None:
    process = PortsProcess(host)
    mine, other = (
        HeldPort(protocol="tcp", address="", port=9090),
        HeldPort(protocol="tcp", address="", port=9091),
    )
    with talk.serve(host, None, port=9090, address="127.0.0.1"):
        with pytest.raises(PortTaken, match="in use") as used:
            process.hold(mine)
        process.hold(other)
    assert used.value.details == "choose another host port, or stop that program"
    process.hold(mine)
    rival = Attachment("net", "rival", "eth0")
    with pytest.raises(PortTaken, match="is held for container web") as held:
        process.hold(mine, rival)
    assert held.value.details.endswith("holds it; choose another host port, or remove that container")
    process.release(mine)
    process.hold(mine, rival)


#: An ordinary user, who can read the checkout and the interpreter wherever they are.
_CAPABILITY = "+dac_read_search"
USER = [
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *(f"--inh-caps={_CAPABILITY}", f"--ambient-caps={_CAPABILITY}"),
]


def test_an_ordinary_user_is_told_to_be_root_and_never_to_remove_anything(
    host: PrivateHost, named: Chain
) -> None:
    named.add(box(host, "first"))
    env = {**ours.STANDALONE, **named.variables("ADD", box(host, "one"))}
    conf = '{"cniVersion": "1.1.0", "name": "n1", "type": "bridge", "bridge": "br-n1"}'
    done = host.run([*USER, f"{ours.BIN}/bridge"], env=env, input=conf, check=False)
    assert done.returncode == 1
    assert "linkspan needs root" in done.stdout
    assert "remove" not in done.stdout


@pytest.mark.parametrize("command", [["reload"], ["resident", "status"]], ids=" ".join)
def test_a_command_of_an_ordinary_user_says_that_it_needs_root(
    host: PrivateHost, named: Chain, command: list[str]
) -> None:
    named.add(box(host, "first"))
    done = host.run([*USER, sys.executable, "-m", "linkspan.cli.main", *command], check=False)
    assert done.returncode == 5
    assert "run it as root" in done.stderr
    assert "remove" not in done.stderr
