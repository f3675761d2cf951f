"""A private host whose iptables is the legacy one, as after `update-alternatives --set iptables …-legacy`."""

from __future__ import annotations

import os

from tests.harness import tools
from tests.harness.privatehost import PrivateHost


def use_legacy_iptables(host: PrivateHost) -> None:
    """Have every program of the host find iptables-legacy; skips the test where there is none."""
    if not os.path.exists("/usr/sbin/iptables-legacy"):
        tools.skip("no iptables-legacy")
    for tool in ("iptables", "ip6tables"):
        for action in ("", "-save", "-restore"):
            host.run(["ln", "-sf", f"/usr/sbin/{tool}-legacy{action}", f"/etc/alternatives/{tool}{action}"])
    assert "legacy" in host.run(["iptables", "--version"]).stdout
