"""The answer to VERSION."""

from __future__ import annotations

import json

import pytest

from linkspan import __version__
from linkspan.cni import versions
from linkspan.cni.versions import VERSIONS, banner


@pytest.mark.parametrize(
    ("stdin", "version"),
    [(b'{"cniVersion":"0.4.0"}', "0.4.0"), (b"", "1.1.0"), (b"[]", "1.1.0"), (b"{", "1.1.0")],
)
def test_version_echoes_the_caller_and_never_fails(stdin: bytes, version: str) -> None:
    answer = json.loads(versions.encode_versions(stdin))
    assert (answer["cniVersion"], answer["supportedVersions"]) == (version, list(VERSIONS))


def test_banner_s_first_line_is_what_runtimes_parse() -> None:
    assert banner("firewall").splitlines()[0] == "CNI firewall plugin v1.9.1"


def test_banner_s_last_line_is_our_own_version() -> None:
    assert banner("firewall").splitlines()[2].startswith(f"linkspan {__version__}: ")
