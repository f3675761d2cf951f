"""Environment and standard input to a request: the CNI contract of every version, and no I/O.

`read_request` checks in one order, so that the first error reported is the first one to mend: verb,
variables, values, document, name, version, verb against version. Sources: SPEC 0.1.0 to 1.1.0; skel.go of the
reference for the texts that runtimes match on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from linkspan.cni.errors import (
    CniError,
    IncompatibleVersion,
    InvalidConfig,
    InvalidEnvironment,
    UndecodableInput,
    shortened,
)
from linkspan.cni.model import Request, Result
from linkspan.cni.result import decode_result
from linkspan.cni.schema import Schema, check, load, near_misses, normalize_keys
from linkspan.cni.versions import LATEST, VERSIONS, at_least

#: verb -> (required variables, first version that has it)
VERBS = {
    "ADD": (("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"), "0.1.0"),
    "DEL": (("CNI_CONTAINERID", "CNI_IFNAME"), "0.1.0"),
    "CHECK": (("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"), "0.4.0"),
    "GC": ((), "1.1.0"),
    "STATUS": ((), "1.1.0"),
    "VERSION": ((), "0.1.0"),
}

#: The keys of a configuration that belong to the contract and not to a plugin; not GC's list, where null is a
#: value.
COMMON: Schema = {
    "properties": {
        "cniVersion": {},
        "name": {},
        "type": {},
        "prevResult": {},
        "runtimeConfig": {},
        "args": {"properties": {"cni": {}}},
    }
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*", re.ASCII)
_NAME_RULE = "must start with a letter or digit, followed by letters, digits, '_', '.' and '-'"
_NOT_IN_IFNAME = re.compile(r"[/:%\s\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Input:
    """Standard input, parsed once: the document as it was sent, or the fault for which there is none."""

    raw: bytes
    document: Mapping[str, Any] = field(default_factory=dict)
    fault: UndecodableInput | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Input:
        """Never raises: a fault is reported in its turn, after those of the environment."""
        try:
            return cls(raw, decode_document(raw))
        except UndecodableInput as fault:
            return cls(raw, fault=fault)

    @property
    def error_version(self) -> str:
        """The cniVersion of an error object: the configuration's if it names one we know, else the latest."""
        try:
            return LATEST if self.fault else config_version(normalize_keys(self.document, COMMON))
        except CniError:
            return LATEST


def read_request(cni_type: str, env: Mapping[str, str], given: Input, *, cwd: str = "/") -> Request:
    """The request in the environment and on stdin; raises the first fault as a CniError.

    The configuration's keys are normalized as far as the contract names them; `configured` does the rest once
    the plugin is known. DEL ignores every error that does not prevent it from locating the attachment.
    """
    verb = checked_environment(env)
    if given.fault is not None:
        raise given.fault
    document = normalize_keys(given.document, COMMON)
    network = _network_name(document)
    version = config_version(document)
    if not at_least(version, VERBS[verb][1]):
        # Without details, which libcni would append: callers compare the text with the reference's.
        raise IncompatibleVersion(f"config version does not allow {verb}")
    return Request(
        verb=verb,
        plugin=cni_type,
        cni_version=version,
        network=network,
        config=document,
        container_id=env.get("CNI_CONTAINERID", ""),
        ifname=env.get("CNI_IFNAME", ""),
        netns=env.get("CNI_NETNS", ""),
        args=dict(_pairs(env.get("CNI_ARGS", ""))),
        path=tuple(each for each in env.get("CNI_PATH", "").split(":") if each),
        prev_result=_prev_result(document, version, verb),
        valid_attachments=_valid_attachments(document) if verb == "GC" else None,
        stdin=given.raw,
        document=given.document,
        env=env,
        cwd=cwd,
    )


def configured(request: Request, plugin: str, schema: str) -> Request:
    """The request as `plugin` reads it: keys spelled as its schema (a path) does, values checked unless the
    verb is DEL.

    Raises InvalidConfig.
    """
    config = normalize_keys(request.config, load(schema))
    if request.verb != "DEL":
        check(config, schema)
    return replace(request, plugin=plugin, config=config)


def checked_environment(env: Mapping[str, str]) -> str:
    """The verb, once the CNI_* variables it needs are there and sound. Raises InvalidEnvironment."""
    verb = env.get("CNI_COMMAND", "")
    if verb not in VERBS:
        raise InvalidEnvironment(f"unknown CNI_COMMAND: {verb}", f"one of {', '.join(VERBS)}")
    missing = [each for each in VERBS[verb][0] if not env.get(each)]
    if missing:
        raise InvalidEnvironment(
            f"required env variables [{','.join(missing)}] missing", f"CNI_COMMAND is {verb}"
        )
    if VERBS[verb][0]:
        _check_container_id(env["CNI_CONTAINERID"])
        _check_ifname(env["CNI_IFNAME"])
    return verb


