"""What tuning reads from a configuration, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni_tuning.config import Attributes, Config, sysctl_path
from cni_tuning.verbs import PLUGIN
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Request
from linkspan.cni.request import Input, configured, read_request

ENV = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/a", "CNI_IFNAME": "eth0"}


def request(stdin: str | None = None, cni_args: str = "", **keys: Any) -> Request:
    document = {"cniVersion": "1.1.0", "name": "n1", "type": "tuning", "prevResult": {}, **keys}
    text = stdin or json.dumps(document)
    read = read_request("tuning", {**ENV, "CNI_ARGS": cni_args}, Input.parse(text.encode()))
    return configured(read, PLUGIN.type, PLUGIN.schema)


def config(stdin: str | None = None, cni_args: str = "", **keys: Any) -> Config:
    return Config.from_request(request(stdin, cni_args, **keys))


A, B, C, D = (f"02:00:00:00:00:0{digit}" for digit in "abcd")


@pytest.mark.parametrize(
    ("keys", "cni_args", "mac"),
    [
        ({"mac": A}, "", A),
        ({"mac": A}, f"MAC={B}", B),
        ({"mac": A, "runtimeConfig": {"mac": C}}, f"MAC={B}", C),
        ({"mac": A, "runtimeConfig": {"mac": C}, "args": {"cni": {"mac": D}}}, f"MAC={B}", D),
        ({"MAC": A, "RuntimeConfig": {"Mac": C}}, "", C),
        ({"mac": ""}, "", None),
    ],
)
def test_the_mac_address_is_taken_from_the_reference_s_sources_in_its_order(
    keys: dict[str, Any], cni_args: str, mac: str | None
) -> None:
    assert config(cni_args=cni_args, **keys).attributes.mac == mac


@pytest.mark.parametrize("written", ["02:42:AC:11:00:02", "02-42-ac-11-00-02", "0242.ac11.0002"])
def test_a_mac_address_is_read_in_any_of_go_s_spellings(written: str) -> None:
    assert config(mac=written).attributes.mac == "02:42:ac:11:00:02"


@pytest.mark.parametrize("written", ["02:42", "nonsense", "02:42:ac:11:00:0g", "::", "02:42:ac:11:00:02\n"])
def test_invalid_mac_is_refused(written: str) -> None:
    with pytest.raises(InvalidConfig, match=r"\$\.mac"):
        config(mac=written)


def test_args_override_every_key() -> None:
    own: dict[str, Any] = {"mtu": 1500, "promisc": True, "allmulti": True, "txQLen": 1}
    over = {"mtu": 1400, "promisc": False, "allmulti": False, "txQLen": 0}
    assert config(**own, args={"cni": over}).attributes == Attributes(mtu=1400, allmulti=False, txqlen=0)


def test_sysctls_of_args_are_added_without_any_in_the_configuration() -> None:
    """The reference panics here."""
    found = config(args={"cni": {"sysctl": {"net.core.somaxconn": "5"}}})
    assert [each.path for each in found.sysctls] == ["core/somaxconn"]


def test_names_of_sysctls_keep_their_case() -> None:
    assert config(SysCtl={"net.ipv4.conf.IFNAME.MTU": "1"}).sysctls[0].path == "ipv4/conf/eth0/MTU"


@pytest.mark.parametrize(
    ("key", "ifname", "path"),
    [
        ("net.core.somaxconn", "eth0", "core/somaxconn"),
        ("net/core/somaxconn", "eth0", "core/somaxconn"),
        ("net.ipv4.conf.IFNAME.arp_ignore", "eth0.100", "ipv4/conf/eth0.100/arp_ignore"),
        ("net.ipv4.conf.IFNAME.IFNAME", "eth0", "ipv4/conf/eth0/IFNAME"),
    ],
)
def test_name_of_a_sysctl_is_a_path_below_net(key: str, ifname: str, path: str) -> None:
    assert sysctl_path(key, ifname) == path


@pytest.mark.parametrize(
    "key", ["kernel.msgmax", "net", "", ".", "network.x", "vm/../net/x", "IFNAME.x", "net.a\0b"]
)
def test_name_that_is_not_below_net_is_refused(key: str) -> None:
    with pytest.raises(InvalidConfig, match="invalid net sysctl key"):
        sysctl_path(key, "eth0")


@given(st.text())
def test_no_name_is_a_path_outside_net(key: str) -> None:
    try:
        path = sysctl_path(key, "eth0")
    except InvalidConfig:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")


@pytest.mark.parametrize(
    "members",
    [
        '"net.core.somaxconn": "1", "net.core.somaxconn": "1"',
        '"net.core.somaxconn": "1", "net/core/somaxconn": "2"',
    ],
)
def test_sysctl_named_twice_is_refused(members: str) -> None:
    with pytest.raises(InvalidConfig, match="duplicated sysctl keys are not allowed"):
        config(f'{{"cniVersion": "1.1.0", "name": "n1", "sysctl": {{{members}}}}}')


@pytest.mark.parametrize(
    "keys",
    [
        {"mtu": -1},
        {"txQLen": "1"},
        {"sysctl": {"net.core.x": 1}},
        {"promisc": "yes"},
        {"dataDir": "relative"},
    ],
)
def test_a_value_of_the_wrong_type_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig):
        config(**keys)


def test_an_empty_configuration_changes_nothing() -> None:
    found = config()
    assert (found.sysctls, bool(found.attributes)) == ((), False)


@given(
    st.builds(
        Attributes,
        mac=st.none() | st.just(A),
        promisc=st.none() | st.booleans(),
        mtu=st.none() | st.integers(1, 9000),
        allmulti=st.none() | st.booleans(),
        txqlen=st.none() | st.integers(0, 9000),
    )
)
def test_backup_is_read_as_it_was_written(attributes: Attributes) -> None:
    assert Attributes.from_backup(attributes.to_backup()) == attributes


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_an_invalid_backup_restores_nothing(data: bytes) -> None:
    assert not Attributes.from_backup(data)


def test_a_backup_that_is_nested_too_deeply_restores_nothing() -> None:
    assert not Attributes.from_backup(b"[" * 100_000)
