"""Which names a container has, and the steps of an ADD."""

from __future__ import annotations

import pytest

from cni_dns.config import Config
from cni_dns.facts import Facts
from cni_dns.plan import names_of, plan_for, short_id
from cni_dns.server.zone import Entry
from cni_dns.steps import ReservePort, ServeNames, WriteEntry, accept_queries
from linkspan.cni.errors import InvalidConfig
from linkspan.cni.model import Address, Interface, Request, Result, Route

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


def test_an_alias_that_is_no_name_is_told_with_its_place() -> None:
    with pytest.raises(InvalidConfig, match=r"\$.runtimeConfig.aliases\[1\]"):
        names(aliases=("db", "d b"))


@pytest.mark.parametrize(
    ("text", "short"), [(LONG_ID, LONG_ID[:12]), (f"ns-{LONG_ID}", LONG_ID[:12]), ("web", "")]
)
def test_only_a_hexadecimal_id_is_shortened(text: str, short: str) -> None:
    assert short_id(text) == short
