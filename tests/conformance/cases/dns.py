"""H. Names of containers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.conformance import configurations as conf
from tests.conformance.registry import Section, expect
from tests.conformance.world import World

H = Section("H", "Names", needs=("dns",))

_QUESTION = r"""
import socket, struct, sys
server, names = sys.argv[1], sys.argv[2:]
for name in names:
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    found = "no reply"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.connect((server, 53))
        try:
            client.send(struct.pack(">6H", 77, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1))
            reply = client.recv(4096)
            count = struct.unpack(">H", reply[6:8])[0]
            addresses, place = [], 12 + len(labels) + 5
            for _ in range(count):
                place += 2 if reply[place] >= 0xC0 else reply.index(b"\0", place) - place + 1
                kind, _, _, size = struct.unpack(">HHIH", reply[place:place + 10])
                if kind == 1:
                    addresses.append(socket.inet_ntoa(reply[place + 10:place + 14]))
                place += 10 + size
            found = " ".join(sorted(addresses)) or f"rcode {reply[3] & 15}"
        except OSError as error:
            found = f"no reply: {error}"
    print(found)
"""


def named(w: World, netns: str, *aliases: str, **keys: Any) -> conf.JsonObject:
    """A configuration for a container that is there, with these names."""
    return w.ready("dns", netns, runtimeConfig={"aliases": list(aliases)}, **keys)


def asker(w: World) -> str:
    """Attach container b, which asks, and return the name server it is told."""
    result = w.attach(
        "dns", named(w, "b", "asker"), cid="asker", netns="b", args="IgnoreUnknown=1;K8S_POD_NAME=asker"
    )
    servers = result.get("dns", {}).get("nameservers", [])
    expect(servers, "the result names no server")
    return str(servers[0])


def lookup(w: World, server: str, *names: str) -> list[str]:
    """What container b hears about each name: addresses parted by blanks, or why there are none."""
    argv = [sys.executable, "-ISc", _QUESTION, server, *names]
    return w.host.run(argv, netns="b").stdout.splitlines()


def resolves(w: World, server: str, name: str, *addresses: str) -> None:
    """The name has exactly these addresses."""
    found = lookup(w, server, name)[0]
    expect(found == " ".join(sorted(addresses)), f"{name} is {found!r} instead of {sorted(addresses)}")


def gone(w: World, server: str, name: str) -> None:
    """The name has no address."""
    found = lookup(w, server, name)[0]
    expect("." not in found, f"{name} is still {found}")


def kill_servers(w: World, before: dict[int, str]) -> None:
    """End, without a chance to tidy up, every process of the host that was not there before."""
    for pid in set(w.host.processes()) - set(before):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@H.case(157, "aliases are taken as a list, and as an object from network to list")
def aliases(w: World) -> None:
    server = asker(w)
    address = conf.plumbed_address("a")
    for shape in (["web", "www"], {conf.NETWORK: ["web", "www"], "other": ["not-here"]}):
        document = w.ready("dns", runtimeConfig={"aliases": shape})
        w.attach("dns", document)
        for name in ("web", "www"):
            resolves(w, server, name, address)
        gone(w, server, "not-here")
        w.call("dns", "DEL", document).ok()


@H.case(158, "a name that is none is code 7 or made one, and nothing can be slipped in")
def odd_names(w: World) -> None:
    server = asker(w)
    for name in ("a b", "good\n192.0.2.1 evil", "x" * 64, "..", ""):
        document = named(w, "a", name)
        answer = w.call("dns", "ADD", document)
        if not answer.succeeded:
            answer.error(7, when=repr(name))
        gone(w, server, "evil")
        w.call("dns", "DEL", document).ok(repr(name))
    document = named(w, "a", "UPPER")
    if w.call("dns", "ADD", document).sane().succeeded:
        resolves(w, server, "upper", conf.plumbed_address("a"))


@H.case(159, "the result has the name server first, keeps those it got, and the search domain once")
def dns_of_result(w: World) -> None:
    document = named(w, "a", "web")
    document["prevResult"]["dns"] = {
        "nameservers": ["192.0.2.53"],
        "search": ["cases.example", "other.example"],
    }
    told = w.attach("dns", document)["dns"]
    expect(
        told["nameservers"][0] != "192.0.2.53" and told["nameservers"][-1] == "192.0.2.53",
        f"nameservers {told['nameservers']}",
    )
    expect(
        told["search"].count("cases.example") == 1 and "other.example" in told["search"],
        f"search {told['search']}",
    )


@H.case(160, "of two containers with one name the other keeps it when the first is deleted")
def shared_name(w: World) -> None:
    server = asker(w)
    w.attach("dns", named(w, "a", "web"), cid="c1", netns="a")
    w.attach("dns", named(w, "c", "web"), cid="c2", netns="c")
    resolves(w, server, "web", conf.plumbed_address("a"), conf.plumbed_address("c"))
    w.call("dns", "DEL", named(w, "a", "web"), cid="c1").silent()
    resolves(w, server, "web", conf.plumbed_address("c"))


@H.case(161, "DEL without prevResult and without namespace takes the names back")
def delete_with_little(w: World) -> None:
    server = asker(w)
    document = named(w, "a", "web")
    before = w.snapshot()
    w.attach("dns", document)
    bare = {key: value for key, value in document.items() if key not in ("prevResult", "runtimeConfig")}
    w.call("dns", "DEL", bare, netns="").silent()
    gone(w, server, "web")
    w.same_as(before)


@H.case(162, "50 ADDs and DELs at once, some of them killed, lose no name of those that succeeded")
def many_at_once(w: World) -> None:
    server = asker(w)
    w.plumb("a")

    def document(number: int) -> conf.JsonObject:
        result = conf.plumbed_result("a")
        result["ips"][0]["address"] = f"10.99.7.{number}/16"
        return w.conf("dns", runtimeConfig={"aliases": [f"n{number}"]}, prevResult=result)

    w.sh("for n in $(seq 1 50); do ip address add 10.99.7.$n/16 dev eth0; done", netns="a")
    killed = [w.start("dns", "ADD", document(number), cid=f"k{number}") for number in (48, 49, 50)]
    with ThreadPoolExecutor(8) as threads:
        added = list(
            threads.map(lambda number: w.call("dns", "ADD", document(number), cid=f"c{number}"), range(1, 48))
        )
        for process in killed:
            process.kill()
            process.wait()
        for answer in added:
            answer.ok()
        deleted = list(
            threads.map(lambda number: w.call("dns", "DEL", document(number), cid=f"c{number}"), range(1, 25))
        )
    for answer in deleted:
        answer.silent()
    found = lookup(w, server, *(f"n{number}" for number in range(1, 48)))
    lost = [number for number in range(25, 48) if found[number - 1] != f"10.99.7.{number}"]
    stale = [number for number in range(1, 25) if "." in found[number - 1]]
    expect(not lost, f"names lost: {lost}: {[found[number - 1] for number in lost][:2]}")
    expect(not stale, f"deleted names are still answered: {stale}")


@H.case(163, "CHECK succeeds while all is well, and fails when the record is gone or nobody can answer")
def check_finds_damage(w: World) -> None:
    files = w.snapshot()["files"]
    before = w.host.processes()
    document = named(w, "a", "web")
    result = w.attach("dns", document)
    w.call("dns", "CHECK", document, prev=result).silent()
    fresh = [line for line in w.snapshot()["files"] if line not in files]
    records = [line.split(" ")[0] for line in fresh if "web" in line]
    expect(records, "no file names web")
    w.sh("rm " + " ".join(records))
    w.call("dns", "CHECK", document, prev=result).error(when="the record is removed")
    w.call("dns", "DEL", document, prev=result).ok()
    result = w.attach("dns", document)
    kill_servers(w, before)
    # The port is taken before the plugin can start another server.
    with port_taken(w):
        w.call("dns", "CHECK", document, prev=result).error(when="the server is dead and its port taken")


_TAKER = r"""
import socket, sys, time
kept = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
for each in kept:
    for _ in range(200):  # until the kernel has closed what the killed ones had open
        try:
            each.bind((sys.argv[1], 53))
            break
        except OSError:
            time.sleep(0.01)
    else:
        sys.exit("in use")
