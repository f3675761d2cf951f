"""Which names a container has, and the steps of an ADD."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cni_dns.config import Config
from cni_dns.facts import Facts
from cni_dns.plan import invalid_names, names_of, plan_for, short_id
from cni_dns.server.zone import Entry
from cni_dns.steps import ReservePort, ServeNames, WriteEntry, accept_queries
from linkspan.cni.model import Address, Interface, Request, Result, Route
from linkspan.steps.extras import Warn

LONG_ID = "0123456789abcdef" * 4
GATEWAY = "10.5.0.1"
REQUEST = Request(
    verb="ADD",
    plugin="dns",
    cni_version="1.1.0",
    network="net",
    config={"upstreams": ["192.0.2.53"], "ttl": 5},
    container_id="web",
    ifname="eth0",
    netns="/run/netns/box",
    prev_result=Result(
        interfaces=(
            Interface(name="br0"),
            Interface(name="veth0"),
            Interface(name="eth0", sandbox="/run/netns/box"),
        ),
        ips=(Address(address="10.5.0.2/24", gateway=GATEWAY, interface=2),),
        routes=(Route(dst="0.0.0.0/0"),),
    ),
)
ENTRY = Entry(
    attachment=REQUEST.attachment,
    bridge="br0",
    link="veth0",
    names=("shop",),
    addresses=("10.5.0.2/24",),
    listen=(GATEWAY,),
    domains=("net",),
    forward=True,
    upstreams=("192.0.2.53",),
    ttl=5,
)


def test_a_plan_records_the_names_opens_the_port_and_has_them_answered() -> None:
    config = Config.from_request(REQUEST)
    facts = Facts(bundle_name="shop", listen=(GATEWAY,))
    assert plan_for(REQUEST, config, facts) == (
        WriteEntry(ENTRY),
        ReservePort((GATEWAY,)),
        accept_queries("br0", (GATEWAY,)),
        ServeNames(ENTRY),
    )


def names(
    container_id: str = "web",
    netns: str = "/run/netns/box",
    args: dict[str, str] | None = None,
    aliases: tuple[str, ...] = (),
    bundle_name: str = "",
) -> tuple[str, ...]:
    return names_of(container_id, netns, args or {}, aliases, bundle_name)


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({"args": {"K8S_POD_NAME": "Pod-1"}}, "pod-1"),
        ({"bundle_name": "tomcat"}, "tomcat"),
        ({"args": {"NERDCTL_CNI_DHCP_HOSTNAME": "box"}}, "box"),
        ({"args": {"K8S_POD_NAME": "pod"}, "bundle_name": "tomcat"}, "pod"),
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


LONG = "job-7f3a2c-group-12-project-4711-branch-feature-nightly-worker-eu-central-1a"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"args": {"K8S_POD_NAME": LONG}}, ("web",)),
        ({"args": {"K8S_POD_NAME": "db..old"}}, ("web",)),
        ({"args": {"NERDCTL_CNI_DHCP_HOSTNAME": "h" * 64}, "bundle_name": "shop"}, ("shop",)),
        ({"bundle_name": LONG, "container_id": LONG_ID}, (LONG_ID[:12],)),
        ({"args": {"K8S_POD_NAME": "ok"}, "aliases": ("front", "front end", "")}, ("ok", "front")),
    ],
    ids=["label", "dots", "host name", "bundle", "alias"],
)
def test_a_container_has_those_of_its_names_that_are_names(
    given: dict[str, object], found: tuple[str, ...]
) -> None:
    assert names(**given) == found  # type: ignore[arg-type]


def test_names_that_are_none_are_told_with_their_places() -> None:
    found = invalid_names({"K8S_POD_NAME": LONG}, ("db", "d b", ""), "a..b")
    assert [each.partition(":")[0] for each in found] == [
        "K8S_POD_NAME in CNI_ARGS",
        "the annotation nerdctl/name",
        "$.runtimeConfig.aliases[1]",
    ]


def test_a_name_that_is_none_is_a_warning_of_add() -> None:
    request = replace(REQUEST, args={"K8S_POD_NAME": LONG})
    steps = plan_for(request, Config.from_request(request), Facts(bundle_name="", listen=(GATEWAY,)))
    (warning,) = (each.message for each in steps if isinstance(each, Warn))
    assert warning.endswith("is not a DNS name; the container is not found by it")


@pytest.mark.parametrize(
    ("text", "short"), [(LONG_ID, LONG_ID[:12]), (f"ns-{LONG_ID}", LONG_ID[:12]), ("web", "")]
)
def test_only_a_hexadecimal_id_is_shortened(text: str, short: str) -> None:
    assert short_id(text) == short
