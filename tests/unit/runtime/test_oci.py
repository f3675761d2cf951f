"""What is read of an OCI bundle."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.runtime.oci import Spec, parse


def spec(**linux: Any) -> Spec:
    found = parse(json.dumps({"linux": linux}).encode())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("namespaces", "own", "path"),
    [
        ([], False, ""),
        ([{"type": "mount"}], False, ""),
        ([{"type": "network"}], True, ""),
        ([{"type": "network", "path": "/run/netns/x"}], True, "/run/netns/x"),
    ],
)
def test_the_network_namespace_is_the_hosts_a_new_one_or_another(
    namespaces: list[dict[str, str]], own: bool, path: str
) -> None:
    found = spec(namespaces=namespaces)
    assert (found.own_netns, found.netns) == (own, path)


@pytest.mark.parametrize(
    ("given", "groups", "inside"),
    [
        ("/default/web", "0::/default/web\n", True),
        ("/default/web", "9:pids:/default/web/init.scope\n", True),
        ("/default/web", "0::/default/website\n", False),
        ("system.slice:nerdctl:1f0c", "0::/system.slice/nerdctl-1f0c.scope\n", True),
        ("system.slice:nerdctl:1f0c", "0::/system.slice/sshd.service\n", False),
        ("", "0::/\n", True),
    ],
)
def test_a_process_is_the_containers_if_it_is_in_its_control_group(
    given: str, groups: str, inside: bool
) -> None:
    assert spec(cgroupsPath=given).is_in_control_group(groups) is inside


def test_only_files_that_name_resolution_reads_are_kept() -> None:
    mounts = [
        {"destination": "/etc/resolv.conf", "source": "/state/resolv.conf"},
        {"destination": "/etc/hosts", "source": "/state/hosts"},
        {"destination": "/data", "source": "/srv"},
    ]
    found = parse(json.dumps({"mounts": mounts, "annotations": {"a": "b", "n": 1}}).encode())
    assert found is not None
    assert found.resolver_files == {"/etc/resolv.conf": "/state/resolv.conf", "/etc/hosts": "/state/hosts"}
    assert found.annotations == {"a": "b"}


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"7"])
def test_anything_else_is_no_spec(data: bytes | None) -> None:
    assert parse(data) is None


def test_members_of_the_wrong_type_are_absent() -> None:
    document: dict[str, Any] = {
        "annotations": [],
        "linux": {"namespaces": "x", "cgroupsPath": None},
        "mounts": {},
        "hostname": None,
    }
    assert parse(json.dumps(document).encode()) == Spec()