kept[1].listen()
print("ready", flush=True)
input()
"""


@contextmanager
def port_taken(w: World) -> Iterator[None]:
    """Another program has port 53 of the gateway."""
    taker = w.host.popen([sys.executable, "-ISc", _TAKER, conf.PLUMBED_GATEWAY], stdin=subprocess.PIPE)
    assert taker.stdout is not None
    expect(taker.stdout.readline() == "ready\n", "port 53 of the gateway cannot be taken")
    try:
        yield
    finally:
        taker.kill()
        taker.wait()


@H.case(164, "a prevResult without interfaces is code 7")
def no_interfaces(w: World) -> None:
    document = named(w, "a", "web")
    document["prevResult"] = {"cniVersion": "1.1.0", "interfaces": [], "ips": [], "dns": {}}
    w.call("dns", "ADD", document).error(7)


@H.case(165, "ADD and DEL with other XDG_RUNTIME_DIR, TMPDIR and HOME work on the same names")
def other_environment(w: World) -> None:
    server = asker(w)
    document = named(w, "a", "web")
    w.attach("dns", document, env={"XDG_RUNTIME_DIR": "/run/user/0", "TMPDIR": "/tmp", "HOME": "/root"})
    w.call("dns", "DEL", document, env={"XDG_RUNTIME_DIR": "", "TMPDIR": "/var/tmp"}).silent()
    gone(w, server, "web")


@H.case(
    166,
    "GC takes stale names back; STATUS is 50 when no server is possible, and 51 when it is dead while there are names",
)
def collects_and_tells(w: World) -> None:
    bare = w.conf("dns")
    before = w.host.processes()
    w.call("dns", "STATUS", bare).silent("no name yet")
    w.sh("mount --rbind /run /run; mount -o remount,bind,ro /run")
    w.call("dns", "STATUS", bare).error(50, when="nothing can be written to /run")
    w.sh("umount -l /run")
    server = asker(w)
    w.attach("dns", named(w, "a", "web"))
    w.call("dns", "GC", conf.with_valid(bare, ("asker", "eth0"))).silent()
    gone(w, server, "web")
    resolves(w, server, "asker", conf.plumbed_address("b"))
    kill_servers(w, before)
    with port_taken(w):
        w.call("dns", "STATUS", bare).error(51, when="the server is dead while there are names")
