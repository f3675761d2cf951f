"""Options of a new network, in Docker's words and short ones."""

from __future__ import annotations

import pytest

from linkspan.runtime.options import InvalidOption, parse


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("com.docker.network.bridge.name=br0", ("com.docker.network.bridge.name", "br0")),
        ("name=br0", ("com.docker.network.bridge.name", "br0")),
        ("com.docker.network.bridge.enable_icc=false", ("com.docker.network.bridge.enable_icc", "false")),
        ("icc=0", ("com.docker.network.bridge.enable_icc", "false")),
        ("ip-masq=T", ("com.docker.network.bridge.enable_ip_masquerade", "true")),
        ("host_binding_ipv4=127.0.0.1", ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1")),
        ("com.docker.network.driver.mtu=1400", ("com.docker.network.driver.mtu", "1400")),
        ("mtu=9000", ("com.docker.network.driver.mtu", "9000")),
    ],
)
def test_an_option_has_its_full_name_and_a_plain_value(word: str, option: tuple[str, str]) -> None:
    assert parse([word]) == dict([option])


@pytest.mark.parametrize(
    "word",
    ["mtu=67", "mtu=1e3", "mtu=-1", "mtu", "icc=perhaps", "ip=fd00::1", "name=a-name-of-sixteen", "name=a/b"],
)
def test_an_invalid_value_says_what_is_allowed(word: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse([word])
    assert word.partition("=")[0] in str(caught.value)
    assert caught.value.fix


def test_an_unknown_option_names_the_similar_one() -> None:
    with pytest.raises(InvalidOption) as caught:
        parse(["com.docker.network.driver.mtus=1400"])
    assert caught.value.fix.startswith("one of com.docker.network.driver.mtu")
