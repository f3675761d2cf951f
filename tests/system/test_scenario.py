"""What the tests of real runtimes rely on: a stranger is noticed, a leak is noticed, a page that is not there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.privatehost import PrivateHost
from tests.harness.scenario import fetch, leave_only_ours, leaves_nothing, strangers

pytestmark = pytest.mark.root


def test_a_plugin_that_is_not_ours_is_noticed(host: PrivateHost) -> None:
    leave_only_ours(host)
    host.write("/opt/elsewhere/host-local", "#!/bin/sh\n", mode=0o755)
    assert strangers(host) == ["/opt/elsewhere/host-local"]


def test_the_reference_suite_among_the_tools_is_hidden(
    host: PrivateHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "tools/reference-plugins-1/bridge"
    kept.parent.mkdir(parents=True)
    kept.touch(mode=0o755)
    monkeypatch.setenv("LINKSPAN_CACHE", str(tmp_path))
    assert strangers(host) == [str(kept)]
    leave_only_ours(host)
    assert strangers(host) == []


def test_what_is_left_behind_is_named(host: PrivateHost) -> None:
    with pytest.raises(AssertionError, match="eth9"), leaves_nothing(host):
        host.run(["ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth8"])


def test_a_page_that_is_not_there_is_none(host: PrivateHost) -> None:
    assert fetch(host, "http://127.0.0.1:9/", patience=0) is None
