"""Which names a container has."""

from __future__ import annotations

import pytest

from cni_dns.names import (
    aliases_for,
    bundle_config,
    bundle_name,
    is_name,
    names_of,
    normalised,
    qualified,
    short_id,
)
from linkspan.cni.errors import InvalidConfig

LONG_ID = "0123456789abcdef" * 4


def names(
    container_id: str = "web",
    netns: str = "/run/netns/box",
    args: dict[str, str] | None = None,
    aliases: tuple[str, ...] = (),
    in_bundle: str = "",
) -> tuple[str, ...]:
    return names_of(container_id, netns, args or {}, aliases, in_bundle)


@pytest.mark.parametrize("text", ["a", "a.b", "tomcat-8", "_srv", "9", "a" * 63, ".".join(["a" * 63] * 3)])
def test_a_name_is_one(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "A", "a b", "ä", "a" * 64, "a." * 127])
def test_what_is_no_name_is_none(text: str) -> None:
    assert not is_name(text)


def test_a_name_is_read_without_case_and_final_dot() -> None:
    assert normalised("Web.Example.", "$") == "web.example"


@pytest.mark.parametrize("text", ["", "a b", "\u212a", "x" * 64])
def test_a_text_that_is_no_name_is_told_with_its_place(text: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        normalised(text, "$.here")
    assert caught.value.msg.startswith("$.here")
    assert len(caught.value.msg) <= 120


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({"args": {"K8S_POD_NAME": "Pod-1"}}, "pod-1"),
        ({"in_bundle": "tomcat"}, "tomcat"),
        ({"args": {"NERDCTL_CNI_DHCP_HOSTNAME": "box"}}, "box"),
        ({"args": {"K8S_POD_NAME": "pod"}, "in_bundle": "tomcat"}, "pod"),
        ({"container_id": "default-web"}, "web"),
        ({"container_id": "web"}, "web"),
        ({"container_id": f"default-{LONG_ID}"}, LONG_ID[:12]),
        ({"container_id": LONG_ID}, LONG_ID[:12]),
        ({"container_id": f"cnitool-{LONG_ID[:20]}", "netns": "/var/run/netns/tomcat"}, "tomcat"),
        ({"container_id": f"cnitool-{LONG_ID[:20]}", "netns": "/proc/7/ns/net"}, LONG_ID[:12]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_container_s_own_name_comes_first(given: dict[str, object], first: str) -> None:
    assert names(**given)[0] == first  # type: ignore[arg-type]


def test_aliases_and_the_short_id_follow_each_once() -> None:
    found = names(LONG_ID, args={"K8S_POD_NAME": "pod"}, aliases=("db", "pod", "DB"))
    assert found == ("pod", "db", LONG_ID[:12])


def test_an_alias_that_is_no_name_is_told_with_its_place() -> None:
    with pytest.raises(InvalidConfig, match=r"\$.runtimeConfig.aliases\[1\]"):
        names(aliases=("db", "d b"))


@pytest.mark.parametrize(
    ("text", "short"), [(LONG_ID, LONG_ID[:12]), (f"ns-{LONG_ID}", LONG_ID[:12]), ("web", "")]
)
def test_only_a_hexadecimal_id_is_shortened(text: str, short: str) -> None:
    assert short_id(text) == short


def test_a_name_is_qualified_by_each_domain_that_leaves_it_a_name() -> None:
    too_long = ".".join(["a" * 60] * 4)
    assert qualified("web", ("net", too_long + ".aaaaaa", "net")) == ("web", "web.net")


@pytest.mark.parametrize(
    ("value", "aliases"),
    [
        (["a", "b"], ("a", "b")),
        ({"net": ["c"], "other": ["d"]}, ("c",)),
        ({"net": None}, ()),
        (None, ()),
        ({}, ()),
    ],
)
def test_aliases_are_a_list_or_the_network_s_entry_of_a_map(value: object, aliases: tuple[str, ...]) -> None:
    assert aliases_for("net", value) == aliases


def test_nerdctl_s_container_has_a_bundle_and_others_have_none() -> None:
    path = bundle_config(f"default-{LONG_ID}")
    assert path == f"/run/containerd/io.containerd.runtime.v2.task/default/{LONG_ID}/config.json"
    assert (bundle_config("web"), bundle_config(LONG_ID)) == ("", "")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (b'{"annotations": {"nerdctl/name": "tomcat"}}', "tomcat"),
        (b'{"annotations": {"nerdctl/name": 7}}', ""),
        (b'{"annotations": []}', ""),
        (b"[]", ""),
        (b"{", ""),
        (b"", ""),
        (None, ""),
    ],
)
def test_a_bundle_says_a_name_or_nothing(config: bytes | None, name: str) -> None:
    assert bundle_name(config) == name
