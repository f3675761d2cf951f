"""A call in the runtime's own process: one JSON object, whatever the installation lacks."""

from __future__ import annotations

import json

import pytest

from linkspan.launch import interpreter, standalone


def test_an_installation_that_is_not_complete_is_an_error_object(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("No module named 'jsonschema'")

    monkeypatch.setattr(interpreter, "enable_site_packages", missing)
    status, stdout = standalone.serve("bridge", b"ADD", b"{}")
    error = json.loads(stdout)
    assert (status, error["code"]) == (1, 199)
    assert "No module named 'jsonschema'" in error["msg"]
