"""Sysctls: what hardens may fail, what is needed is named."""

from __future__ import annotations

import errno

import pytest

from linkspan.cni.errors import KernelRefused
from linkspan.host.memory import MemoryHost
from linkspan.steps.sysctls import harden, require, sysctl_name

KEY = "ipv6/conf/lo/accept_ra"


@pytest.mark.parametrize("act", ["harden", "require"])
def test_a_sysctl_is_set(act: str) -> None:
    host = MemoryHost()
    if act == "harden":
        harden(host, host.links(), KEY, "0")
    else:
        require(host.links(), KEY, "0", "nothing works")
    assert (host.links().sysctl(KEY), host.warnings) == ("0", [])


def test_hardening_that_cannot_be_had_is_a_warning_that_names_the_sysctl() -> None:
    host = MemoryHost(refuse={"links.set_sysctl": errno.EROFS})
    harden(host, host.links(), KEY, "0")
    (warning,) = host.warnings
    assert warning.startswith("net.ipv6.conf.lo.accept_ra is not set to 0")
    assert warning.endswith("Read-only file system")


def test_a_kernel_without_the_key_needs_no_hardening() -> None:
    host = MemoryHost()
    harden(host, host.links(), "ipv6/conf/lo/none", "0")
    assert host.warnings == []


def test_a_sysctl_that_is_needed_is_named_in_the_details() -> None:
    host = MemoryHost(refuse={"links.set_sysctl": errno.EROFS})
    with pytest.raises(KernelRefused) as caught:
        require(host.links(), "ipv4/ip_forward", "1", "packets are not forwarded")
    assert caught.value.details == (
        "packets are not forwarded: set the sysctl net.ipv4.ip_forward to 1 yourself"
    )


def test_the_dots_of_a_link_are_slashes_in_the_name_of_its_sysctl() -> None:
    assert sysctl_name("ipv6/conf/br0.100/accept_ra") == "net.ipv6.conf.br0/100.accept_ra"
