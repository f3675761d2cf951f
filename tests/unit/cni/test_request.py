"""Environment and standard input to a request, for every version of the contract."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linkspan.cni.errors import (
    IncompatibleVersion,
    InvalidConfig,
    InvalidEnvironment,
    UndecodableInput,
)
from linkspan.cni.model import Request
from linkspan.cni.request import Input, questionable, read_request
from linkspan.cni.schema import normalize_keys

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


def read(env: dict[str, str], stdin: bytes) -> Request:
    """The request of a plugin whose schema names SCHEMA's keys."""
    found = read_request("x", env, Input.parse(stdin))
    return replace(found, config=normalize_keys(found.config, SCHEMA))


def request(env: dict[str, str] | None = None, **config: Any) -> Request:
    """The request of a sound environment, with changes (None removes a variable), and a configuration."""
    changed = {key: value for key, value in {**ENV, **(env or {})}.items() if value is not None}
    document = {"cniVersion": "1.0.0", "name": "net", "type": "x", **config}
    return read(changed, json.dumps(document).encode())


def test_request_carries_the_words_of_the_attachment() -> None:
    read = request()
    assert (read.network, read.container_id, read.ifname, read.netns, read.path) == (
        "net", "c1", "eth0", "/run/netns/a", ("/a", "/b"),
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["", "add", "FOO"])
def test_unknown_verb_is_told_before_anything_else(verb: str) -> None:
    with pytest.raises(InvalidEnvironment, match=f"unknown CNI_COMMAND: {verb}"):
        read({"CNI_COMMAND": verb}, b"")


def test_all_missing_variables_are_told_at_once() -> None:
    with pytest.raises(InvalidEnvironment, match=r"\[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME\]"):
        read({"CNI_COMMAND": "ADD"}, b"")


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
    "stdin",
    [b"", b"{", b"[]", b'"x"', b"{} x", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -1e400}', b"[" * 20000],
)
def test_stdin_that_is_no_json_object_is_undecodable(stdin: bytes) -> None:
    with pytest.raises(UndecodableInput):
        read(ENV, stdin)


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


def test_errors_that_callers_compare_have_no_details() -> None:
    """libcni prints "msg; details", and suites compare the whole with the reference's text."""
    with pytest.raises(IncompatibleVersion) as caught:
        request({"CNI_COMMAND": "CHECK"}, cniVersion="0.3.1")
    assert (caught.value.msg, caught.value.details) == ("config version does not allow CHECK", "")


def test_keys_the_schema_names_are_matched_without_regard_to_case() -> None:
    read = request(ISGATEWAY=True, RuntimeConfig={"PortMappings": [{"HostPort": 1}]}, Vendor={"A": 1})
    assert read.config["isGateway"] is True
    assert read.runtime_config == {"portMappings": [{"hostPort": 1}]}
    assert read.config["Vendor"] == {"A": 1}


def test_null_means_default() -> None:
    assert "isGateway" not in request(isGateway=None).config


def test_cni_args_split_at_the_first_equals_sign_and_tolerate_a_trailing_semicolon() -> None:
    assert request({"CNI_ARGS": "IgnoreUnknown=1;A=b=c;"}).args == {"IgnoreUnknown": "1", "A": "b=c"}


@pytest.mark.parametrize("malformed", ["junk", "=x", "K8S_POD_NAME=web;rm"])
def test_what_is_no_pair_in_cni_args_is_left_out_and_reported(tmp_path: Path, malformed: str) -> None:
    read = request({"CNI_ARGS": f"IP=10.0.0.2;{malformed}"})
    assert read.args["IP"] == "10.0.0.2"
    assert set(read.args) <= {"IP", "K8S_POD_NAME"}
    assert "CNI_ARGS" in questionable(read, schema_file(tmp_path))[0]


def schema_file(tmp_path: Path) -> str:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    return str(path)


@pytest.mark.parametrize("key", ["isGatway", "isgatewya", "isGateways", "isGteway"])
def test_a_key_that_is_a_slip_for_a_known_one_is_reported(tmp_path: Path, key: str) -> None:
    found = questionable(request(None, **{key: True}), schema_file(tmp_path))
    assert found == [f"$.{key}: the unknown key is ignored; did you mean 'isGateway'?"]


def test_a_slip_in_a_list_below_is_reported_with_its_path(tmp_path: Path) -> None:
    found = questionable(request(runtimeConfig={"portMappings": [{"hostPrt": 1}]}), schema_file(tmp_path))
    assert found == [
        "$.runtimeConfig.portMappings[0].hostPrt: the unknown key is ignored; did you mean 'hostPort'?"
    ]


@pytest.mark.parametrize(
    ("key", "meant"), [("nome", "name"), ("nmae", "name"), ("nam", None), ("names", "name")]
)
def test_a_short_key_is_a_slip_if_one_letter_differs_or_two_are_exchanged(
    tmp_path: Path, key: str, meant: str | None
) -> None:
    found = questionable(request(None, **{key: {}}), schema_file(tmp_path))
    assert found == ([f"$.{key}: the unknown key is ignored; did you mean {meant!r}?"] if meant else [])


@pytest.mark.parametrize("key", ["vendor.example/x", "capabilities", "mtu", "isDefaultGateway", "typ"])
def test_another_unknown_key_is_ignored_in_silence(tmp_path: Path, key: str) -> None:
    assert questionable(request(None, **{key: 1}), schema_file(tmp_path)) == []


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
    with pytest.raises(InvalidConfig, match="is out of range"):
        request(
            prevResult={"ips": [{"address": "10.0.0.1/8", "interface": 1}], "interfaces": [{"name": "a"}]}
        )
