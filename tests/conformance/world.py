"""The private world of one case: a host, containers a, b, c, and the plugins of one suite to call.

w.attach("bridge")                          # container a gets eth0
w.call("bridge", "CHECK", conf, prev=result).silent()
before = w.snapshot()
...
w.same_as(before)
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tests.conformance import configurations
from tests.conformance.answer import Answer
from tests.conformance.registry import CHAINED, Failed, NotHere, expect
from tests.conformance.spy import Spy
from tests.conformance.suite import ROOT, Suite
from tests.harness.privatehost import HostError, PrivateHost
from tests.harness.snapshot import SNAPSHOT_SCRIPT, Snapshot, read_snapshot

JsonObject = dict[str, Any]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: How long one call may take; longer is a failure, as it would be for a runtime.
PATIENCE = 30.0


class World:
    """What a case gets. `role` and `backend` say which variant of the case this is; "" where there are none."""

    def __init__(self, host: PrivateHost, suite: Suite, partner: Suite | None, variant: str = "") -> None:
        self.host, self.suite, self.partner = host, suite, partner
        self.role = self.backend = variant
        self.network = configurations.NETWORK
        self.cni_path: list[str] = list(suite.path)
        self._boxes: set[str] = set()
        self._prepare()

    def _prepare(self) -> None:
        for argv in self.suite.prepare:
            self.host.run(argv, cwd=ROOT)

    def leave_unattended(self) -> None:
        """End what would restore the rules that the case removes."""
        for argv in self.suite.unattended:
            self.host.run(argv, cwd=ROOT)

    def restart(self) -> None:
        """End every process of the host and prepare it anew, as after a change of the machine that a daemon cannot notice."""
        for pid in self.host.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._prepare()

    def turn_to(self, role: str) -> None:
        """Go on with another role, once all went well with the last: with new containers, on a network of its own."""
        self.role, self.network = role, f"net-{role}"
        for name in list(self._boxes):
            self.bury(name)
        self.sh(f"ip link delete {configurations.PLUMBED_BRIDGE} 2>/dev/null || true")

    # --- containers -------------------------------------------------------------------------------------------

    def netns(self, name: str = "a") -> str:
        """The path of a container's network namespace, made when first asked for."""
        if name not in self._boxes:
            self._boxes.add(name)
            return self.host.add_netns(name)
        return f"/run/netns/{name}"

    def kill(self, name: str = "a") -> None:
        """The container dies: its namespace goes, and its links with it."""
        self._boxes.discard(name)
        self.host.del_netns(name)

    def bury(self, name: str = "a") -> None:
        """The container dies, and the host's end of a link made by `plumb` is gone as well."""
        self.kill(name)
        self.wait_until_gone(configurations.plumbed_port(name))

    def plumb(self, netns: str = "a", ifname: str = "eth0") -> JsonObject:
        """Give a container an interface by hand, and return the result that describes it: what a chained plugin works on."""
        self.netns(netns)
        address, mac = (
            configurations.plumbed_address(netns, ifname),
            configurations.plumbed_mac(netns, ifname),
        )
        port = configurations.plumbed_port(netns, ifname)
        if ifname in self.links(netns):
            return configurations.plumbed_result(netns, ifname)
        if configurations.PLUMBED_BRIDGE not in self.links():
            self.sh(
                f"ip link add {configurations.PLUMBED_BRIDGE} address 02:aa:00:00:00:01 type bridge;"
                f"ip address add {configurations.PLUMBED_GATEWAY}/16 dev {configurations.PLUMBED_BRIDGE};"
                f"ip link set {configurations.PLUMBED_BRIDGE} up; echo 1 >/proc/sys/net/ipv4/ip_forward"
            )
        # A namespace that a case before has left takes its links along a moment later.
        self.sh(
            f"ip link delete {port} 2>/dev/null || true;"
            f"ip link add {port} address 02:aa:00:00:00:02 type veth peer name {ifname} address {mac} netns {netns};"
            f"ip link set {port} master {configurations.PLUMBED_BRIDGE} up;"
            f"ip -n {netns} link set lo up; ip -n {netns} link set {ifname} up;"
            f"ip -n {netns} address add {address}/16 dev {ifname};"
            f"ip -n {netns} route replace default via {configurations.PLUMBED_GATEWAY}"
        )
        return configurations.plumbed_result(netns, ifname)

    def links(self, netns: str | None = None) -> dict[str, JsonObject]:
        """The links of the host or of a container, by name, as `ip -json -details address` has them."""
        return self.host.links(netns)

    def addresses(self, netns: str | None, ifname: str = "eth0") -> list[str]:
        """The global addresses of a link, with their prefix lengths."""
        found = self.links(netns).get(ifname, {}).get("addr_info", [])
        return [f"{each['local']}/{each['prefixlen']}" for each in found if each["scope"] == "global"]

    def routes(self, netns: str | None, *words: str) -> list[JsonObject]:
        """The routes `ip -json route show WORDS` prints; words may begin with -6."""
        family, rest = (words[:1], words[1:]) if words[:1] == ("-6",) else ((), words)
        argv = ["ip", "-json", "-details", *family, "route", "show", *rest]
        return [each for each in json.loads(self.host.run(argv, netns=netns).stdout or "[]") if each]

    def sh(self, script: str, netns: str | None = None, *, check: bool = True) -> str:
        """Run a shell script in the host or a container and return what it printed."""
        return self.host.run(["/bin/sh", "-ec", script], netns=netns, env={"PATH": PATH}, check=check).stdout

    # --- calls ------------------------------------------------------------------------------------------------

    def conf(self, role: str, version: str = configurations.LATEST, **keys: Any) -> JsonObject:
        """A configuration with which the role has something to do; `keys` are added to it, None takes one away."""
        kinds = {each: self.suite.type_of(each) for each in self.suite.executables}
        document = {
            "cniVersion": version,
            "name": self.network,
            "type": kinds[role],
            **configurations.working(role, kinds),
            **keys,
        }
        return {key: value for key, value in document.items() if value is not None}

    def call(
        self,
        role: str,
        verb: str,
        document: JsonObject | str | None = None,
        *,
        prev: JsonObject | None = None,
        cid: str | None = "c1",
        netns: str | None = "a",
        ifname: str | None = "eth0",
        args: str | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: str = "/",
        program: str | None = None,
    ) -> Answer:
        """Run a plugin once. `document` is its stdin (text is passed as it is); `prev` becomes prevResult.

        `netns` is a container's name, or a path or "" passed as it is; None leaves the variable out, as in `env`, which is
        added last.
        """
        document = self.conf(role) if document is None else document
        if isinstance(document, dict):
            document = json.dumps({**document, **({"prevResult": prev} if prev is not None else {})})
        variables: dict[str, str | None] = {
            "PATH": PATH,
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": cid,
            "CNI_NETNS": netns if not netns or "/" in netns else f"/run/netns/{netns}",
            "CNI_IFNAME": ifname,
            "CNI_ARGS": args,
            "CNI_PATH": ":".join(self.cni_path),
            **(env or {}),
        }
        chosen = {key: value for key, value in variables.items() if value is not None}
        return self._run(role, verb, program or self.suite.executables[role], chosen, document, cwd)

    def _run(
        self, role: str, verb: str, program: str, env: Mapping[str, str], stdin: str, cwd: str
    ) -> Answer:
        started = time.perf_counter()
        try:
            done = subprocess.run(
                self.host.argv([program], cwd=cwd),
                env={key: value.encode("utf-8", "surrogateescape") for key, value in env.items()},
                input=stdin.encode("utf-8", "surrogateescape"),
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{role} {verb} hangs: no answer in {PATIENCE:.0f} s") from None
        stdout, stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return Answer(role, verb, done.returncode, stdout, stderr, time.perf_counter() - started)

    def start(
        self,
        role: str,
        verb: str,
        document: JsonObject,
        *,
        cid: str = "c1",
        netns: str = "a",
        ifname: str = "eth0",
    ) -> subprocess.Popen[str]:
        """Start a call without waiting for it; the process is the plugin itself."""
        env = {
            "PATH": PATH,
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": cid,
            "CNI_NETNS": f"/run/netns/{netns}",
            "CNI_IFNAME": ifname,
            "CNI_PATH": ":".join(self.cni_path),
        }
        process = self.host.popen([self.suite.executables[role]], env=env, stdin=subprocess.PIPE, cwd="/")
        assert process.stdin is not None
        process.stdin.write(json.dumps(document))
        process.stdin.close()
        process.stdin = None
        return process

    # --- whole attachments ------------------------------------------------------------------------------------

    def ready(self, role: str, netns: str = "a", ifname: str = "eth0", **keys: Any) -> JsonObject:
        """A configuration for an ADD of the role that can succeed: the container is there, and behind a chained plugin its link."""
        self.netns(netns)
        version = keys.get("cniVersion", configurations.LATEST)
        if role in CHAINED:
            self.plumb(netns, ifname)
            keys = {"prevResult": configurations.plumbed_result(netns, ifname, version), **keys}
        return self.conf(role, **keys)

    def attach(
        self, role: str, document: JsonObject | None = None, *, cid: str = "c1", netns: str = "a", ifname: str = "eth0",
        **options: Any,
    ) -> JsonObject:  # fmt: skip
        """An ADD that must succeed; its result."""
        document = self.ready(role, netns, ifname) if document is None else document
        self.netns(netns)
        return self.call(role, "ADD", document, cid=cid, netns=netns, ifname=ifname, **options).result

    def settle(self, role: str, document: JsonObject | None = None) -> None:
        """Attach and detach another container, so that what is shared and stays is there before a snapshot."""
        wanted = self.ready(role, "warm") if document is None else document
        if "prevResult" in wanted:
            wanted = {**wanted, "prevResult": self.plumb("warm")}
        result = self.attach(role, wanted, cid="warm", netns="warm")
        kept = result if configurations.at_least(wanted.get("cniVersion") or "0.1.0", "0.4.0") else None
        self.call(role, "DEL", wanted, prev=kept, cid="warm", netns="warm").ok("of the first container")
        self.bury("warm")

    def wait_until_gone(self, link: str) -> None:
        """Wait until a link of the host has gone with its container, which the kernel does in its own time."""
        deadline = time.monotonic() + 5
        while link in self.links() and time.monotonic() < deadline:
            time.sleep(0.005)

    def spy(self) -> Spy:
        """Install an IPAM plugin that records its calls; CNI_PATH ends with its directory from now on."""
        spy = Spy(self.host)
        self.cni_path.append(spy.directory)
        return spy

    # --- what is there ----------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The host and every container, as lines; see tests/harness/snapshot.py."""
        whole = dict(self.host.snapshot().sections)
        for name in sorted(self._boxes):
            shown = self.host.run(["/bin/sh", "-c", SNAPSHOT_SCRIPT], env={"PATH": PATH}, netns=name).stdout
            inside = read_snapshot(shown, "/nowhere").sections
            whole |= {
                f"{section} of {name}": lines for section, lines in inside.items() if section != "netns"
            }
        return Snapshot(whole)

    def differences(self, before: Snapshot, *ignored: str) -> list[str]:
        """What is different from an earlier snapshot, without what the manifest says may stay."""
        return self.snapshot().diff(before, (*self.suite.stays, *ignored))

    def same_as(self, before: Snapshot, *ignored: str, when: str = "") -> None:
        """Fail if anything is different; the kernel gets a dozen looks' time to finish what is going away."""
        for _ in range(12):
            found = self.differences(before, *ignored)
            if not found:
                return
            time.sleep(0.05)
        shown = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
        raise Failed(f"left behind or lost{f' ({when})' if when else ''}: {shown}")

    @contextmanager
    def unchanged(self, *ignored: str, when: str = "") -> Iterator[None]:
        """What is done inside must leave everything as it was."""
        before = self.snapshot()
        yield
        self.same_as(before, *ignored, when=when)

    def rules(self) -> list[str]:
        """Every packet rule, chain and set element of the host, iptables as text and nftables as JSON lines."""
        shown = self.snapshot()
        return [line for section in ("iptables", "ip6tables", "nftables") for line in shown[section]]

    def leases(self, name: str = "") -> dict[str, str]:
        """Reserved address -> content of its file, in the usual place of the host-local format."""
        folder = f"/var/lib/cni/networks/{name or self.network}"
        files = [line.split(" ", 2) for line in self.snapshot()["files"] if line.startswith(f"{folder}/")]
        named = {
            path.rpartition("/")[2]: content
            for path, _, content in (each for each in files if len(each) == 3)
        }
        return {each: content for each, content in named.items() if re.fullmatch(r"[0-9a-f.:]+", each)}

    # --- what the machine can do ------------------------------------------------------------------------------

    def need(self, probe: str, script: str) -> None:
        """Leave the case as not runnable here unless the shell script, run in the host, succeeds. `probe` names what it asks."""
        try:
            self.sh(script)
        except HostError:
            raise NotHere(f"{probe}: `{script}` fails here") from None

    def need_partner(self) -> Suite:
        """The suite of the other column; without one the case cannot run."""
        if self.partner is None:
            raise NotHere("needs a second suite of plugins")
        return self.partner


def one_address(result: Mapping[str, Any]) -> str:
    """The only address of a result, without its prefix length."""
    ips: Sequence[JsonObject] = result.get("ips", ())
    expect(len(ips) == 1, f"{len(ips)} addresses instead of one")
    return str(ips[0]["address"]).partition("/")[0]
