"""The contract in memory: a host without a kernel, for tests of everything that acts through the contract.

    host = MemoryHost(refuse={"links.create_veth": errno.ENOMEM, ("files.write", 2): errno.ENOSPC})
    host.add_netns("/run/netns/box")

It ships with the library, so that third-party plugins can be tested in the same way. tests/contract holds it
against the kernel. Imports `cni`, `netfilter` and `host.contract`, nothing else of linkspan.
"""

from linkspan.host.memory.faults import Failure, Killed, ReplyLost, Request
from linkspan.host.memory.host import MemoryHost

__all__ = ["Failure", "Killed", "MemoryHost", "ReplyLost", "Request"]
