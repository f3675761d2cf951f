"""The steps of an ADD, and what is known before them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cni_firewall import firewalld
from cni_firewall.admission import Admission
from cni_firewall.config import Backend, Config
from cni_firewall.steps import Admit, AdmitToZone, ApplyIptables, Fence, IsolatePort
from linkspan.call.transaction import Plan, Step
from linkspan.cni.errors import InvalidConfig, ToolMissing
from linkspan.cni.model import Result
from linkspan.netfilter.backend import Backend as PacketBackend
from linkspan.steps import backend as packet_backend
from linkspan.steps.forwarding import accept_forwarding

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment, Request
    from linkspan.host.contract import Host, Link


def choose(host: Host, asked: str) -> Backend:
    """The back end for `$.backend`: firewalld where it runs, else iptables where it works, else nftables. Raises ToolMissing."""
    if asked not in ("", "firewalld"):
        return _of_packets(host, asked)
    if firewalld.runs(host):
        return "firewalld"
    if asked:
        raise ToolMissing(
            '$.backend: "firewalld" does not answer on this host', "start firewalld, or leave the key out"
        )
    return _of_packets(host)


def _of_packets(host: Host, asked: str = "") -> PacketBackend:
    return packet_backend.choose(host, asked, table="filter")


def admission_for(request: Request, config: Config, backend: Backend, host: Host) -> Admission:
    """What an ADD with this prevResult admits. Raises InvalidConfig if a policy needs a bridge and there is none."""
    result = request.prev_result or Result()
    links = _host_side(result, host)
    bridge = _bridge(links, host)
    fenced = config.policy != "open"
    if fenced and not bridge:
        raise InvalidConfig(
            f'$.ingressPolicy: "{config.policy}" needs a bridge, and prevResult has none',
            "list firewall after bridge, or leave ingressPolicy out",
        )
    return Admission(
        backend=backend,
        addresses=_addresses(request, result),
        chosen=not config.backend,
        admin_chain=config.admin_chain,
        zone=config.zone,
        policy=config.policy,
        bridge=bridge,
        port=next((each.name for each in links if each.kind != "bridge"), ""),
        fence=_fence(host, backend) if fenced else "",
    )


def of_today(admission: Admission, host: Host) -> Admission:
    """What is admitted how by now: a firewalld that was started later rejects what its zones do not hold."""
    if admission.chosen and admission.backend != "firewalld" and firewalld.runs(host):
        return replace(admission, backend="firewalld")
    return admission


def _fence(host: Host, backend: Backend) -> PacketBackend:
    """Who keeps bridges apart: firewalld's zones do not."""
    return _of_packets(host) if backend == "firewalld" else backend


def plan_for(attachment: Attachment, admission: Admission) -> Plan:
    """Record it, then make it so."""
    return (Admit(attachment, admission), *rules_of(admission))


def rules_of(admission: Admission) -> Plan:
    """The steps that make the rules, which is all that a reload repeats. Fences come first: there is no moment without."""
    steps: list[Step] = []
    if admission.fence == "nftables":
        steps.append(Fence(admission))
    if admission.policy == "isolated" and admission.port:
        steps.append(IsolatePort(admission.port))
    steps.extend(ApplyIptables(admission, family) for family in admission.in_iptables)
    if admission.backend != "iptables":
        steps.append(accept_forwarding(admission.interface, admission.families))
    if admission.backend == "firewalld":
        steps.append(AdmitToZone(admission.zone, admission.addresses))
    return tuple(steps)


def leftovers(request: Request, host: Host) -> tuple[Admission, ...]:
    """What a DEL without a record can still find by prevResult: rules of the reference, or of a state that was lost."""
    addresses = _addresses(request, request.prev_result or Result())
    if not addresses:
        return ()
    found = [Admission(backend="iptables", addresses=addresses)]
    config = Config.of_delete(request)
    if config.backend in ("", "firewalld") and firewalld.runs(host):
        found.append(Admission(backend="firewalld", addresses=addresses, zone=config.zone))
    return tuple(found)


def _addresses(request: Request, result: Result) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.ip for each in result.addresses_of(request.ifname)))


def _host_side(result: Result, host: Host) -> tuple[Link, ...]:
    links = host.links()
    found = (links.get(each.name) for each in result.host_side())
    return tuple(each for each in found if each is not None)


def _bridge(links: tuple[Link, ...], host: Host) -> str:
    """The bridge among the links, or the one that a link among them is a port of, or ""."""
    for link in links:
        master = (
            link if link.kind == "bridge" else host.links().by_index(link.master) if link.master else None
        )
        if master is not None and master.kind == "bridge":
            return master.name
    return ""
