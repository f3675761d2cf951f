"""The answer to VERSION."""

from __future__ import annotations

import json

import pytest

from linkspan.cni import versions
from linkspan.cni.versions import VERSIONS


@pytest.mark.parametrize(
    ("stdin", "version"),
    [(b'{"cniVersion":"0.4.0"}', "0.4.0"), (b"", "1.1.0"), (b"[]", "1.1.0"), (b"{", "1.1.0")],
)
def test_version_echoes_the_caller_and_never_fails(stdin: bytes, version: str) -> None:
    answer = json.loads(versions.encode_versions(stdin))
    assert (answer["cniVersion"], answer["supportedVersions"]) == (version, list(VERSIONS))
