"""What is read of the host before an attachment is named."""

from __future__ import annotations

import pytest

from cni_dns.config import Config
from cni_dns.facts import read_facts
from linkspan.cni.model import Address, Interface, Request, Result
from linkspan.host.memory import MemoryHost
from linkspan.steps.containers import bundle_config
from tests.harness.nameserver import serve_names_of

LONG_ID = "0123456789abcdef" * 4
BUNDLE = bundle_config(f"default-{LONG_ID}")
REQUEST = Request(
    verb="ADD",
    plugin="dns",
    cni_version="1.1.0",
    network="net",
    config={},
    container_id=f"default-{LONG_ID}",
    ifname="eth0",
    prev_result=Result(
        interfaces=(Interface(name="eth0", sandbox="/run/netns/box"),),
        ips=(
            Address(address="10.5.0.2/24", gateway="10.5.0.1", interface=0),
            Address(address="10.6.0.2/24", gateway="10.6.0.1", interface=0),
            Address(address="fd00:5::2/64", gateway="fe80::1", interface=0),
        ),
    ),
)


def bundle_name(host: MemoryHost) -> str:
    with serve_names_of(host):
        return read_facts(REQUEST, Config.from_request(REQUEST), host).bundle_name


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (b'{"annotations": {"nerdctl/name": "tomcat"}}', "tomcat"),
        (b'{"annotations": {"nerdctl/name": 7}}', ""),
        (b'{"annotations": []}', ""),
        (b"[]", ""),
        (b"{", ""),
        (b"", ""),
        (b"[" * 100_000, ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bundle_says_a_name_or_nothing(config: bytes, name: str) -> None:
    host = MemoryHost()
    host.files.write(BUNDLE, config)
    assert bundle_name(host) == name


def test_a_container_without_a_bundle_gets_no_name_of_it() -> None:
    assert bundle_name(MemoryHost()) == ""


def test_a_folder_in_place_of_the_bundle_says_no_name() -> None:
    host = MemoryHost()
    host.files.make_folder(BUNDLE)
    assert bundle_name(host) == ""


def test_the_server_listens_on_gateways_that_are_this_host_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cni_dns.facts.is_local", lambda address: address == "10.6.0.1")
    facts = read_facts(REQUEST, Config.from_request(REQUEST), MemoryHost())
    assert facts.listen == ("10.6.0.1",)
