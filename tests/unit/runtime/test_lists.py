"""Lists as they are found on disk, whoever wrote them."""

from __future__ import annotations

import json

import pytest

from linkspan.runtime.lists import (
    InvalidList,
    NetworkList,
    default_file,
    is_list_file,
    parse,
    shared_file,
)

BRIDGE = {"type": "bridge", "bridge": "br0"}


def one(document: object, path: str = "/etc/cni/net.d/x.conflist") -> NetworkList:
    return parse(json.dumps(document).encode(), path)


def test_a_list_has_its_name_and_plugins() -> None:
    found = one({"name": "web", "plugins": [BRIDGE, {"type": "portmap"}]})
    assert (found.name, [each["type"] for each in found.plugins]) == ("web", ["bridge", "portmap"])


def test_a_file_with_a_single_plugin_is_a_list_of_one() -> None:
    found = one({"cniVersion": "1.0.0", "name": "web", **BRIDGE}, "/etc/cni/net.d/x.conf")
    assert (found.name, found.first["bridge"]) == ("web", "br0")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"name": "x"}', "no key type"),
        (b'{"plugins": [{}]}', "no network name"),
        (b'{"name": "x", "plugins": []}', "no plugins"),
        (b'{"name": "x", "plugins": 3}', "no plugins"),
    ],
)
def test_what_is_not_a_list_says_why(data: bytes, why: str) -> None:
    with pytest.raises(InvalidList, match=why):
        parse(data, "/x.conflist")


@pytest.mark.parametrize(
    ("document", "maker"),
    [
        ({"nerdctlID": "a" * 64, "linkspan": {}, "plugins": [BRIDGE]}, "linkspan"),
        ({"nerdctlID": "a" * 64, "plugins": [BRIDGE]}, "nerdctl"),
        ({"plugins": [{"type": "bridge", "bridge": "cni-podman1"}]}, "podman"),
        ({"args": {"podman_labels": {"a": "b"}}, "plugins": [BRIDGE]}, "podman"),
        ({"plugins": [BRIDGE]}, "file"),
    ],
)
def test_the_program_that_wrote_a_list_is_known(document: dict[str, object], maker: str) -> None:
    assert one({"name": "web", **document}).creator == maker


def test_only_what_libcni_loads_is_a_list_file() -> None:
    names = ["a.conflist", "b.conf", "c.json", "d.conflist.linkspan-new", ".nerdctl.lock", "e"]
    assert [each for each in names if is_list_file(each)] == ["a.conflist", "b.conf", "c.json"]


@pytest.mark.parametrize(
    "present", [[], ["10-a.conflist"], ["87-podman-bridge.conflist"], ["nerdctl-bridge.conflist", "z.conf"]]
)
def test_a_shared_list_is_never_the_first(present: list[str]) -> None:
    name = shared_file("web", present)
    assert not present or min([name, *present]) == min(present)
    assert name.endswith("-web.conflist")


@pytest.mark.parametrize("present", [[], ["10-a.conflist"], ["10-zz.conflist"], ["00-zz.conflist"]])
def test_a_default_list_is_the_first(present: list[str]) -> None:
    name = default_file("web", present)
    assert name
    assert min([name, *present]) == name


def test_no_default_list_is_written_behind_another() -> None:
    assert default_file("web", ["0-a.conflist"]) == ""
