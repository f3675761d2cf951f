"""Bytes to requests and results to bytes, for every version of the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.cni import versions, wire
from linkspan.cni.errors import (
    CniError,
    IncompatibleVersion,
    InvalidConfig,
    InvalidEnvironment,
    UndecodableInput,
)
from linkspan.cni.model import Address, Dns, Interface, Request, Result, Route
from linkspan.cni.versions import VERSIONS

ENV = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/a",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/a:/b:",
}
SCHEMA: dict[str, Any] = {
    "properties": {
        "isGateway": {},
        "runtimeConfig": {"properties": {"portMappings": {"items": {"properties": {"hostPort": {}}}}}},
    }
}


def request(env: dict[str, str] | None = None, **config: Any) -> Request:
    """The request of a sound environment, with changes (None removes a variable), and a configuration."""
    changed = {key: value for key, value in {**ENV, **(env or {})}.items() if value is not None}
    document = {"cniVersion": "1.0.0", "name": "net", "type": "x", **config}
    return wire.read_request("x", changed, json.dumps(document).encode(), SCHEMA)


def test_request_carries_the_words_of_the_attachment() -> None:
    read = request()
    assert (read.network, read.container_id, read.ifname, read.netns, read.path) == (
        "net", "c1", "eth0", "/run/netns/a", ("/a", "/b"),
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["", "add", "FOO"])
def test_unknown_verb_is_told_before_anything_else(verb: str) -> None:
    with pytest.raises(InvalidEnvironment, match=f"unknown CNI_COMMAND: {verb}"):
        wire.read_request("x", {"CNI_COMMAND": verb}, b"", SCHEMA)


def test_all_missing_variables_are_told_at_once() -> None:
    with pytest.raises(InvalidEnvironment, match=r"\[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME\]"):
        wire.read_request("x", {"CNI_COMMAND": "ADD"}, b"", SCHEMA)


def test_delete_needs_no_namespace() -> None:
    assert request({"CNI_COMMAND": "DEL", "CNI_NETNS": ""}).netns == ""


@pytest.mark.parametrize("container_id", ["-a", ".a", "_a", "a b", "../x", "é", "٣", "abc\n"])
def test_ill_formed_container_id_is_refused(container_id: str) -> None:
    with pytest.raises(InvalidEnvironment, match="containerID"):
        request({"CNI_CONTAINERID": container_id})


@pytest.mark.parametrize("container_id", ["A.b_c-9", "0" * 64, "x" * 200])
def test_sound_container_id_of_any_length_is_taken(container_id: str) -> None:
    assert request({"CNI_CONTAINERID": container_id}).container_id == container_id


@pytest.mark.parametrize(
    "ifname", [".", "..", "a/b", "a:b", "a b", "\u00a0x", "eth0\n", "x" * 16, "é" * 8, "e%d", "\udcff"]
)
def test_interface_name_the_kernel_would_refuse_or_expand_is_refused(ifname: str) -> None:
    with pytest.raises(InvalidEnvironment, match="CNI_IFNAME"):
        request({"CNI_IFNAME": ifname})


@pytest.mark.parametrize("name", [None, "", "-x", "..", "a/b", "é", "a\n", 7, "n" * 256])
def test_ill_formed_network_name_is_an_invalid_config(name: Any) -> None:
    with pytest.raises(InvalidConfig):
        request(name=name)


@pytest.mark.parametrize(
    "stdin", [b"", b"{", b"[]", b'"x"', b"{} x", b'{"a": NaN}', b'{"a": Infinity}', b"[" * 20000]
)
def test_stdin_that_is_no_json_object_is_undecodable(stdin: bytes) -> None:
    with pytest.raises(UndecodableInput):
        wire.read_request("x", ENV, stdin, SCHEMA)


@pytest.mark.parametrize("version", ["9.0.0", "1.0", "v1.0.0"])
def test_unknown_version_is_incompatible_and_details_list_what_we_speak(version: str) -> None:
    with pytest.raises(IncompatibleVersion) as caught:
        request(cniVersion=version)
    assert "1.1.0" in caught.value.details


@pytest.mark.parametrize("version", [None, ""])
def test_absent_version_is_the_first(version: str | None) -> None:
    assert request(cniVersion=version).cni_version == "0.1.0"


@pytest.mark.parametrize(("verb", "version"), [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")])
def test_verb_its_version_lacks_is_incompatible(verb: str, version: str) -> None:
    with pytest.raises(IncompatibleVersion, match=verb):
        request({"CNI_COMMAND": verb}, cniVersion=version)


def test_keys_the_schema_names_are_matched_without_regard_to_case() -> None:
    read = request(ISGATEWAY=True, RuntimeConfig={"PortMappings": [{"HostPort": 1}]}, Vendor={"A": 1})
    assert read.config["isGateway"] is True
    assert read.runtime_config == {"portMappings": [{"hostPort": 1}]}
    assert read.config["Vendor"] == {"A": 1}


def test_null_means_default() -> None:
    assert "isGateway" not in request(isGateway=None).config


def test_cni_args_split_at_the_first_equals_sign_and_tolerate_a_trailing_semicolon() -> None:
    assert request({"CNI_ARGS": "IgnoreUnknown=1;A=b=c;"}).args == {"IgnoreUnknown": "1", "A": "b=c"}


def test_cni_args_pair_without_equals_sign_fails_add_and_not_delete() -> None:
    with pytest.raises(InvalidEnvironment, match="CNI_ARGS"):
        request({"CNI_ARGS": "junk"})
    assert request({"CNI_COMMAND": "DEL", "CNI_ARGS": "junk"}).args == {"junk": ""}


def test_runtime_config_goes_before_args_before_cni_args() -> None:
    args = {"cni": {"mac": "args"}}
    assert (
        request({"CNI_ARGS": "MAC=env"}, runtimeConfig={"mac": "rc"}, args=args).choose("mac", "MAC") == "rc"
    )
    assert request({"CNI_ARGS": "MAC=env"}, args=args).choose("mac", "MAC") == "args"
    assert request({"CNI_ARGS": "MAC=env"}, mac="conf").choose("mac", "MAC") == "env"
    assert request(mac="conf").choose("mac", "MAC") == "conf"


GC = {"CNI_COMMAND": "GC"}
KEYS = ["cni.dev/valid-attachments", "cni.dev/attachments"]


def test_gc_without_the_key_knows_nothing() -> None:
    assert request(GC, cniVersion="1.1.0").valid_attachments is None


@pytest.mark.parametrize("key", KEYS)
def test_gc_reads_either_key(key: str) -> None:
    read = request(GC, cniVersion="1.1.0", **{key: [{"containerID": "a", "ifname": "b"}]})
    assert read.valid_attachments == frozenset({("a", "b")})


@pytest.mark.parametrize("value", [[], None])
def test_gc_with_nobody_valid_is_meaningful(value: Any) -> None:
    assert request(GC, cniVersion="1.1.0", **{KEYS[0]: value}).valid_attachments == frozenset()


@pytest.mark.parametrize("value", ["x", {}, [1], [{"containerID": "a"}]])
def test_gc_with_an_ill_typed_key_is_refused(value: Any) -> None:
    with pytest.raises(InvalidConfig):
        request(GC, cniVersion="1.1.0", **{KEYS[0]: value})


def test_ill_typed_prev_result_fails_add_and_not_delete() -> None:
    with pytest.raises(InvalidConfig):
        request(prevResult={"ips": "x"})
    assert request({"CNI_COMMAND": "DEL"}, prevResult={"ips": "x"}).prev_result is None


@pytest.mark.parametrize(
    "spoilt",
    [
        {"ips": [{"address": "x"}]},
        {"ips": [{"address": "10.0.0.1"}]},
        {"ips": [{"address": "10.0.0.1/33"}]},
        {"ips": [{"address": "10.0.0.1/8", "gateway": "x"}]},
        {"routes": [{"dst": "x"}]},
        {"routes": [{"dst": "10.0.0.0/8", "gw": "x"}]},
    ],
    ids=str,
)
def test_prev_result_with_what_is_no_address_is_refused(spoilt: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match=r"\$.prevResult"):
        request(prevResult=spoilt)


def test_prev_result_with_an_index_that_names_no_interface_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="names no interface"):
        request(
            prevResult={"ips": [{"address": "10.0.0.1/8", "interface": 1}], "interfaces": [{"name": "a"}]}
        )


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
    assert wire.decode_result(json.loads(wire.encode_result(WHOLE, version)), version) == WHOLE


@pytest.mark.parametrize("version", VERSIONS)
def test_result_has_exactly_the_version_asked_for(version: str) -> None:
    assert json.loads(wire.encode_result(WHOLE, version))["cniVersion"] == version


@pytest.mark.parametrize(
    ("version", "there"), [("0.3.0", True), ("0.4.0", True), ("1.0.0", False), ("1.1.0", False)]
)
def test_addresses_carry_a_version_before_one_zero(version: str, there: bool) -> None:
    document = wire.result_document(WHOLE, version)
    assert all(("version" in ip) is there for ip in document["ips"])


def test_old_result_has_one_address_a_family_and_routes_split() -> None:
    document = wire.result_document(WHOLE, "0.2.0")
    assert document["ip4"] == {"ip": "10.1.0.2/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]}
    assert document["ip6"]["routes"][0]["gw"] == "fd00::1"
    assert "interfaces" not in document


def test_old_result_without_an_address_cannot_be_told() -> None:
    with pytest.raises(IncompatibleVersion):
        wire.encode_result(Result(), "0.2.0")


def test_interface_mtu_is_told_from_one_one_on() -> None:
    assert wire.result_document(WHOLE, "1.1.0")["interfaces"][0]["mtu"] == 1500
    assert "mtu" not in wire.result_document(WHOLE, "1.0.0")["interfaces"][0]


@pytest.mark.parametrize("version", ["0.2.0", "0.4.0", "1.0.0"])
def test_result_of_another_version_is_read(version: str) -> None:
    document = wire.result_document(WHOLE, version)
    assert wire.decode_result(document, "1.1.0").ips[0].address == "10.1.0.2/24"


def test_empty_dns_is_left_out_from_one_zero_on() -> None:
    assert "dns" not in wire.result_document(Result(), "1.0.0")
    assert wire.result_document(Result(), "0.4.0")["dns"] == {}


def test_error_has_version_code_and_message() -> None:
    class Odd(CniError):
        code = 7

    assert json.loads(wire.encode_error(Odd("m", "d"), "0.4.0")) == {
        "cniVersion": "0.4.0", "code": 7, "msg": "m", "details": "d",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("stdin", "version"),
    [(b'{"cniVersion":"0.4.0"}', "0.4.0"), (b"", "1.1.0"), (b"[]", "1.1.0"), (b"{", "1.1.0")],
)
def test_version_echoes_the_caller_and_never_fails(stdin: bytes, version: str) -> None:
    answer = json.loads(versions.encode_versions(stdin))
    assert (answer["cniVersion"], answer["supportedVersions"]) == (version, list(VERSIONS))
