"""The chains that attachments were made by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from linkspan.call import chain_verbs
from linkspan.cni.errors import AttachmentWrong, ToolMissing
from linkspan.runtime.attachments import Attachments
from linkspan.runtime.chains import of_endpoint, reason
from tests.unit.runtime.world import World


def test_what_libcni_kept_makes_the_chain_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create("custom")
    attachment = world.attach("custom", cniArgs=[["K8S_POD_NAME", "web"]], capabilityArgs={"mac": "x"})
    ((endpoint, _),) = Attachments(world.host).all()
    found = of_endpoint(endpoint, "/opt/cni/bin")
    assert found is not None
    assert (found.version, found.netns, found.args) == ("1.0.0", "/run/netns/box", {"K8S_POD_NAME": "web"})
    assert (found.capabilities, found.attachment) == ({"mac": "x"}, attachment)
    assert list(chain_verbs.check(replace(found, capabilities={}), world.host)) == []
    assert of_endpoint(replace(endpoint, list_text=b""), "/opt/cni/bin") is None


def test_the_reason_is_one_line_that_says_enough() -> None:
    assert reason(AttachmentWrong("the address is gone", "DEL and ADD it again")) == "the address is gone"
    missing = ToolMissing("the plugin 'x' is not in CNI_PATH", "CNI_PATH is /bin")
    assert reason(missing) == "the plugin 'x' is not in CNI_PATH (CNI_PATH is /bin)"
