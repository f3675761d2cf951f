"""`linkspan gc`: what it says, and when it acts."""

from __future__ import annotations

import pytest

from linkspan.call import connections
from linkspan.call.chain import Chain
from linkspan.call.connections import Connection
from linkspan.call.deferral import all_kept
from linkspan.cni.model import Attachment
from tests.harness.memory import BOX, Desk
from tests.unit.cli.conftest import Command

PATH = {"CNI_PATH": "/opt/cni/bin"}
LINE = "container box (eth0, 172.17.0.2/16) on network custom\n"


@pytest.fixture
def gone(command: Command) -> Command:
    """A world with an attachment whose container is gone."""
    command.world.create("custom")
    command.world.attach("custom", "dies")
    command.world.host.links().delete(Attachment("custom", "dies", "eth0").host_veth)
    return command


def test_it_says_what_it_takes_back(gone: Command) -> None:
    assert gone.output("gc", "--bin-dir", "/opt/cni/bin") == LINE
    assert gone.output("gc", "--bin-dir", "/opt/cni/bin") == ""


def test_a_dry_run_only_says_it(gone: Command) -> None:
    before = gone.world.host.state()
    assert gone.output("gc", "--dry-run") == LINE
    assert gone.world.host.state() == before


def test_what_a_killed_connect_has_left_is_taken_back(gone: Command) -> None:
    host = gone.world.host
    assert gone.output("gc", "--bin-dir", "/opt/cni/bin") == LINE
    document = {"plugins": [{"type": "portmap"}]}
    chain = Chain(
        network="custom",
        document=document,
        version="1.0.0",
        path="/opt/cni/bin",
        attachment=Attachment("custom", "c1", "eth1"),
        netns="/run/netns/box",
    )
    connections.write(host.files, Connection(chain=chain, anchor=connections.ANY, container="web"))
    assert "interrupted connection of web\n" in gone.output("gc")
    assert gone.output("gc") == ""


def test_what_cannot_be_taken_back_is_an_error(gone: Command) -> None:
    done = gone("gc", "--bin-dir", "/nowhere")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "is not in CNI_PATH" in done.stderr


def test_a_del_that_waits_for_its_container_is_carried_out_once_that_has_ended(command: Command) -> None:
    """The link may still be there: the kernel takes namespaces down behind the scenes."""
    host = command.world.host
    command.world.create("custom")
    attachment = command.world.attach("custom", "lives")
    one = command.world.network("custom").list
    desk = Desk(network="custom", version="1.0.0")
    desk.host = host  # a desk made for it would give it another container
    for config in reversed(one.document["plugins"]):
        assert desk.call("DEL", config, container_id="lives", netns="", env=PATH).status == 0
    assert command.output("gc", "--bin-dir", "/opt/cni/bin") == ""
    assert (len(all_kept(host.files, host.state_dir)), host.links().get(attachment.host_veth) is None) == (
        len(one.document["plugins"]),
        False,
    )
    host.abandon_netns(BOX)
    command("gc", "--bin-dir", "/opt/cni/bin")
    assert (all_kept(host.files, host.state_dir), host.links().get(attachment.host_veth)) == ([], None)
