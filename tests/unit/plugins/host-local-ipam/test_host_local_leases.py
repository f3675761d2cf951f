"""host-local's leases: what is on the disk, in which order addresses go, and how it shares them with
others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cni_host_local_ipam.leases.files import FileLeases
from cni_host_local_ipam.leases.released import REMEMBERED, Released
from linkspan.cni.model import Attachment
from linkspan.host.memory import MemoryHost
from linkspan.paths import is_state, state_of
from tests.harness.leases import DUAL, FOLDER, SMALL, WIDE, addresses, config, leases, left, reboot
from tests.harness.memory import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_addresses_are_handed_out_in_turn_and_a_freed_one_comes_last(desk: Desk) -> None:
    first = addresses(desk, SMALL, cid="c1")
    second = addresses(desk, SMALL, cid="c2")
    desk.call("DEL", config(SMALL), container_id="c1")
    rest = [addresses(desk, SMALL, cid=f"d{number}")[0] for number in range(4)]
    assert (first, second) == (["10.5.0.2/29"], ["10.5.0.3/29"])
    assert rest == ["10.5.0.4/29", "10.5.0.5/29", "10.5.0.6/29", "10.5.0.2/29"]


def freed(desk: Desk, *names: str) -> None:
    for name in names:
        desk.call("DEL", config(SMALL), container_id=name)


def test_of_addresses_that_were_given_back_the_first_is_given_out_first(desk: Desk) -> None:
    """Round robin alone would begin with 10.5.0.2, which is the one that was freed last."""
    for name in "abcde":
        addresses(desk, SMALL, cid=name)
    freed(desk, "c", "d", "a")
    given = [addresses(desk, SMALL, cid=f"{name}2")[0] for name in "cda"]
    assert given == ["10.5.0.4/29", "10.5.0.5/29", "10.5.0.2/29"]


def test_an_address_that_was_given_back_waits_for_those_that_were_not(desk: Desk) -> None:
    addresses(desk, SMALL, "IP=10.5.0.2", cid="asked")
    freed(desk, "asked")
    assert addresses(desk, SMALL) == ["10.5.0.3/29"]


def test_an_address_is_never_refused_for_being_given_back_just_now(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    for name in "abc":
        assert addresses(desk, one, cid=name) == ["10.5.0.2/30"]
        freed(desk, name)


def test_an_address_that_was_asked_for_does_not_move_the_cursor(desk: Desk) -> None:
    addresses(desk, SMALL, cid="c1")
    addresses(desk, SMALL, "IP=10.5.0.5", cid="asked")
    assert desk.host.files.read(f"{FOLDER}/last_reserved_ip.0") == b"10.5.0.2"
    assert addresses(desk, SMALL, cid="c2") == ["10.5.0.3/29"]


@pytest.mark.parametrize(
    "spoilt",
    [None, b"", b"{", b'{"10.5.0.2": 1}', b"[[]]", b"7", b"[" * 100_000],
    ids=lambda value: str(value)[:20],
)
def test_a_memory_of_what_was_given_back_that_is_lost_or_torn_means_round_robin(
    desk: Desk, spoilt: bytes | None
) -> None:
    addresses(desk, SMALL, "IP=10.5.0.2", cid="asked")
    freed(desk, "asked")
    (memory,) = [each for each in desk.host.files.contents if "/released/" in each]
    if spoilt is None:
        desk.host.files.remove(memory)
    else:
        desk.host.files.write(memory, spoilt)
    assert addresses(desk, SMALL) == ["10.5.0.2/29"]


def test_no_more_than_the_last_addresses_given_back_are_remembered() -> None:
    released = Released(MemoryHost().files, "/run/released")
    for number in range(REMEMBERED + 2):
        released.add(str(number))
    assert list(released.oldest_first()) == [str(number) for number in range(2, REMEMBERED + 2)]


def test_a_container_gets_one_address_of_each_set(desk: Desk) -> None:
    assert addresses(desk, DUAL) == ["10.5.0.2/24", "fd00:5::2/64"]


def test_two_interfaces_of_one_container_get_two_addresses(desk: Desk) -> None:
    desk.call("ADD", config(SMALL), ifname="eth0")
    answer = desk.call("ADD", config(SMALL), ifname="eth1")
    assert answer.document["ips"][0]["address"] == "10.5.0.3/29"


def test_leases_are_the_reference_s_to_the_byte(desk: Desk) -> None:
    addresses(desk, DUAL, cid="container-1")
    here = {path: data for path, data in desk.host.files.contents.items() if path.startswith(FOLDER)}
    assert here == {
        f"{FOLDER}/lock": b"",
        f"{FOLDER}/10.5.0.2": b"container-1\r\neth0",
        f"{FOLDER}/fd00:5::2": b"container-1\r\neth0",
        f"{FOLDER}/last_reserved_ip.0": b"10.5.0.2",
        f"{FOLDER}/last_reserved_ip.1": b"fd00:5::2",
    }
    assert desk.host.files.mode(FOLDER) == 0o755


def test_the_data_dir_is_where_the_configuration_says(desk: Desk) -> None:
    addresses(desk, {**SMALL, "dataDir": "/srv/pool"})
    assert "10.5.0.2" in desk.host.files.names("/srv/pool/net")


def test_a_second_add_is_refused_and_the_lease_stays(desk: Desk) -> None:
    addresses(desk, SMALL)
    answer = desk.call("ADD", config(SMALL))
    assert (answer.code, leases(desk)) == (105, ["10.5.0.2"])
    assert "duplicate allocation is not allowed" in answer.msg


def test_a_long_id_does_not_make_a_message_too_long(desk: Desk) -> None:
    addresses(desk, {"subnet": "fd00:1111:2222:3333::/64"}, cid="k8s-" + "ab" * 32)
    answer = desk.call("ADD", config({"subnet": "fd00:1111:2222:3333::/64"}), container_id="k8s-" + "ab" * 32)
    assert (answer.code, len(answer.msg) <= 120) == (105, True)


def test_a_full_pool_says_which_network_which_range_and_how_many(desk: Desk) -> None:
    for number in range(5):
        addresses(desk, SMALL, cid=f"c{number}")
    answer = desk.call("ADD", config(SMALL), container_id="late")
    assert answer.code == 102
    assert answer.msg == (
        "network net: no IP addresses available in range set: 10.5.0.1-10.5.0.6 (all 5 are taken)"
    )


def test_a_second_set_that_is_full_gives_the_first_one_s_address_back(desk: Desk) -> None:
    tight = {"ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "10.6.0.0/30"}]]}
    addresses(desk, tight)
    assert desk.call("ADD", config(tight), container_id="late").code == 102
    assert leases(desk) == ["10.5.0.2", "10.6.0.2"]


def without_state(desk: Desk) -> None:
    """As after a boot: what is below /run is gone."""
    for path in [each for each in desk.host.files.contents if is_state(each)]:
        desk.host.files.remove(path)
        folder = path.rpartition("/")[0]
        while is_state(folder):
            desk.host.files.remove_folder(folder)
            folder = folder.rpartition("/")[0]


def test_del_frees_and_leaves_nothing_but_lock_cursor_and_the_memory_of_it(desk: Desk) -> None:
    addresses(desk, SMALL)
    assert desk.call("DEL", config(SMALL)).status == 0
    (memory,) = [each for each in desk.host.files.contents if "/released/" in each]
    assert sorted(desk.host.files.contents) == sorted(
        [f"{FOLDER}/last_reserved_ip.0", f"{FOLDER}/lock", memory, memory.replace("released", "swept")]
    )
    assert memory.startswith(desk.host.state_dir)


def test_del_of_what_was_never_added_makes_nothing(desk: Desk) -> None:
    before = desk.host.state()
    assert desk.call("DEL", config(SMALL)).status == 0
    assert desk.host.state() == before


def test_del_needs_no_ranges(desk: Desk) -> None:
    addresses(desk, SMALL)
    assert desk.call("DEL", {"type": "host-local", "ipam": {}}).status == 0
    assert leases(desk) == []


def test_one_container_s_del_leaves_another_s_lease(desk: Desk) -> None:
    addresses(desk, SMALL, cid="c1")
    addresses(desk, SMALL, cid="c10")
    desk.call("DEL", config(SMALL), container_id="c1")
    assert leases(desk) == ["10.5.0.3"]


# --- leases of others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"c1\r\neth0", b"c1\r\neth0\n", b"c1"], ids=["now", "newline", "long ago"]
)
def test_a_lease_that_the_reference_made_is_found_by_del(desk: Desk, content: bytes) -> None:
    desk.host.files.write(f"{FOLDER}/10.5.0.4", content)
    desk.call("DEL", config(SMALL))
    assert leases(desk) == []


def test_a_lease_that_the_reference_made_is_not_given_to_another(desk: Desk) -> None:
    desk.host.files.write(f"{FOLDER}/10.5.0.2", b"other\r\neth0")
    assert addresses(desk, SMALL) == ["10.5.0.3/29"]


def test_the_reference_s_cursor_is_ours(desk: Desk) -> None:
    desk.host.files.write(f"{FOLDER}/last_reserved_ip.0", b"10.5.0.4")
    assert addresses(desk, SMALL) == ["10.5.0.5/29"]


def test_an_empty_lease_file_is_a_crash_s_and_free(desk: Desk) -> None:
    desk.host.files.write(f"{FOLDER}/10.5.0.2", b"")
    assert addresses(desk, SMALL) == ["10.5.0.2/29"]


@pytest.mark.parametrize("name", ["README", "10.5.0.002", "10.5.0.2~"])
def test_a_file_that_is_no_lease_is_left_alone(desk: Desk, name: str) -> None:
    desk.host.files.write(f"{FOLDER}/{name}", b"c1\r\neth0")
    addresses(desk, SMALL)
    desk.call("DEL", config(SMALL))
    assert desk.host.files.read(f"{FOLDER}/{name}") == b"c1\r\neth0"


def restarted_by_the_reference(desk: Desk) -> None:
    """Our lease is gone and there is another, as after a DEL and an ADD of the reference."""
    addresses(desk, SMALL)
    desk.host.files.remove(f"{FOLDER}/10.5.0.2")
    desk.host.files.write(f"{FOLDER}/10.5.0.3", b"c1\r\neth0")


def test_del_finds_the_lease_of_a_container_that_the_reference_restarted(desk: Desk) -> None:
    restarted_by_the_reference(desk)
    desk.call("DEL", config(SMALL))
    assert leases(desk) == []
    assert not [line for line in desk.host.state() if "/linkspan/leases/" in line]


def test_add_is_refused_for_a_container_that_the_reference_restarted(desk: Desk) -> None:
    restarted_by_the_reference(desk)
    assert desk.call("ADD", config(SMALL)).code == 105


# --- boots --------------------------------------------------------------------------------------------------


def test_our_lease_of_an_earlier_boot_is_free(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    reboot(desk)
    assert addresses(desk, one, cid="after") == ["10.5.0.2/30"]
    assert desk.host.files.read(f"{FOLDER}/10.5.0.2") == b"after\r\neth0"


def test_a_lease_of_a_namespace_that_is_gone_with_its_state_is_free(desk: Desk) -> None:
    """As after the restart of a host that is a container: the machine did not boot."""
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    without_state(desk)
    reboot(desk, "first-boot 2")
    assert addresses(desk, one, cid="after") == ["10.5.0.2/30"]


def test_a_lease_of_another_namespace_whose_state_is_there_counts(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    desk.host.files.write(f"{state_of('1')}/locks/host-local", b"")
    reboot(desk, "first-boot 2")
    assert desk.call("ADD", config(one), container_id="after").code == 102


def test_a_lease_that_the_reference_wrote_over_ours_lives(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    reboot(desk)
    desk.host.files.write(f"{FOLDER}/10.5.0.2", b"theirs\r\neth0")
    assert desk.call("ADD", config(one), container_id="after").code == 102


def test_the_same_container_is_added_again_after_a_boot(desk: Desk) -> None:
    addresses(desk, SMALL)
    reboot(desk)
    assert addresses(desk, SMALL) == ["10.5.0.3/29"]


# --- the index ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoilt", [None, b"", b"{", b'["nonsense"]', b"7", b"[" * 100_000], ids=str)
def test_an_index_that_is_lost_or_torn_means_a_scan(desk: Desk, spoilt: bytes | None) -> None:
    addresses(desk, DUAL)
    (index,) = [
        each for each in desk.host.files.contents if each.endswith(Attachment("net", "c1", "eth0").key)
    ]
    if spoilt is None:
        desk.host.files.remove(index)
    else:
        desk.host.files.write(index, spoilt)
    assert desk.call("DEL", config(DUAL)).status == 0
    assert left(desk) == []


def test_the_index_names_the_leases(desk: Desk) -> None:
    addresses(desk, DUAL)
    key = Attachment("net", "c1", "eth0").key
    (data,) = [each for path, each in desk.host.files.contents.items() if path.endswith(key)]
    assert json.loads(data) == ["10.5.0.2", "fd00:5::2"]


def index_of(desk: Desk, cid: str) -> list[str]:
    """The addresses in an attachment's index, [] if it has none."""
    key = Attachment("net", cid, "eth0").key
    found = [each for path, each in desk.host.files.contents.items() if path.endswith(f".index/{key}")]
    return [str(each) for each in json.loads(found[0])] if found else []


