"""Sysctls that harden, and those without which a container does not work.

/proc/sys may be read-only (in a container), and a kernel may lack a key. What hardens is then left as it is,
with a warning; what is needed is an error that names the sysctl.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from linkspan.cni.errors import KernelRefused
from linkspan.steps.extras import optional

if TYPE_CHECKING:
    from linkspan.host.contract import Host, Links

#: sysctl(8) writes an interface's own dots as slashes where other names have dots.
_EXCHANGED = str.maketrans("./", "/.")


def harden(host: Host, links: Links, key: str, value: str) -> None:
    """Set a key below net; a warning if it cannot be set. A key that this kernel lacks needs no hardening."""
    optional(
        host,
        f"{sysctl_name(key)} is not set to {value}, which hardens",
        partial(links.set_sysctl, key, value),
    )


def require(links: Links, key: str, value: str, purpose: str) -> None:
    """Set a key below net without which `purpose` fails; one that this kernel lacks is left to what needs it.

    Raises KernelRefused, whose details name the sysctl.
    """
    try:
        links.set_sysctl(key, value)
    except KernelRefused as error:
        advice = f"{purpose}: set the sysctl {sysctl_name(key)} to {value} yourself"
        raise KernelRefused(error.request, error.errno, advice) from None


def sysctl_name(key: str) -> str:
    """A key below net as sysctl(8) writes it: net.ipv6.conf.br0/100.accept_ra for the link br0.100."""
    return "net." + key.translate(_EXCHANGED)
