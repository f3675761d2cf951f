"""The verbs of portmap on a host in memory."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from linkspan.call.reload import reload
from linkspan.host.contract import Process
from linkspan.netfilter import forwarding
from tests.harness.memory import BOX, Desk
from tests.harness.portmap import BACKENDS, PortmapDesk, portmap


def test_add_gives_prev_result_back(desk: PortmapDesk) -> None:
    answer = desk.call("ADD").document
    assert {key: answer[key] for key in ("interfaces", "ips")} == {
        key: desk.attached[key] for key in ("interfaces", "ips")
    }


def test_add_without_ports_asks_nothing_of_iptables_and_nftables() -> None:
    for backend in BACKENDS:
        desk = PortmapDesk(backend)
        desk.runtime.call("ADD", portmap(backend, [], prevResult=desk.attached))
        assert not [name for name, _ in desk.host.requests if name.startswith(("iptables.", "nftables."))]


def test_add_again_without_ports_takes_the_earlier_ones_back(desk: PortmapDesk) -> None:
    before = desk.own()
    desk.call("ADD")
    desk.runtime.call("ADD", portmap(desk.backend, [], prevResult=desk.attached))
    assert desk.own() == before


def test_add_with_nftables_makes_one_transaction() -> None:
    desk = PortmapDesk("nftables")
    desk.call("ADD")
    desk.call("DEL")
    desk.host.revive()
    desk.call("ADD")
    assert [name for name, _ in desk.host.requests].count("nftables.apply") == 1


def test_add_with_iptables_makes_one_request_for_each_family() -> None:
    desk = PortmapDesk("iptables")
    desk.call("ADD")
    assert [name for name, _ in desk.host.requests].count("iptables.apply_all") == 2


def test_the_guard_of_loopback_stands_before_127_0_0_1_is_routed_out(desk: PortmapDesk) -> None:
    desk.call("ADD")
    names = [name for name, _ in desk.host.requests]
    published = names.index("nftables.apply" if desk.backend == "nftables" else "iptables.apply_all")
    assert published < names.index("links.set_sysctl")
    assert desk.host.namespace("/proc/self/ns/net").sysctl("ipv4/conf/br0/route_localnet") == "1"


def test_a_second_entry_for_a_host_port_is_a_warning(desk: PortmapDesk) -> None:
    first, second = {"hostPort": 8080, "containerPort": 80}, {"hostPort": 8080, "containerPort": 81}
    assert desk.call("ADD", [first, second, first]).status == 0
    assert [each for each in desk.host.warnings if "ignored" in each] == [
        "portmap: $.runtimeConfig.portMappings[1] is ignored: 8080/tcp leads to port 80 of the container already"
    ]


def test_a_listener_on_a_published_port_is_a_warning(desk: PortmapDesk) -> None:
    for protocol, port in (("tcp", 8080), ("tcp", 53), ("udp", 54)):
        desk.host.listen(protocol, port)
    desk.call("ADD")
    assert [each for each in desk.host.warnings if "8080/tcp" in each]
    assert not [each for each in desk.host.warnings if "53/" in each]


@pytest.mark.parametrize(
    "result",
    [
        {"interfaces": [{"name": "eth0"}], "ips": [{"interface": 0, "address": "192.0.2.5/32"}]},
        {"interfaces": [{"name": "enipod7"}], "ips": [{"interface": 0, "address": "192.0.2.5/32"}]},
        {"interfaces": [{"name": "eth0", "sandbox": BOX}], "ips": []},
    ],
    ids=["without a sandbox", "of the host's end", "without addresses"],
)
def test_ports_for_which_prev_result_has_no_address_are_a_warning_of_add_and_check(
    desk: PortmapDesk, result: dict[str, Any]
) -> None:
    """terway 358, containerd 4402: the ADD succeeds, as the reference's does, and nothing is published."""
    config = portmap(desk.backend, [{"hostPort": 8080, "containerPort": 80}], prevResult=result)
    said = []
    for verb in ("ADD", "CHECK"):
        assert desk.runtime.call(verb, config).status == 0
        said.append(desk.host.warnings.copy())
        desk.host.warnings.clear()
    told = "portmap: 8080/tcp is not published: prevResult has no address of eth0 in the container"
    assert said == [[told], [told]]


NGINX = Process(pid=7, uid=33, name="nginx", arguments=("nginx", "-g"))


