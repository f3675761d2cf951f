"""What the tests of real runtimes rely on: a stranger is noticed, a leak is noticed, a page that is not there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import ours, scenario
from tests.harness.privatehost import PrivateHost
from tests.harness.scenario import fetch, leave_only_ours, leaves_nothing, strangers

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """/opt/runtime is where a runtime looks too: the host keeps to itself what is written below /opt."""
    monkeypatch.setattr(scenario, "_SEARCHED", (ours.BIN, "/opt/runtime"))


def test_a_plugin_that_a_runtime_might_start_is_noticed(host: PrivateHost) -> None:
    leave_only_ours(host)
    host.write("/opt/runtime/host-local", "#!/bin/sh\n", mode=0o755)
    assert strangers(host) == ["/opt/runtime/host-local"]


def test_plugins_elsewhere_on_the_machine_do_not_matter(host: PrivateHost) -> None:
    host.write("/opt/elsewhere/bridge", "#!/bin/sh\n", mode=0o755)
    leave_only_ours(host)
    assert strangers(host) == []


@pytest.mark.parametrize("place", ["where runtimes look", "among the tools"])
def test_every_plugin_that_is_not_ours_is_hidden(
    host: PrivateHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("LINKSPAN_CACHE", str(tmp_path))
    tools = f"{tmp_path}/tools/reference-plugins-1/bridge"
    kept = tools if place == "among the tools" else "/opt/runtime/bridge"
    host.write(kept, "#!/bin/sh\n", mode=0o755)
    assert strangers(host) == [kept]
    leave_only_ours(host)
    assert strangers(host) == []


def test_what_is_left_behind_is_named(host: PrivateHost) -> None:
    with pytest.raises(AssertionError, match="eth9"), leaves_nothing(host):
        host.run(["ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth8"])


def test_a_page_that_is_not_there_is_none(host: PrivateHost) -> None:
    assert fetch(host, "http://127.0.0.1:9/", patience=0) is None