def _check_container_id(container_id: str) -> None:
    if not _NAME.fullmatch(container_id):
        raise InvalidEnvironment(
            f"invalid characters in containerID: {shortened(container_id)}",
            f"CNI_CONTAINERID {_NAME_RULE}",
        )


def _check_ifname(ifname: str) -> None:
    """What the kernel takes for a name (dev_valid_name in net/core/dev.c), in UTF-8, and no '%', which it
    would expand.
    """
    size = len(ifname.encode("utf-8", "surrogateescape"))
    if size > 15 or ifname in (".", "..") or _NOT_IN_IFNAME.search(ifname):
        raise InvalidEnvironment(
            f"invalid interface name in CNI_IFNAME: {shortened(ifname)}",
            "1 to 15 bytes, not '.' or '..', without '/', ':', '%' and white space",
        )


def decode_document(stdin: bytes) -> dict[str, Any]:
    """Standard input as one JSON object; UndecodableInput otherwise. The last of two equal keys wins."""
    try:
        document = json.loads(
            stdin.decode("utf-8", "replace"),
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise UndecodableInput("the configuration on stdin is nested too deep") from None
    except ValueError as error:
        raise UndecodableInput(
            f"the configuration on stdin is not JSON: {shortened(str(error), 70)}"
        ) from None
    if not isinstance(document, dict):
        raise UndecodableInput(
            f"the configuration on stdin is a JSON {type(document).__name__}, not an object"
        )
    return document


class RepeatedKeys(dict[str, Any]):
    """A JSON object some of whose keys stood in it more than once: `repeated`, in order."""

    repeated: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    whole = RepeatedKeys(found)
    whole.repeated = tuple(name for name in found if names.count(name) > 1)
    return whole


def _finite(text: str) -> float:
    """A number that a result can repeat: 1e400 would come out as Infinity, which is not JSON."""
    number = float(text)
    if abs(number) == float("inf"):
        raise ValueError(f"{shortened(text)} is too large a number")
    return number


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON value")


def config_version(document: Mapping[str, Any]) -> str:
    """The configuration's cniVersion; absent or empty means 0.1.0. Compared as text, never normalised."""
    version = document.get("cniVersion") or "0.1.0"
    if not isinstance(version, str):
        raise UndecodableInput(f"$.cniVersion: {version!r} is not a string")
    if version not in VERSIONS:
        raise IncompatibleVersion(
            f"incompatible CNI versions: the config is {shortened(version)!r}",
            f"supported: {', '.join(VERSIONS)}",
        )
    return version


def _network_name(document: Mapping[str, Any]) -> str:
    name = document.get("name")
    if name is None or name == "":
        raise InvalidConfig("missing network name", "$.name is required")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 255:
        raise InvalidConfig(
            f"invalid characters found in network name: {shortened(str(name))}",
            f"$.name {_NAME_RULE}, 255 at most",
        )
    return name


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """CNI_ARGS as keys and values, split at each pair's first '='. Runtimes put keys of others into it, and
    anything that a user typed, so what is not a pair is left out (`questionable` reports it).
    """
    for pair in text.split(";"):
        key, equals, value = pair.partition("=")
        if key and equals:
            yield key, value


def questionable(request: Request, schema: str) -> list[str]:
    """What in a request is ignored and was probably meant otherwise, as sentences.

    A part of CNI_ARGS that is not a pair, and keys that no schema knows but for a slip of the keyboard.
    """
    args = (each for each in request.env.get("CNI_ARGS", "").split(";") if each)
    malformed = [each for each in args if each.startswith("=") or "=" not in each]
    return [
        *(f"CNI_ARGS: {shortened(each)!r} is ignored: it is not of the form KEY=VALUE" for each in malformed),
        *(
            f"{path}: the unknown key is ignored; did you mean {known!r}?"
            for path, known in near_misses(request.config, load(schema), COMMON)
        ),
    ]


def _prev_result(document: Mapping[str, Any], version: str, verb: str) -> Result | None:
    value = document.get("prevResult")
    if value is None:
        return None
    try:
        return decode_result(value, version)
    except CniError:
        if verb == "DEL":
            return None
        raise


def _valid_attachments(document: Mapping[str, Any]) -> frozenset[tuple[str, str]] | None:
    """Who is alive, as (container id, ifname); None if no key says so, and null is an empty list (libcni
    sends it).
    """
    for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
        if key in document:
            return frozenset(_attachment(each, key) for each in _listed(document[key], key))
    return None


def _attachment(value: Any, key: str) -> tuple[str, str]:
    if isinstance(value, Mapping):
        folded = {str(name).lower(): each for name, each in value.items()}
        container_id, ifname = folded.get("containerid"), folded.get("ifname")
        if isinstance(container_id, str) and isinstance(ifname, str):
            return container_id, ifname
    raise InvalidConfig(f"$['{key}']: an element has no containerID or no ifname", "nothing was removed")


def _listed(value: Any, key: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidConfig(f"$['{key}']: {shortened(repr(value))} is not a list", "nothing was removed")
    return value
