"""What `linkspan reload` prints."""

from __future__ import annotations

from linkspan.call.restoring import Restored
from linkspan.cli.reload import report
from linkspan.cni.errors import AttachmentWrong
from linkspan.cni.model import Attachment

WEB = Attachment("blue", "web", "eth0")
WHO = "container web (eth0) on network blue"


def test_nothing_missing_is_one_line() -> None:
    assert list(report(())) == ["nothing was missing"]


def test_what_was_missing_is_named_for_each_attachment() -> None:
    found = Restored(plugin="bridge", attachment=WEB, missing=("the bridge br0 is missing", "it is down"))
    assert list(report([found])) == [
        f"bridge: {WHO}: the bridge br0 is missing",
        f"bridge: {WHO}: it is down",
        f"bridge: {WHO}: restored",
    ]


def test_what_could_not_be_restored_is_said_with_the_remedy() -> None:
    error = AttachmentWrong("br0 is not a bridge", "name another")
    found = Restored(plugin="bridge", attachment=None, missing=("x",), error=error)
    assert list(report([found])) == [
        "bridge: shared: x",
        "bridge: shared: not restored: br0 is not a bridge (name another)",
    ]
