"""G. Attributes and sysctls of a container's interface, and its loopback."""

from __future__ import annotations

from typing import Any

from tests.conformance import configurations as conf
from tests.conformance.registry import Section, expect
from tests.conformance.world import World

G = Section("G", "Tuning and loopback", needs=("tuning",))

_IPV4 = "net.ipv4.conf.IFNAME"


def tuned(w: World, ifname: str = "eth0", **keys: Any) -> conf.JsonObject:
    """A configuration that sets only what `keys` say."""
    return w.ready("tuning", ifname=ifname, **{"sysctl": None, "mtu": None, **keys})


def sysctl(w: World, name: str, ifname: str = "eth0") -> str:
    """An IPv4 setting of the container's interface."""
    return w.sh(f"cat /proc/sys/net/ipv4/conf/{ifname}/{name}", netns="a").strip()


@G.case(150, "an ADD that fails half way puts back the sysctls it had written")
def failure_restores(w: World) -> None:
    names = ("arp_filter", "arp_ignore", "arp_announce")
    document = tuned(w, sysctl={f"{_IPV4}.{name}": "1" for name in names}, mac="ff:ff:ff:ff:ff:ff")
    before = [sysctl(w, name) for name in names]
    w.call("tuning", "ADD", document).error()
    after = [sysctl(w, name) for name in names]
    expect(after == before, f"{names} are {after}, were {before}")
    odd = tuned(w, sysctl={**{f"{_IPV4}.{name}": "1" for name in names}, f"{_IPV4}.no_such_key": "1"})
    for _ in range(4):
        w.call("tuning", "ADD", odd).error()
        after = [sysctl(w, name) for name in names]
        expect(after == before, f"{names} are {after}, were {before}")


@G.case(151, "after ADD twice and DEL the interface has its first MAC address and MTU")
def repeated_add(w: World) -> None:
    document = tuned(w, mac="02:00:00:00:00:77", mtu=1300)
    first = w.links("a")["eth0"]
    w.attach("tuning", document)
    w.call("tuning", "ADD", document).sane()
    w.call("tuning", "DEL", document).silent()
    last = w.links("a")["eth0"]
    for key in ("address", "mtu"):
        expect(last[key] == first[key], f"{key} is {last[key]}, was {first[key]}")


@G.case(152, "DEL of a container that is gone leaves no file")
def delete_after_death(w: World) -> None:
    w.settle("tuning")
    before = w.snapshot()
    document = w.ready("tuning")
    w.attach("tuning", document)
    w.bury()
    w.call("tuning", "DEL", document).silent()
    w.same_as(before)


@G.case(
    153,
    "the result has the new MTU, a MAC address in the usual spelling, and the host's link of that name as it was",
)
def result_is_edited(w: World) -> None:
    document = tuned(w, mac="02:00:00:00:AB:CD", mtu=1300)
    host_side = {"name": "eth0", "mac": "02:00:00:00:00:99"}
    document["prevResult"]["interfaces"].append(dict(host_side))
    interfaces = w.attach("tuning", document)["interfaces"]
    expect(interfaces[3] == host_side, f"the host's eth0 became {interfaces[3]}")
    expect(interfaces[2].get("mtu") == 1300, f"mtu is {interfaces[2].get('mtu')}")
    expect(interfaces[2]["mac"] == "02:00:00:00:ab:cd", f"mac is {interfaces[2]['mac']}")


@G.case(154, "CHECK succeeds when a later plugin made the interface promiscuous")
def check_tolerates_promisc(w: World) -> None:
    document = tuned(w, mtu=1300)
    result = w.attach("tuning", document)
    w.sh("ip link set eth0 promisc on", netns="a")
    w.call("tuning", "CHECK", document, prev=result).silent()


@G.case(155, "sysctls outside net and paths that climb are refused, and IFNAME works for a name with a dot")
def which_sysctls(w: World) -> None:
    for key in ("kernel.hostname", "net/../kernel/hostname", "net.ipv4.../../../kernel.hostname", "../x"):
        w.call("tuning", "ADD", tuned(w, sysctl={key: "x"})).error(when=key)
    document = tuned(w, ifname="e.5", sysctl={f"{_IPV4}.arp_filter": "1"})
    w.attach("tuning", document, ifname="e.5")
    expect(sysctl(w, "arp_filter", "e.5") == "1", "the setting did not reach e.5")


@G.case(
    156,
    "loopback: ADD brings lo up, CHECK finds it down, DEL succeeds also with a path that is no namespace",
    needs=("loopback",),
)
def loopback(w: World) -> None:
    document = w.conf("loopback")
    result = w.attach("loopback", document, ifname="lo")
    expect("UP" in w.links("a")["lo"]["flags"], "lo is down after ADD")
    expect({ip["address"] for ip in result["ips"]} >= {"127.0.0.1/8"}, f"ips {result['ips']}")
    w.call("loopback", "CHECK", document, prev=result, ifname="lo").silent()
    w.sh("ip link set lo down", netns="a")
    w.call("loopback", "CHECK", document, prev=result, ifname="lo").error(when="lo is down")
    w.call("loopback", "DEL", document, prev=result, ifname="lo").silent()
    w.sh("echo file >/run/plain; mkdir /run/folder")
    for netns in ("/run/plain", "/run/folder", "/run/netns/gone"):
        w.call("loopback", "DEL", document, prev=result, ifname="lo", netns=netns).silent(netns)
