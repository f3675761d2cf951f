"""D. The plugin that hands out addresses, in the format that the host-local plugin keeps on disk."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.conformance import configurations as conf
from tests.conformance.answer import Answer
from tests.conformance.registry import Section, expect
from tests.conformance.world import World, one_address

D = Section("D", "Address management", needs=("ipam",))

FOLDER = f"/var/lib/cni/networks/{conf.NETWORK}"


def pool(w: World, *ranges: conf.JsonObject, **keys: Any) -> conf.JsonObject:
    """A network with one range set of these ranges (none given: four addresses, of which the gateway has one)."""
    chosen = list(ranges) or [{"subnet": conf.SUBNET, "rangeStart": "10.77.0.1", "rangeEnd": "10.77.0.4"}]
    return w.conf("ipam", ipam={"type": w.suite.type_of("ipam"), "ranges": [chosen]}, **keys)


def add(w: World, document: conf.JsonObject, cid: str, **options: str) -> Answer:
    """An ADD, whatever comes of it."""
    return w.call("ipam", "ADD", document, cid=cid, **options)  # type: ignore[arg-type]


def fill(w: World, document: conf.JsonObject) -> list[str]:
    """Take addresses until there is none; at most 20."""
    taken: list[str] = []
    for number in range(20):
        answer = add(w, document, f"f{number}")
        if not answer.succeeded:
            return taken
        taken.append(one_address(answer.result))
    return taken


# --- which address --------------------------------------------------------------------------------------------


@D.case(
    102,
    "addresses are unique, and never the network's, the gateway's or the broadcast address, whatever the range says",
)
def addresses(w: World) -> None:
    document = pool(w, {"subnet": "10.77.0.0/29", "rangeStart": "10.77.0.0", "rangeEnd": "10.77.0.7"})
    taken = fill(w, document)
    wanted = [f"10.77.0.{number}" for number in range(2, 7)]
    expect(sorted(taken) == wanted, f"handed out {sorted(taken)}")


@D.case(
    103, "200 ADDs at once get 200 addresses, and of 20 ADDs of one attachment at once exactly one succeeds"
)
def at_once(w: World) -> None:
    document = pool(w, {"subnet": "10.77.0.0/23"})
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: add(w, document, f"p{number}"), range(200)))
    taken = [one_address(answer.result) for answer in answers]
    expect(len(set(taken)) == 200, f"{len(set(taken))} addresses for 200 ADDs")
    with ThreadPoolExecutor(20) as threads:
        same = list(threads.map(lambda _: add(w, document, "same"), range(20)))
    winners = [answer for answer in same if answer.succeeded]
    expect(len(winners) == 1, f"{len(winners)} of 20 equal ADDs succeed")


@D.case(104, "a second ADD of an attachment that asks for an address is an error and reserves nothing more")
def repeated_request(w: World) -> None:
    document = w.conf("ipam")
    add(w, document, "c1").ok()
    with w.unchanged():
        add(w, document, "c1", args="IgnoreUnknown=1;IP=10.77.0.77").error()


@D.case(105, "a second ADD that fails leaves the reservation of the first")
def failing_add(w: World) -> None:
    document = w.conf("ipam")
    add(w, document, "c1").ok()
    with w.unchanged():
        add(w, document | {"runtimeConfig": {"ips": ["10.77.0.80", "192.0.2.1"]}}, "c1").error()


@D.case(106, "when a second range set is exhausted the address of the first is given back")
def second_set_exhausted(w: World) -> None:
    one, other = (
        {"subnet": "10.77.0.0/24"},
        {"subnet": "10.78.0.0/24", "rangeStart": "10.78.0.2", "rangeEnd": "10.78.0.2"},
    )
    document = w.conf("ipam", ipam={"type": w.suite.type_of("ipam"), "ranges": [[one], [other]]})
    add(w, document, "c1").ok()
    with w.unchanged():
        add(w, document, "c2").error()


@D.case(
    107,
    "asked-for addresses are given with or without a prefix; the gateway's or one outside is an error and leaks nothing",
)
def requested(w: World) -> None:
    document = w.conf("ipam")
    for number, asked in enumerate(("10.77.0.50", "10.77.0.51/24")):
        found = one_address(add(w, document | {"runtimeConfig": {"ips": [asked]}}, f"r{number}").result)
        expect(found == asked.partition("/")[0], f"asked for {asked}, got {found}")
    with w.unchanged():
        for asked in (conf.GATEWAY, "192.0.2.1"):
            add(w, document | {"runtimeConfig": {"ips": [asked]}}, "r9").error(when=asked)


@D.case(108, "an address in args.cni goes before the IP of CNI_ARGS")
def args_before_cni_args(w: World) -> None:
    document = w.conf("ipam", args={"cni": {"ips": ["10.77.0.60"]}})
    found = one_address(add(w, document, "c1", args="IgnoreUnknown=1;IP=10.77.0.61").result)
    expect(found == "10.77.0.60", f"got {found}")


@D.case(109, "the capability ipRanges works, with keys in capitals and as a plain list of ranges as well")
def ip_ranges(w: World) -> None:
    document = w.conf("ipam", ipam={"type": w.suite.type_of("ipam")})
    shapes: dict[str, Any] = {
        "list of lists": [[{"subnet": "10.79.0.0/24"}]],
        "capital keys": [[{"Subnet": "10.79.0.0/24", "RangeStart": "10.79.0.20"}]],
        "plain list": [{"Subnet": "10.79.0.0/24"}],
    }
    for shape, ranges in shapes.items():
        answer = add(w, document | {"runtimeConfig": {"ipRanges": ranges}}, shape.replace(" ", "-"))
        found = one_address(answer.ok(shape).result)
        expect(found.startswith("10.79.0."), f"{shape}: {found}")


# --- DEL ------------------------------------------------------------------------------------------------------


@D.case(110, "DEL releases without the ipRanges that ADD had, and with no range at all")
def delete_without_ranges(w: World) -> None:
    bare = w.conf("ipam", ipam={"type": w.suite.type_of("ipam")})
    nothing: tuple[Any, ...] = (None, [])
    for ranges in nothing:
        add(w, bare | {"runtimeConfig": {"ipRanges": [[{"subnet": conf.SUBNET}]]}}, "c1").ok()
        document = bare if ranges is None else bare | {"ipam": {**bare["ipam"], "ranges": ranges}}
        w.call("ipam", "DEL", document).silent(f"ranges {ranges}")
        expect(not w.leases(), f"{', '.join(w.leases())} stays reserved")


@D.case(111, "DEL releases whatever CNI_ARGS says")
def delete_with_odd_args(w: World) -> None:
    for args in ("UNKNOWN=1", "novalue", ";;", "IP=nonsense"):
        add(w, w.conf("ipam"), "c1").ok()
        w.call("ipam", "DEL", args=args).silent(args)
        expect(not w.leases(), f"CNI_ARGS {args!r}: {', '.join(w.leases())} stays reserved")


@D.case(112, "DEL releases after the subnet was edited")
def delete_after_edit(w: World) -> None:
    add(w, w.conf("ipam"), "c1").ok()
    w.call("ipam", "DEL", pool(w, {"subnet": "10.80.0.0/24"})).silent()
    expect(not w.leases(), f"{', '.join(w.leases())} stays reserved")


@D.case(113, "DEL, CHECK and STATUS for a network never seen make no folder")
def unseen_network(w: World) -> None:
    before = w.snapshot()
    w.call("ipam", "DEL").silent()
    w.call("ipam", "CHECK", prev={"cniVersion": "1.1.0", "ips": [{"address": "10.77.0.2/24"}]}).error()
    w.call("ipam", "STATUS").silent()
    w.same_as(before)


# --- what is on disk ------------------------------------------------------------------------------------------


@D.case(114, "an empty or torn reservation file is taken back by GC or ADD, not lost for ever")
def torn_file(w: World) -> None:
    document = pool(w)
    for content in ("", "c"):
        w.host.write(f"{FOLDER}/10.77.0.3", content)
        w.call("ipam", "GC", conf.with_valid(document), cid=None, netns=None, ifname=None)
        taken = fill(w, document)
        expect("10.77.0.3" in taken, f"with content {content!r} only {taken} can be had")
        for number in range(len(taken)):
            w.call("ipam", "DEL", document, cid=f"f{number}").ok()


@D.case(
    115,
    "a garbled cursor is ignored; a folder that cannot be written is code 5, or 100 up, and leaves no part of a file",
)
def odd_folder(w: World) -> None:
    document = pool(w)
    w.host.write(f"{FOLDER}/last_reserved_ip.0", "no address")
    add(w, document, "c1").ok("with a garbled cursor")
    full = w.conf("ipam", name="full", ipam={**document["ipam"], "dataDir": "/run/full"})
    w.sh("mkdir -p /run/full; mount -t tmpfs -o nr_inodes=2 full /run/full; mkdir -p /run/full/full")
    code = add(w, full, "c1").error()["code"]
    expect(code == 5 or code >= 100, f"code {code} on a full disk")
    left = w.sh("find /run/full/full -type f ! -name lock ! -name 'last_reserved*'").split()
    expect(not left, f"left {left}")


@D.case(116, "CHECK fails when the reservation is not the address of prevResult, and without prevResult")
def check_compares(w: World) -> None:
    document = w.conf("ipam")
    result = add(w, document, "c1").result
    w.call("ipam", "CHECK", document, prev=result).silent()
    wrong = json.loads(json.dumps(result))
    wrong["ips"][0]["address"] = "10.77.0.99/24"
    w.call("ipam", "CHECK", document, prev=wrong).error(when="another address in prevResult")
    w.call("ipam", "CHECK", document).error(when="no prevResult")


@D.case(
    117,
    "STATUS is 50 for an exhausted pool and a folder that cannot be written, and 7 for ranges that are none",
)
def status(w: World) -> None:
    document = pool(w)
    w.call("ipam", "STATUS", document).silent("a fresh pool")
    fill(w, document)
    w.call("ipam", "STATUS", document).error(50, when="an exhausted pool")
    w.host.write("/run/file", "")
    w.call(
        "ipam", "STATUS", pool(w) | {"name": "other", "ipam": {**document["ipam"], "dataDir": "/run/file"}}
    ).error(50, when="dataDir is a file")
    w.call("ipam", "STATUS", pool(w, {"subnet": "10.77.0.5/24"})).error(7, when="a subnet with host bits")


@D.case(
    118,
    "GC removes stale reservations, also in the old format, and keeps living ones, lock, cursor and other networks",
)
def collects(w: World) -> None:
    document, other = w.conf("ipam"), w.conf("ipam", name="net2")
    add(w, document, "live").ok()
    add(w, document, "stale").ok()
    add(w, other, "stale").ok()
    w.host.write(f"{FOLDER}/10.77.0.70", "stale-of-old")
    w.host.write(f"{FOLDER}/10.77.0.71", "live")
    w.call("ipam", "GC", conf.with_valid(document, ("live", "eth0"))).silent()
    owners = list(w.leases().values())
    expect(len(owners) == 2 and all("live" in each for each in owners), f"kept {owners}")
    expect(len(w.leases("net2")) == 1, "another network lost its reservation")
    names = [line for line in w.snapshot()["files"] if line.startswith(f"{FOLDER}/")]
    for name in ("lock", "last_reserved_ip.0"):
        expect(any(line.startswith(f"{FOLDER}/{name} ") for line in names), f"{name} is gone")


@D.case(119, "the answer has no interfaces, and its addresses name none")
def answer_is_abbreviated(w: World) -> None:
    result = add(w, w.conf("ipam"), "c1").result
    expect("interfaces" not in result, "there are interfaces")
    expect(all("interface" not in ip for ip in result["ips"]), f"ips {result['ips']}")


@D.case(
    120,
    "host bits, a start after the end, and overlapping ranges are code 7; a gateway may be outside the subnet",
)
def rules_of_ranges(w: World) -> None:
    wrong: dict[str, list[conf.JsonObject]] = {
        "host bits": [{"subnet": "10.77.0.5/24"}],
        "start after end": [{"subnet": conf.SUBNET, "rangeStart": "10.77.0.9", "rangeEnd": "10.77.0.5"}],
        "overlap": [{"subnet": conf.SUBNET}, {"subnet": "10.77.0.0/25"}],
    }
    for what, ranges in wrong.items():
        add(w, pool(w, *ranges), "c1").error(7, when=what)
    add(w, pool(w, {"subnet": conf.SUBNET, "gateway": "192.0.2.1"}), "c1").ok()


@D.case(121, "pools of two addresses, /31 and /127, can be used")
def pools_of_two(w: World) -> None:
    for number, subnet in enumerate(("10.77.0.0/31", "fd77::/127")):
        document = pool(w, {"subnet": subnet}, name=f"two{number}")
        expect(len(fill(w, document)) >= 1, f"{subnet} has no address")


@D.case(
    122,
    "reservations are one file for each address, `container id CR LF ifname`, with a lock file that is honoured",
)
def format_on_disk(w: World) -> None:
    document = pool(w)
    w.host.write(f"{FOLDER}/10.77.0.2", "theirs\r\neth0", mode=0o600)
    found = one_address(add(w, document, "c1").result)
    expect(found != "10.77.0.2", "another program's reservation is ignored")
    content = w.host.read(f"{FOLDER}/{found}")
    with open(w.host.path(f"{FOLDER}/{found}"), "rb") as file:
        content = file.read().decode()
    expect(content == "c1\r\neth0", f"the file holds {content!r}")
    w.call("ipam", "DEL", document, cid="theirs").silent()
    expect("10.77.0.2" not in w.leases(), "another program's reservation is not released")
    holder = w.host.popen(["flock", f"{FOLDER}/lock", "sh", "-c", "echo held; sleep 1"])
    assert holder.stdout is not None
    holder.stdout.readline()
    expect(add(w, document, "c2").ok().seconds > 0.5, "the lock of another program is not waited for")
