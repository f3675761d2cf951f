"""Verbs of a whole list, as libcni calls them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.call import chain_verbs
from linkspan.call.chain import Chain
from linkspan.cni.model import Attachment
from linkspan.host.contract import Finished
from linkspan.host.memory import MemoryHost
from linkspan.host.memory.processes import Run

WEB = Attachment("custom", "c1", "eth0")


def listing(*plugins: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.1.0", **keys, "plugins": list(plugins)}


def made_by(*plugins: dict[str, Any], version: str = "1.0.0", **fields: Any) -> Chain:
    fields.setdefault("document", listing(*plugins))
    return Chain(network="custom", version=version, path="/bin:/sbin", attachment=WEB, **fields)


class Theirs:
    """A foreign plugin that notes its calls, and fails on request."""

    def __init__(self, host: MemoryHost, name: str = "theirs") -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fails = False
        host.processes.programs[f"/bin/{name}"] = self._answer

    def _answer(self, run: Run) -> Finished:
        self.calls.append((run.env["CNI_COMMAND"], json.loads(run.stdin)))
        if self.fails:
            return Finished(1, json.dumps({"code": 11, "msg": "not now"}).encode())
        return Finished(0, b"{}")


def test_check_goes_on_after_a_plugin_that_fails() -> None:
    host = MemoryHost()
    theirs = Theirs(host)
    theirs.fails = True
    other = Theirs(host, "other")
    found = list(
        chain_verbs.check(made_by({"type": "theirs"}, {"type": "other"}, netns="/run/netns/box"), host)
    )
    assert [(kind, error.msg) for kind, error in found] == [("theirs", "not now")]
    assert [verb for verb, _ in other.calls] == ["CHECK"]


@pytest.mark.parametrize("keys", [{"disableCheck": True}, {}])
def test_check_is_not_called_where_libcni_would_not(keys: dict[str, Any]) -> None:
    host = MemoryHost()
    theirs = Theirs(host)
    one = made_by(version="1.0.0" if keys else "0.3.1", document=listing({"type": "theirs"}, **keys))
    assert (list(chain_verbs.check(one, host)), theirs.calls) == ([], [])


def test_delete_calls_all_in_reverse_also_after_a_failure() -> None:
    host = MemoryHost()
    plugins = [Theirs(host, each) for each in ("first", "second")]
    for each in plugins:
        each.fails = True
    with pytest.raises(Exception, match="not now"):
        chain_verbs.delete(made_by({"type": "first"}, {"type": "second"}), host, lambda: True)
    assert [run.argv[0] for run in host.processes.ran] == ["/bin/second", "/bin/first"]


def test_delete_calls_nobody_once_the_attachment_is_back() -> None:
    host = MemoryHost()
    theirs = Theirs(host)
    host.processes.own["/bin/portmap"] = "portmap"
    before = host.state()
    chain_verbs.delete(made_by({"type": "theirs"}, {"type": "portmap"}), host, lambda: False)
    assert (theirs.calls, host.state()) == ([], before)


def test_status_asks_plugins_of_others_only_if_their_list_has_status() -> None:
    host = MemoryHost()
    theirs = Theirs(host)
    theirs.fails = True
    old = listing({"type": "theirs"}, cniVersion="1.0.0")
    assert list(chain_verbs.status("custom", old, "/bin", host)) == []
    ((kind, error),) = chain_verbs.status("custom", listing({"type": "theirs"}), "/bin", host)
    assert (kind, error.msg) == ("theirs", "not now")
