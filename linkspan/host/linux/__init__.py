"""The contract on the kernel of this machine.

Everything is made when it is first used, so that making a host costs nothing. Only modules of this package
talk to the kernel and to the libraries around it (libnftables, python-iptables). Imports `cni`, `netfilter`
and `host.contract`, nothing else of linkspan.
"""

from linkspan.host.linux.host import LinuxHost, SharedSockets

__all__ = ["LinuxHost", "SharedSockets"]
