"""Whose container an ID is, under every runtime."""

from __future__ import annotations

import pytest

from linkspan.cni.model import Attachment
from linkspan.runtime.endpoints import Endpoint
from linkspan.runtime.owners import Owner, owner_of

HEX = "0123456789abcdef" * 4


def owner(container_id: str, sandbox: str = "/proc/7/ns/net", **args: str) -> Owner:
    one = Endpoint(attachment=Attachment("n", container_id, "eth0"), sandbox=sandbox, args=args)
    return owner_of(one, {HEX: "web"})


@pytest.mark.parametrize(
    ("container_id", "args", "wanted"),
    [
        (f"default-{HEX}", {}, Owner(id=HEX, name="web", runtime="nerdctl", namespace="default")),
        (f"my-ns-{HEX}", {}, Owner(id=HEX, name="web", runtime="nerdctl", namespace="my-ns")),
        (
            f"default-{HEX[::-1]}",
            {},
            Owner(id=HEX[::-1], name=HEX[::-1][:12], runtime="nerdctl", namespace="default"),
        ),
        (HEX, {"K8S_POD_NAME": "db"}, Owner(id=HEX, name="db", runtime="podman")),
        (
            HEX,
            {"K8S_POD_NAME": "pod", "K8S_POD_NAMESPACE": "kube-system"},
            Owner(id=HEX, name="pod", runtime="cri"),
        ),
        ("default-c1", {}, Owner(id="default-c1", name="c1", runtime="ctr", namespace="default")),
        ("some_id", {}, Owner(id="some_id", name="some_id", runtime="")),
    ],
)
def test_a_container_has_the_name_that_its_runtime_shows(
    container_id: str, args: dict[str, str], wanted: Owner
) -> None:
    assert owner(container_id, **args) == wanted


@pytest.mark.parametrize("folder", ["/run/netns", "/var/run/netns"])
def test_a_named_network_namespace_is_a_container(folder: str) -> None:
    found = owner("cnitool-0123456789abcdef0123", f"{folder}/ns1")
    assert (found.name, found.runtime) == ("ns1", "netns")


def test_a_namespace_that_a_runtime_named_is_not_its_containers_name() -> None:
    assert owner(HEX, "/run/netns/netns-5f0c").name == HEX[:12]
