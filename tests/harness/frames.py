"""Ethernet frames as an attacker in a container writes them, and who receives them.

    frames = {"a reply for the gateway": arp(mac, "10.1.0.1", reply=True)}
    assert delivered(host, "attacker", "victim", frames) == set()

Sending needs NET_RAW only. What was received is told from everything else by its bytes.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from ipaddress import ip_address

from tests.harness.privatehost import PrivateHost

BROADCAST, ALL_NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"
#: ICMPv6 types of neighbour discovery (RFC 4861, section 4).
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT, REDIRECT = range(133, 138)

_SENDER = r"""
import json, socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((sys.argv[1], 0))
    for frame in json.load(sys.stdin):
        sock.send(bytes.fromhex(frame))
"""

# The last frame, of a type for experiments (IEEE 802), comes from the attacker's own address: it always passes.
_RECEIVER = r"""
import json, socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as sock:
    sock.bind((sys.argv[1], 3))
    sock.settimeout(10)
    print("ready", flush=True)
    received = []
    while True:
        frame, sender = sock.recvfrom(4096)
        if frame[12:14] == b"\x88\xb5":
            break
        if sender[2] != 4:  # PACKET_OUTGOING
            received.append(frame.hex())
print(json.dumps(received))
"""


def ethernet(source: str, ethertype: int, payload: bytes, *, to: str = BROADCAST) -> bytes:
    """A frame; `payload` is padded to the least length."""
    return _mac(to) + _mac(source) + struct.pack("!H", ethertype) + payload.ljust(46, b"\0")


def arp(
    mac: str, sender: str, target: str = "", *, reply: bool = False, to: str = BROADCAST, claimed: str = ""
) -> bytes:
    """ARP (RFC 826): `sender` is at `claimed` (`mac` unless given); without `target` it is gratuitous."""
    payload = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2 if reply else 1)
    payload += _mac(claimed or mac) + ip_address(sender).packed
    payload += (_mac(to) if reply else bytes(6)) + ip_address(target or sender).packed
    return ethernet(mac, 0x0806, payload, to=to)


def discovery(
    mac: str,
    kind: int,
    source: str,
    target: str = "",
    *,
    destination: str = "ff02::1",
    to: str = ALL_NODES,
    extension: bool = False,
) -> bytes:
    """A message of neighbour discovery, with its sender's or target's MAC address as an option.

    `extension` puts a header of hop-by-hop options in front of it.
    """
    body = bytes(4) if kind != ADVERTISEMENT else b"\x20\0\0\0"
    if target:
        body += ip_address(target).packed
    if kind == REDIRECT:
        body += ip_address(destination).packed
    if kind == ROUTER_ADVERTISEMENT:
        body = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    if source != "::":
        body += bytes([2 if kind == ADVERTISEMENT else 1, 1]) + _mac(mac)
    return ethernet(mac, 0x86DD, _icmpv6(kind, body, source, destination, extension=extension), to=to)


def tagged(frame: bytes, *tags: int, ethertype: int = 0x8100) -> bytes:
    """The frame in these VLANs, the outermost first; `ethertype` is of the outermost tag."""
    inserted = b""
    for number, vlan in enumerate(tags):
        inserted += struct.pack("!HH", ethertype if number == 0 else 0x8100, vlan)
    return frame[:12] + inserted + frame[12:]


def delivered(
    host: PrivateHost, sender: str, receiver: str | None, frames: Mapping[str, bytes], *, ifname: str = "eth0"
) -> set[str]:
    """The names of those frames that one namespace sends and the other (None: the host) receives on `ifname`."""
    source = host.links(netns=sender)["eth0"]["address"]
    everything = [*frames.values(), ethernet(source, 0x88B5, b"last")]
    process = host.popen([sys.executable, "-ISc", _RECEIVER, ifname], netns=receiver, stderr=None)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    text = json.dumps([each.hex() for each in everything])
    host.run([sys.executable, "-ISc", _SENDER, "eth0"], netns=sender, input=text)
    received = [bytes.fromhex(each) for each in json.loads(process.communicate(timeout=20)[0])]
    return {name for name, frame in frames.items() if any(_same(frame, each) for each in received)}


def _same(sent: bytes, received: bytes) -> bool:
    """A receiver's socket shows no tags, and a bridge may cut the padding off."""
    bare = sent
    while bare[12:14] in (b"\x81\x00", b"\x88\xa8"):
        bare = bare[:12] + bare[16:]
    while received[12:14] in (b"\x81\x00", b"\x88\xa8"):
        received = received[:12] + received[16:]
    return received.rstrip(b"\0") == bare.rstrip(b"\0")


def _icmpv6(kind: int, body: bytes, source: str, destination: str, *, extension: bool) -> bytes:
    addresses = ip_address(source).packed + ip_address(destination).packed
    message = struct.pack("!BBH", kind, 0, 0) + body
    checksum = _checksum(addresses + struct.pack("!II", len(message), 58) + message)
    message = message[:2] + struct.pack("!H", checksum) + message[4:]
    options = b"\x3a\0\x01\x04\0\0\0\0" if extension else b""
    header = struct.pack("!IHBB", 6 << 28, len(options + message), 0 if extension else 58, 255)
    return header + addresses + options + message


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