def test_a_lease_of_an_earlier_boot_leaves_the_index_with_its_address(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    reboot(desk)
    addresses(desk, one, cid="after")
    assert (index_of(desk, "before"), index_of(desk, "after")) == ([], ["10.5.0.2"])


def test_the_index_does_not_grow_with_boots(desk: Desk) -> None:
    for number in range(20):
        reboot(desk, f"boot-{number} 1")
        for cid in ("a", "b"):
            addresses(desk, SMALL, cid=cid)
    assert len(index_of(desk, "a") + index_of(desk, "b")) <= 5


def test_an_address_that_the_reference_gave_back_leaves_the_index_when_it_is_leased_again(desk: Desk) -> None:
    one = {"ranges": [[{"subnet": "10.5.0.0/30"}]]}
    addresses(desk, one, cid="before")
    desk.host.files.remove(f"{FOLDER}/10.5.0.2")
    addresses(desk, one, cid="after")
    assert (index_of(desk, "before"), index_of(desk, "after")) == ([], ["10.5.0.2"])


@pytest.mark.parametrize("sidecar", ["of this build", "of an older build"])
def test_gc_removes_a_dead_attachment_from_the_index(desk: Desk, sidecar: str) -> None:
    addresses(desk, DUAL)
    if sidecar == "of an older build":
        for path, content in list(desk.host.files.contents.items()):
            if content.startswith(b'{"stamp"'):
                known = {key: value for key, value in json.loads(content).items() if key != "index"}
                desk.host.files.write(path, json.dumps(known).encode())
    desk.call("GC", config(DUAL, **{"cni.dev/valid-attachments": []}))
    assert (index_of(desk, "c1"), left(desk)) == ([], [])


# --- how much is read ---------------------------------------------------------------------------------------


@pytest.fixture
def reads(desk: Desk) -> list[str]:
    """A busy pool, and the paths that are read or listed from now on."""
    for number in range(50):
        addresses(desk, WIDE, cid=f"busy{number}")
    seen: list[str] = []
    for name in ("read", "names"):
        setattr(desk.host.files, name, noting(seen, getattr(desk.host.files, name)))
    return seen


def noting(seen: list[str], ask: Callable[[str], Any]) -> Callable[[str], Any]:
    def asked(path: str) -> Any:
        seen.append(path)
        return ask(path)

    return asked


def leases_read(reads: list[str]) -> list[str]:
    return [each for each in reads if each.startswith(f"{FOLDER}/10.")]


def test_add_lists_a_directory_once_and_reads_no_lease(desk: Desk, reads: list[str]) -> None:
    addresses(desk, WIDE, cid="new")
    assert reads.count(FOLDER) == 1
    assert leases_read(reads) == [f"{FOLDER}/10.5.0.52"]  # the new one, which is absent


def test_add_that_comes_round_reads_leases_up_to_the_first_free_address(desk: Desk, reads: list[str]) -> None:
    desk.host.files.write(f"{FOLDER}/last_reserved_ip.0", b"10.5.0.48")
    assert addresses(desk, WIDE, cid="new") == ["10.5.0.52/24"]
    assert leases_read(reads) == [f"{FOLDER}/10.5.0.{number}" for number in (49, 50, 51, 52)]


def test_del_reads_its_own_lease_and_lists_nothing(desk: Desk, reads: list[str]) -> None:
    assert desk.call("DEL", config(WIDE), container_id="busy7").status == 0
    assert (FOLDER in reads, leases_read(reads)) == (False, [f"{FOLDER}/10.5.0.9"])
    assert "10.5.0.9" not in leases(desk)


# --- removing a network -----------------------------------------------------------------------------------------------


def dispose(desk: Desk) -> None:
    FileLeases(desk.host, FOLDER).dispose()


def test_a_network_without_leases_is_forgotten(desk: Desk) -> None:
    before = desk.host.state()
    addresses(desk, SMALL)
    freed(desk, "c1")
    dispose(desk)
    assert {each for each in desk.host.state() ^ before if "/locks/" not in each} == set()


def test_a_network_with_a_lease_is_not_forgotten(desk: Desk) -> None:
    addresses(desk, SMALL)
    before = desk.host.state()
    dispose(desk)
    assert desk.host.state() == before


def test_leases_of_an_earlier_boot_are_forgotten(desk: Desk) -> None:
    addresses(desk, SMALL)
    reboot(desk)
    dispose(desk)
    assert (desk.host.files.names(FOLDER), left(desk)) == ((), [])


def test_a_file_that_is_not_of_the_leases_stays(desk: Desk) -> None:
    addresses(desk, SMALL)
    freed(desk, "c1")
    desk.host.files.write(f"{FOLDER}/README", b"x")
    dispose(desk)
    assert desk.host.files.names(FOLDER) == ("README",)


def test_the_first_add_of_a_boot_forgets_the_leases_of_earlier_boots(desk: Desk) -> None:
    """In a pool that is never exhausted nobody would take their addresses, and the index would grow."""
    for number in range(3):
        addresses(desk, WIDE, cid=f"lost{number}")
    reboot(desk)
    without_state(desk)
    (kept,) = addresses(desk, WIDE, cid="new")
    assert leases(desk) == [kept.partition("/")[0]]
    assert [each for each in desk.host.files.contents if ".index/" in each] == [
        each for each in desk.host.files.contents if each.endswith(Attachment("net", "new", "eth0").key)
    ]


def test_leases_of_this_boot_and_of_others_stay(desk: Desk) -> None:
    addresses(desk, WIDE, cid="first")
    desk.host.files.write(f"{FOLDER}/10.5.0.9", b"theirs\r\neth0")
    addresses(desk, WIDE, cid="second")
    assert len(leases(desk)) == 3
