"""What a runtime calls a container."""

from __future__ import annotations

import errno

import pytest

from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.steps.containers import bundle_config, described

DIGITS = "0123456789abcdef" * 4
NERDCTL, PODMAN = Attachment("net", f"default-{DIGITS}", "eth0"), Attachment("net", DIGITS, "eth0")


def test_nerdctl_s_container_has_a_bundle_and_others_have_none() -> None:
    path = bundle_config(NERDCTL.container_id)
    assert path == f"/run/containerd/io.containerd.runtime.v2.task/default/{DIGITS}/config.json"
    assert (bundle_config("web"), bundle_config(DIGITS)) == ("", "")


def test_nerdctl_s_container_has_the_name_in_its_bundle() -> None:
    host = MemoryHost()
    host.files.write(bundle_config(NERDCTL.container_id), b'{"annotations": {"nerdctl/name": "web"}}')
    assert described(host, NERDCTL) == "web (0123456789ab)"


def test_another_container_has_the_first_name_that_is_answered() -> None:
    host = MemoryHost()
    Records(host, "dns").write(PODMAN, {"names": ["shop", "0123456789ab"]})
    assert described(host, PODMAN) == "shop (0123456789ab)"


@pytest.mark.parametrize("names", [[], [7], "shop", ["0123456789ab"]], ids=str)
def test_a_container_without_a_name_has_its_short_id(names: object) -> None:
    host = MemoryHost()
    Records(host, "dns").write(PODMAN, {"names": names})
    assert described(host, PODMAN) == "0123456789ab"


def test_a_name_that_cannot_be_read_is_no_error() -> None:
    host = MemoryHost(refuse={"files.read": errno.EIO})
    assert described(host, NERDCTL) == "0123456789ab"
