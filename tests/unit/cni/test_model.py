"""Names that are computed from an attachment alone."""

import pytest

from linkspan.cni.model import Attachment

ONE = Attachment("net", "c1", "eth0")


def test_names_are_the_same_every_time_and_differ_for_every_word() -> None:
    others = [
        Attachment("net2", "c1", "eth0"),
        Attachment("net", "c2", "eth0"),
        Attachment("net", "c1", "eth1"),
    ]
    assert Attachment("net", "c1", "eth0").host_veth == ONE.host_veth
    assert len({each.host_veth for each in (ONE, *others)}) == 4
    assert len({each.key for each in (ONE, *others)}) == 4


def test_words_do_not_run_into_each_other() -> None:
    assert Attachment("ab", "c", "d").key != Attachment("a", "bc", "d").key


def test_host_veth_fits_the_kernel() -> None:
    assert len(ONE.host_veth) == 15


def test_computed_mac_is_local_and_unicast() -> None:
    assert int(ONE.host_mac[:2], 16) & 3 == 2


@pytest.mark.parametrize(
    ("container_id", "short"),
    [
        ("0123456789abcdef" * 4, "0123456789ab"),
        (f"default-{'0123456789abcdef' * 4}", "0123456789ab"),
        ("cnitool-77383ca0a0715733ca6f", "cnitool-77383ca0a0715733ca6f"),
        ("default-web", "default-web"),
        ("0123456789abcdef", "0123456789abcdef"),
        ("x" * 40, "x" * 29 + "..."),
    ],
)
def test_messages_name_a_container_as_its_runtime_shows_it(container_id: str, short: str) -> None:
    one = Attachment("net", container_id, "eth0")
    assert str(one) == f"container {short} (eth0) on network net"
