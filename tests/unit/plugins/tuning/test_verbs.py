"""The verbs of tuning on the host in memory: all or nothing, and what DEL and GC leave."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from cni_tuning.verbs import PLUGIN
from linkspan.call.dispatch import answer
from linkspan.call.records import Records
from linkspan.cni.model import Attachment
from linkspan.host.memory import Killed, MemoryHost

NETNS = "/run/netns/a"
BACKUP = "/run/cni/tuning/c1_eth0.json"
MAC = "02:00:00:00:00:20"
PREV = {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "eth0"}, {"name": "eth0", "sandbox": NETNS, "mac": "02:00:00:00:00:02"}],
    "ips": [{"address": "10.0.0.2/24", "interface": 1}],
}


def box(refuse: Any = None) -> MemoryHost:
    host = MemoryHost(refuse)
    host.add_netns(NETNS)
    host.links().create_veth(
        "outer", mac="02:00:00:00:00:01", peer="eth0", peer_mac="02:00:00:00:00:02", peer_netns=NETNS
    )
    return host


def call(
    host: MemoryHost, verb: str, *, network: str = "n1", valid: Any = None, **keys: Any
) -> dict[str, Any]:
    """What the plugin answers, {} for nothing. `valid` is GC's list."""
    document = {"cniVersion": "1.1.0", "name": network, "type": "tuning", "prevResult": PREV, **keys}
    if valid is not None:
        document["cni.dev/valid-attachments"] = valid
    env = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_NETNS": NETNS, "CNI_IFNAME": "eth0"}
    _, stdout = answer(PLUGIN, json.dumps(document).encode(), env, host)
    return dict(json.loads(stdout)) if stdout else {}


def link(host: MemoryHost) -> Any:
    return host.namespace(NETNS).get("eth0")


EVERYTHING: dict[str, Any] = {
    "mac": MAC,
    "mtu": 1400,
    "promisc": True,
    "allmulti": True,
    "txQLen": 7,
    "sysctl": {"net.core.somaxconn": "500"},
}


def test_empty_add_asks_the_host_for_nothing_but_the_lock_and_whether_a_del_waits() -> None:
    host = box()
    host.requests.clear()
    call(host, "ADD")
    assert sorted(name for name, _ in host.requests) == ["files.lock_attachment", "files.names"]


def test_empty_check_asks_the_host_for_nothing_but_the_lock_and_what_was_warned_of() -> None:
    host = box()
    host.requests.clear()
    call(host, "CHECK")
    assert [name for name, _ in host.requests] == ["files.lock_attachment", "files.read"]


def requests_of_add() -> list[tuple[str, int]]:
    """Everything that ADD asks of the host once the attachment is locked."""
    host = box()
    before = len(host.requests)
    call(host, "ADD", **EVERYTHING)
    return [each for each in host.requests[before:] if each[0] != "files.lock_attachment"]


@pytest.mark.parametrize("refused", requests_of_add(), ids=lambda each: f"{each[0]}-{each[1]}")
def test_add_that_is_refused_anything_leaves_nothing(refused: tuple[str, int]) -> None:
    host = box()
    before = host.state()
    host.refuse[refused] = errno.ENOSPC if refused[0].startswith("files.") else errno.EPERM
    answered = call(host, "ADD", **EVERYTHING)
    assert "code" in answered
    assert host.state() == before


def test_second_add_does_not_overwrite_the_backup() -> None:
    host = box()
    call(host, "ADD", mtu=1400)
    call(host, "ADD", mtu=1300, mac=MAC)
    assert json.loads(host.files.contents[BACKUP]) == {"mac": "02:00:00:00:00:02", "mtu": 1500}


def test_delete_restores_and_leaves_what_was_before() -> None:
    host = box()
    before = host.state()
    call(host, "ADD", mtu=1400, mac=MAC, txQLen=7)
    call(host, "DEL")
    assert host.state() == before


def test_delete_finds_the_backup_though_the_configuration_names_another_folder_by_now() -> None:
    host = box()
    before = host.state()
    call(host, "ADD", mtu=1400, dataDir="/run/elsewhere")
    call(host, "DEL", dataDir="/run/nowhere")
    assert host.state() == before


