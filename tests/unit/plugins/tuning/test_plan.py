"""The steps that tuning plans from its facts, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cni_tuning import NAME
from cni_tuning.config import Attributes, Config, Sysctl, sysctl_path
from cni_tuning.facts import Facts
from cni_tuning.plan import plan_for, refuse_unlisted
from cni_tuning.steps import ChangeInterface, SetSysctl, WriteBackup
from linkspan.call.records import WriteRecord
from linkspan.cni.errors import InvalidConfig, UnsupportedField
from linkspan.cni.model import Address, Interface, Request, Result
from linkspan.steps.extras import Warn

REQUEST = Request(
    verb="ADD",
    plugin="tuning",
    cni_version="1.1.0",
    network="n1",
    config={},
    container_id="c1",
    ifname="eth0",
    netns="/run/netns/a",
)
BACKUP = "/run/cni/tuning/c1_eth0.json"
CONFIG = Config(
    sysctls=(Sysctl("net.core.somaxconn", "core/somaxconn", "500"),),
    attributes=Attributes(mtu=1400),
    data_dir="/run/cni/tuning",
)
FACTS = Facts(allowlist=None, sysctls={"core/somaxconn": "4096"}, present=Attributes(mtu=1500), backup=None)


def test_sysctls_are_set_and_the_backup_is_written_before_the_interface_is_changed() -> None:
    assert plan_for(REQUEST, CONFIG, FACTS) == (
        SetSysctl("/run/netns/a", "core/somaxconn", "500", before="4096"),
        WriteRecord(NAME, REQUEST.attachment, {"backup": BACKUP}),
        WriteBackup(BACKUP, Attributes(mtu=1500).to_backup(), before=None),
        ChangeInterface("/run/netns/a", "eth0", Attributes(mtu=1400), before=Attributes(mtu=1500)),
    )


def test_a_backup_that_exists_keeps_its_values() -> None:
    earlier = Attributes(mtu=9000).to_backup()
    steps = plan_for(REQUEST, CONFIG, replace(FACTS, backup=earlier))
    assert WriteBackup(BACKUP, earlier, before=earlier) in steps


def test_a_sysctl_that_the_kernel_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedField, match="this kernel has no sysctl"):
        plan_for(REQUEST, CONFIG, replace(FACTS, sysctls={"core/somaxconn": None}))


def test_a_sysctl_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"Sysctl net\.core\.somaxconn is not allowed"):
        plan_for(REQUEST, CONFIG, replace(FACTS, allowlist=b"^net.ipv4"))


def sysctls(*keys: str) -> list[Sysctl]:
    return [Sysctl(key, sysctl_path(key, "eth0"), "1") for key in keys]


def test_allowlist_is_searched_anywhere_in_the_name_as_written() -> None:
    refuse_unlisted(sysctls("net.core.somaxconn"), b"\n  core \n")
    with pytest.raises(InvalidConfig, match=r"Sysctl net\.ipv4\.ip_forward is not allowed"):
        refuse_unlisted(sysctls("net.ipv4.ip_forward"), b"core")


def test_absent_allowlist_allows_all_and_an_empty_one_nothing() -> None:
    refuse_unlisted(sysctls("net.core.somaxconn"), None)
    with pytest.raises(InvalidConfig):
        refuse_unlisted(sysctls("net.core.somaxconn"), b"")


def test_invalid_expression_in_the_allowlist_is_quoted() -> None:
    with pytest.raises(InvalidConfig, match=r"'\(' is not a valid regular expression"):
        refuse_unlisted(sysctls("net.core.somaxconn"), b"(")


DUAL = replace(
    REQUEST,
    prev_result=Result(
        interfaces=(Interface(name="eth0", sandbox="/run/netns/a"),),
        ips=(Address(address="10.5.0.2/24", interface=0), Address(address="fd00:5::2/64", interface=0)),
    ),
)


def test_an_mtu_at_which_the_kernel_takes_the_ipv6_addresses_away_is_refused() -> None:
    small = replace(CONFIG, attributes=Attributes(mtu=1279))
    with pytest.raises(InvalidConfig, match=r"\$\.mtu: 1279 is too small for fd00:5::2/64"):
        plan_for(DUAL, small, FACTS)
    assert plan_for(REQUEST, small, FACTS)
    assert plan_for(DUAL, replace(CONFIG, attributes=Attributes(mtu=1280)), FACTS)


@pytest.mark.parametrize(
    ("key", "value", "lost"),
    [
        ("net.ipv6.conf.IFNAME.disable_ipv6", "1", True),
        ("net/ipv6/conf/all/disable_ipv6", "1", True),
        ("net.ipv6.conf.IFNAME.disable_ipv6", "0", False),
        ("net.ipv6.conf.eth1.disable_ipv6", "1", False),
    ],
)
def test_a_sysctl_that_takes_the_ipv6_addresses_away_is_a_warning(key: str, value: str, lost: bool) -> None:
    path = sysctl_path(key, "eth0")
    config = replace(CONFIG, sysctls=(Sysctl(key, path, value),))
    steps = plan_for(DUAL, config, replace(FACTS, sysctls={path: "0"}))
    found = [each.message for each in steps if isinstance(each, Warn)]
    assert found == ([f"tuning: $.sysctl: {key} removes fd00:5::2/64 from eth0"] if lost else [])
