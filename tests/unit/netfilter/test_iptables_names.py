"""Names of chains and comments are the reference's, and fit into the kernel's structures."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha512

import pytest

from linkspan.cni.model import Attachment
from linkspan.netfilter.iptables_names import MAX_NAME, chain_name, comment

ONE = Attachment("net", "c1", "eth0")


@pytest.mark.parametrize(("prefix", "digits"), [("CNI-", 24), ("CNI-DN-", 21)])
def test_the_first_interface_has_the_reference_s_chain(prefix: str, digits: int) -> None:
    assert chain_name(prefix, ONE) == prefix + sha512(b"netc1").hexdigest()[:digits]


def test_every_name_has_the_length_that_the_kernel_allows() -> None:
    long = Attachment("n" * 200, "c" * 200, "eth0")
    assert {len(chain_name(prefix, long)) for prefix in ("", "CNI-", "CNI-DN-")} == {MAX_NAME}


def test_interfaces_of_one_container_have_chains_of_their_own() -> None:
    assert len({chain_name("CNI-", replace(ONE, ifname=each)) for each in ("eth0", "eth1", "eth2")}) == 3


def test_a_long_comment_is_cut() -> None:
    assert comment("x" * 300).options == (("comment", "x" * 255),)
