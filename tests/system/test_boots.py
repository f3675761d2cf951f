"""A host that is itself a container restarts without a boot of the machine: its leases are free then."""

from __future__ import annotations

import json

import pytest

from tests.harness import ours
from tests.harness.privatehost import PrivateHost

pytestmark = pytest.mark.root

ONE_ADDRESS = json.dumps(
    {
        "cniVersion": "1.1.0",
        "name": "pool",
        "type": "host-local",
        "ipam": {"type": "host-local", "subnet": "10.5.0.0/30"},
    }
)


def add(host: PrivateHost, container: str, begin: str) -> int:
    """The error code of an ADD in a new network namespace, after `begin` in a mount namespace of its own; 0 if it succeeds."""
    env = {
        **ours.STANDALONE,
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": container,
        "CNI_NETNS": "/run/netns/none",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": ours.BIN,
    }
    script = f"{begin}; exec {ours.BIN}/host-local"
    done = host.run(["unshare", "-n", "-m", "sh", "-ec", script], env=env, input=ONE_ADDRESS, check=False)
    return int(json.loads(done.stdout).get("code", 0))


def test_leases_of_a_host_that_was_a_container_are_free_after_its_restart(host: PrivateHost) -> None:
    ours.install(host)
    fresh = "mount -t tmpfs -o mode=755 run /run"
    assert [add(host, name, fresh) for name in ("before", "after")] == [0, 0]


def test_leases_of_a_host_whose_state_is_still_there_count(host: PrivateHost) -> None:
    """Two network namespaces that share /run and the leases may both live, and share the addresses then."""
    ours.install(host)
    assert [add(host, name, "true") for name in ("one", "other")] == [0, 102]