def test_delete_restores_the_rest_if_the_kernel_refuses_one() -> None:
    host = box()
    call(host, "ADD", mtu=1400, txQLen=7)
    host.refuse["links.change", 2] = errno.EPERM
    assert call(host, "DEL") == {}
    assert link(host).txqlen == 1000
    assert len(host.warnings) == 1
    assert host.warnings[0].startswith("tuning: mtu of eth0 was not restored: the kernel refused")
    assert BACKUP not in host.files.contents


@pytest.mark.parametrize("garbage", ["", "/nowhere", "/run/netns/a"])
def test_delete_never_fails(garbage: str) -> None:
    host = box()
    call(host, "ADD", mtu=1400)
    host.del_netns(NETNS)
    assert call(host, "DEL", mac="nonsense", sysctl=[garbage], dataDir=7) == {}
    assert BACKUP not in host.files.contents


def test_delete_in_the_host_s_own_namespace_restores_nothing() -> None:
    """P#714: a recycled path leads to the host, whose interface of that name is not ours."""
    host = MemoryHost()
    host.files.write(BACKUP, b'{"mtu": 1300}')
    host.links().create_bridge("eth0")
    env = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_IFNAME": "eth0",
    }
    answer(PLUGIN, b'{"cniVersion": "1.1.0", "name": "n1"}', env, host)
    found = host.links().get("eth0")
    assert found is not None
    assert found.mtu == 1500


@pytest.mark.parametrize(("valid", "stays"), [([], False), ([{"containerID": "c1", "ifname": "eth0"}], True)])
def test_gc_removes_the_backups_of_unknown_attachments(valid: list[Any], stays: bool) -> None:
    host = box()
    call(host, "ADD", mtu=1400)
    call(host, "GC", valid=valid)
    assert (BACKUP in host.files.contents) == stays


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_a_damaged_record_keeps_no_backup_from_being_removed(verb: str) -> None:
    host = box()
    call(host, "ADD", mtu=1400)
    Records(host, "tuning").write(Attachment("n1", "c1", "eth0"), {"backup": 7})
    assert call(host, verb, valid=[]) == {}
    assert BACKUP not in host.files.contents


def test_gc_leaves_other_networks_and_does_nothing_without_a_list() -> None:
    host = box()
    call(host, "ADD", mtu=1400)
    call(host, "GC")
    call(host, "GC", network="n2", valid=[])
    assert BACKUP in host.files.contents


def test_check_accepts_what_a_later_plugin_says_it_changed() -> None:
    host = box()
    call(host, "ADD", mtu=1400)
    host.links(NETNS).change("eth0", mtu=1300)
    later = {**PREV, "interfaces": [{"name": "outer"}, {"name": "eth0", "sandbox": NETNS, "mtu": 1300}]}
    assert call(host, "CHECK", mtu=1400, prevResult=later) == {}
    assert call(host, "CHECK", mtu=1400)["msg"] == "mtu of eth0 is 1300, not 1400"


@pytest.mark.parametrize(("key", "code"), [("net.core.nothing", 2), ("vm.swappiness", 7)])
def test_sysctl_that_cannot_be_set_is_named(key: str, code: int) -> None:
    answered = call(box(), "ADD", sysctl={key: "1"})
    assert answered["code"] == code
    assert key.replace(".", "/") in answered["msg"].replace(".", "/")


def test_status_is_50_for_a_sysctl_that_is_not_on_the_list() -> None:
    host = box()
    host.files.write("/etc/cni/tuning/allowlist.conf", b"^net.ipv4")
    assert call(host, "STATUS", sysctl={"net.core.somaxconn": "500"})["code"] == 50


@pytest.mark.parametrize("moment", requests_of_add(), ids=lambda each: f"{each[0]}-{each[1]}")
def test_add_killed_at_any_moment_and_deleted_leaves_the_interface_as_it_was(
    moment: tuple[str, int],
) -> None:
    host = box()
    before = link(host)
    host.dies_at = moment
    with pytest.raises(Killed):
        call(host, "ADD", **EVERYTHING)
    host.revive()
    assert call(host, "DEL") == {}
    assert link(host) == before
    assert not [path for path in host.files.contents if "tuning" in path and "/locks/" not in path]