def test_a_port_on_which_a_process_listens_is_refused_on_request(desk: PortmapDesk) -> None:
    before = desk.own()
    desk.host.listen("tcp", 8080, by=NGINX)
    answer = desk.call("ADD", refuseTakenPorts=True)
    assert (answer.code, answer.msg) == (
        104,
        "host port 8080/tcp is in use by nginx (pid 7), which listens on 0.0.0.0:8080",
    )
    assert desk.own() == before


def test_the_advice_about_a_taken_port_helps(desk: PortmapDesk) -> None:
    desk.host.listen("tcp", 8080, by=NGINX)
    advice = desk.call("ADD", refuseTakenPorts=True).document["details"]
    assert advice == "choose another host port, or stop that program"
    other = [{"hostPort": 8081, "containerPort": 80}]
    assert desk.call("ADD", other, refuseTakenPorts=True).status == 0
    desk.host.listeners.clear()
    assert desk.call("ADD", refuseTakenPorts=True).status == 0


def test_a_port_of_another_address_is_not_refused(desk: PortmapDesk) -> None:
    desk.host.listen("udp", 53, "192.0.2.2")
    desk.host.listen("udp", 53, "::1")
    assert desk.call("ADD", refuseTakenPorts=True).status == 0
    assert not desk.host.warnings


def test_unset_means_iptables_where_it_works_else_nftables() -> None:
    for works, expected in ((True, "iptables"), (False, "nftables")):
        desk = PortmapDesk("nftables")
        desk.host.iptables.families = (4, 6) if works else ()
        config = portmap("", prevResult=desk.attached)
        desk.runtime.call("ADD", {key: value for key, value in config.items() if key != "backend"})
        used = {name.partition(".")[0] for name, _ in desk.host.requests if ".apply" in name}
        assert used == {expected}


def test_forwarding_is_permitted_only_where_the_policy_drops(desk: PortmapDesk) -> None:
    desk.call("ADD")
    assert not [line for line in desk.host.state() if forwarding.CHAIN in line]
    desk.host.iptables.policies = {(4, "filter", "FORWARD"): "DROP"}
    desk.call("ADD")
    assert {line.split()[1] for line in desk.host.state() if forwarding.CHAIN in line} == {"4"}


def test_a_host_whose_iptables_takes_no_rule_is_warned_of_and_served() -> None:
    desk = PortmapDesk("nftables")
    desk.host.iptables.policies = {(4, "filter", "FORWARD"): "DROP"}
    desk.host.iptables.foreign = {(4, "filter")}
    assert [desk.call(verb).status for verb in ("ADD", "CHECK")] == [0, 0]
    assert [each for each in desk.host.warnings if "br0" in each]


def test_gc_without_a_list_removes_nothing(desk: PortmapDesk) -> None:
    desk.call("ADD")
    before = desk.own()
    desk.runtime.call("GC", portmap(desk.backend, []))
    assert desk.own() == before


def test_gc_leaves_other_networks_alone(desk: PortmapDesk) -> None:
    desk.call("ADD")
    before = desk.own()
    desk.runtime.beside("other-net").call(
        "GC", {**portmap(desk.backend, []), "cni.dev/valid-attachments": []}
    )
    assert desk.own() == before


def test_status_is_50_when_no_back_end_works() -> None:
    desk = Desk()
    desk.host.iptables.families = ()
    desk.host.nftables.available = False
    assert desk.call("STATUS", {"type": "portmap"}).code == 50


def test_reload_builds_what_was_flushed_again(desk: PortmapDesk) -> None:
    desk.call("ADD")
    before = desk.host.state()
    desk.host.nftables.table = None
    desk.host.iptables.tables.clear()
    reload(desk.host)
    assert desk.host.state() == before


def test_reload_goes_on_when_one_attachment_cannot_be_rebuilt(desk: PortmapDesk) -> None:
    desk.call("ADD", [{"hostPort": 1, "containerPort": 1}])
    config = portmap(desk.backend, [{"hostPort": 2, "containerPort": 2}], prevResult=desk.attached)
    desk.runtime.call("ADD", config, container_id="c2")
    desk.host.nftables.table = None
    desk.host.iptables.tables.clear()
    desk.host.revive()
    first = "nftables.apply" if desk.backend == "nftables" else "iptables.apply_all"
    desk.host.refuse = {(first, 2): errno.ENOMEM}  # the first makes the guard of the loopback
    assert any(each.error and "refused" in each.error.msg for each in reload(desk.host))
    state = desk.host.state()
    assert any("10.5.0.2:1" in line or "10.5.0.2 . 1'" in line for line in state) != any(
        "10.5.0.2:2" in line or "10.5.0.2 . 2'" in line for line in state
    )
