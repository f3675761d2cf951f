"""Results and errors to bytes and back, for every version of the contract."""

from __future__ import annotations

import json

import pytest

from linkspan.cni.errors import CniError, IncompatibleVersion, InvalidConfig
from linkspan.cni.model import Address, Dns, Interface, Result, Route
from linkspan.cni.result import decode_result, encode_error, encode_result, result_document
from linkspan.cni.versions import VERSIONS

WHOLE = Result(
    interfaces=(
        Interface(name="cni0", mac="02:00:00:00:00:01", mtu=1500),
        Interface(name="eth0", sandbox="/ns", extra={"vendor": 1}),
    ),
    ips=(
        Address(address="10.1.0.2/24", gateway="10.1.0.1", interface=1),
        Address(address="fd00::2/64", interface=1),
    ),
    routes=(Route(dst="0.0.0.0/0"), Route(dst="::/0", gw="fd00::1", table=0, scope=0)),
    dns=Dns(nameservers=("10.1.0.1",), search=("net",)),
    extra={"vendor": {"a": 1}},
)


@pytest.mark.parametrize("version", ["1.1.0"])
def test_result_survives_the_wire_with_everything_in_it(version: str) -> None:
    assert decode_result(json.loads(encode_result(WHOLE, version)), version) == WHOLE


@pytest.mark.parametrize("version", VERSIONS)
def test_result_has_exactly_the_version_asked_for(version: str) -> None:
    assert json.loads(encode_result(WHOLE, version))["cniVersion"] == version


@pytest.mark.parametrize(
    ("version", "there"), [("0.3.0", True), ("0.4.0", True), ("1.0.0", False), ("1.1.0", False)]
)
def test_addresses_carry_a_version_before_one_zero(version: str, there: bool) -> None:
    document = result_document(WHOLE, version)
    assert all(("version" in ip) is there for ip in document["ips"])


def test_old_result_has_one_address_a_family_and_routes_split() -> None:
    document = result_document(WHOLE, "0.2.0")
    assert document["ip4"] == {"ip": "10.1.0.2/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]}
    assert document["ip6"]["routes"][0]["gw"] == "fd00::1"
    assert "interfaces" not in document


def test_old_result_without_an_address_cannot_be_told() -> None:
    with pytest.raises(IncompatibleVersion):
        encode_result(Result(), "0.2.0")


def test_interface_mtu_is_told_from_one_one_on() -> None:
    assert result_document(WHOLE, "1.1.0")["interfaces"][0]["mtu"] == 1500
    assert "mtu" not in result_document(WHOLE, "1.0.0")["interfaces"][0]


@pytest.mark.parametrize("version", ["0.2.0", "0.4.0", "1.0.0"])
def test_result_of_another_version_is_read(version: str) -> None:
    document = result_document(WHOLE, version)
    assert decode_result(document, "1.1.0").ips[0].address == "10.1.0.2/24"


def test_empty_dns_is_left_out_from_one_zero_on() -> None:
    assert "dns" not in result_document(Result(), "1.0.0")
    assert result_document(Result(), "0.4.0")["dns"] == {}


def test_error_has_version_code_and_message() -> None:
    class Odd(CniError):
        code = 7

    assert json.loads(encode_error(Odd("m", "d"), "0.4.0")) == {
        "cniVersion": "0.4.0", "code": 7, "msg": "m", "details": "d",
    }  # fmt: skip


def result_with(**lists: object) -> Result:
    return decode_result({"cniVersion": "1.1.0", **lists}, "1.1.0")


def test_a_route_with_host_bits_is_read_as_one_to_its_network() -> None:
    found = result_with(routes=[{"dst": "10.9.3.4/16"}, {"dst": "fd00:9::1/48", "gw": "FE80::1"}])
    assert found.routes == (Route(dst="10.9.0.0/16"), Route(dst="fd00:9::/48", gw="fe80::1"))


def test_addresses_are_read_in_their_usual_text_form() -> None:
    (ip,) = result_with(ips=[{"address": "FD00:5::0002/64", "gateway": "FD00:5::0001"}]).ips
    assert (ip.address, ip.gateway) == ("fd00:5::2/64", "fd00:5::1")


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"ips": [{"address": "10.5.0.2"}]}, "has no prefix length"),
        ({"ips": [{"address": "10.5.0.2/255.255.255.0"}]}, "not in CIDR notation"),
        ({"ips": [{"address": "fe80::1%eth0/64"}]}, "not in CIDR notation"),
        ({"ips": [{"address": "10.5.0.2/24", "gateway": "fe80::1%eth0"}]}, "not an IP address"),
        ({"routes": [{"dst": "10.9.0.0/16", "scope": 256}]}, "not 0 to 255"),
        ({"routes": [{"dst": "10.9.0.0/16", "priority": 2**32}]}, "not 0 to 4294967295"),
        ({"routes": [{"dst": "10.9.0.0/16", "mtu": -1}]}, "not 0 to 4294967295"),
    ],
    ids=str,
)
def test_what_the_kernel_could_not_be_asked_for_is_no_result(lists: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidConfig, match=words):
        result_with(**lists)
