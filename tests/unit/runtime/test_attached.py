"""Which container is on which network."""

from __future__ import annotations

from dataclasses import replace

from linkspan.cni.model import Attachment
from linkspan.runtime.attached import Attached, attached, of_container
from linkspan.runtime.container import Container
from linkspan.runtime.endpoints import Endpoint
from linkspan.runtime.owners import Owner

WEB = Container(
    runtime="nerdctl",
    id="a" * 64,
    name="web",
    attachment_id=f"default-{'a' * 64}",
    namespace="default",
    pid=7,
    netns="/proc/7/ns/net",
    netns_identity="4:7",
)
ETH0 = Endpoint(attachment=Attachment("custom", WEB.attachment_id, "eth0"), addresses=("10.5.0.2/24",))
OWNER = Owner(id="a" * 64, name="web", runtime="nerdctl", namespace="default")


def networks(*containers: Container, endpoints: tuple[Endpoint, ...] = (ETH0,)) -> dict[str, str]:
    """Container -> network."""
    found = attached([(each, OWNER) for each in endpoints], containers, {})
    return {each.container.name: each.network for each in found}


def test_an_endpoint_belongs_to_the_container_of_its_id() -> None:
    names = {ETH0.attachment: ("web", "www")}
    (found,) = attached([(ETH0, OWNER)], [WEB], names)
    assert found == Attached(container=WEB, network="custom", endpoint=ETH0, dns_names=("web", "www"))


def test_a_container_on_two_networks_is_there_twice() -> None:
    eth1 = replace(ETH0, attachment=Attachment("other", WEB.attachment_id, "eth1"))
    found = attached([(ETH0, OWNER), (eth1, OWNER)], [WEB], {})
    assert [(each.network, each.container) for each in found] == [("custom", WEB), ("other", WEB)]


def test_an_endpoint_belongs_to_the_named_namespace_it_is_in() -> None:
    box = Container(
        runtime="netns", id="/run/netns/box", name="box", netns="/run/netns/box", netns_identity="4:9"
    )
    inside = Endpoint(attachment=Attachment("custom", "cnitool-1", "eth0"), sandbox="/var/run/netns/box")
    assert networks(box, endpoints=(inside,)) == {"box": "custom"}


def test_a_container_that_left_nothing_but_its_attachment_is_known_by_that() -> None:
    (found,) = attached([(ETH0, OWNER)], [], {})
    assert (found.container.name, found.container.runtime, found.container.attachment_id) == (
        "web",
        "nerdctl",
        WEB.attachment_id,
    )


def test_containers_without_an_endpoint_are_on_host_or_none_or_in_anothers_namespace_or_stopped() -> None:
    host = replace(
        WEB, id="b" * 64, name="host-mode", attachment_id="b", host_network=True, netns_identity="4:1"
    )
    none = replace(WEB, id="c" * 64, name="none-mode", attachment_id="c", netns_identity="4:2")
    shares = replace(WEB, id="d" * 64, name="shares", attachment_id="d")
    stopped = Container(runtime="podman", id="e" * 64, name="stopped", attachment_id="e" * 64)
    assert networks(WEB, host, none, shares, stopped) == {
        "web": "custom",
        "host-mode": "host",
        "none-mode": "none",
        "shares": "container:web",
        "stopped": "",
    }


def test_who_may_not_read_attachments_is_not_told_that_there_are_none() -> None:
    (found,) = attached([], [WEB], {}, complete=False)
    assert found.network == "unknown"


def test_a_container_in_a_pod_is_not_listed_beside_it() -> None:
    pod = replace(WEB, runtime="cri", attachment_id=WEB.id)
    inside = replace(pod, id="b" * 64, name="server")
    endpoint = replace(ETH0, attachment=Attachment("custom", WEB.id, "eth0"))
    assert networks(pod, inside, endpoints=(endpoint,)) == {"web": "custom"}


def test_a_container_has_its_own_endpoints_and_those_of_the_namespace_it_shares() -> None:
    shares = replace(WEB, id="d" * 64, name="shares", attachment_id="d")
    other = replace(WEB, id="c" * 64, name="other", attachment_id="c", netns_identity="4:2")
    found = attached([(ETH0, OWNER)], [WEB, shares, other], {})
    assert [of_container(each, found) for each in (WEB, shares, other)] == [[ETH0], [ETH0], []]


def test_a_stopped_container_shares_no_namespace_with_another_stopped_one() -> None:
    one = replace(WEB, netns="", netns_identity="", pid=0)
    other = replace(one, id="c" * 64, name="other", attachment_id="c")
    assert of_container(other, attached([(ETH0, OWNER)], [one, other], {})) == []
