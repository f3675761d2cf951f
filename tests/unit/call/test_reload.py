"""Restoring rules: of every plugin that has some, record by record, whatever fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from linkspan.call.records import Records
from linkspan.call.reload import rebuild_each, reload
from linkspan.cni.errors import CniError, IoFailure
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost

ONE, TWO = Attachment("net", "c1", "eth0"), Attachment("net", "c2", "eth0")


@pytest.fixture
def host() -> MemoryHost:
    made = MemoryHost()
    for each in (ONE, TWO):
        Records(made, "portmap").write(each, {"of": each.container_id})
    return made


def test_the_plugins_that_make_rules_are_named() -> None:
    assert reload(MemoryHost()) == ("bridge", "dns", "firewall", "portmap")


def test_each_record_is_rebuilt_in_the_lock_of_its_attachment(host: MemoryHost) -> None:
    rebuilt: list[str] = []

    def rebuild(attachment: Attachment, record: Mapping[str, Any]) -> None:
        assert attachment.container_id == record["of"]
        assert host.files.held != set()
        rebuilt.append(attachment.container_id)

    rebuild_each(host, "portmap", rebuild)
    assert sorted(rebuilt) == ["c1", "c2"]


@pytest.mark.parametrize("error", [IoFailure("no"), RuntimeError("no")])
def test_a_record_that_cannot_be_rebuilt_does_not_stop_the_others(host: MemoryHost, error: Exception) -> None:
    tried: list[str] = []

    def rebuild(attachment: Attachment, _: Mapping[str, Any]) -> None:
        tried.append(attachment.container_id)
        raise error

    with pytest.raises(CniError):
        rebuild_each(host, "portmap", rebuild)
    assert sorted(tried) == ["c1", "c2"]
