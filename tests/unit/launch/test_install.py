"""Writing executables into a CNI directory that may have others in it, and taking them back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linkspan.call.plugin import ALIASES, MODULES
from linkspan.host.linux.executables import type_of_executable
from linkspan.launch import install
from tests.harness import ours

NAMES = sorted((*MODULES, *ALIASES))


@pytest.fixture(scope="module", params=["python", "native"])
def launchers(request: pytest.FixtureRequest) -> dict[str, bytes]:
    """The executables in both forms."""
    return dict(ours.launchers(request.param))


def content(folder: Path) -> dict[str, bytes]:
    return {
        each.name: os.fsencode(os.readlink(each)) if each.is_symlink() else each.read_bytes()
        for each in folder.iterdir()
    }


def test_every_type_and_alias_is_there_and_can_be_run(tmp_path: Path, launchers: dict[str, bytes]) -> None:
    install.install(str(tmp_path / "bin"), launchers)
    assert sorted(os.listdir(tmp_path / "bin")) == NAMES
    assert all(os.access(tmp_path / "bin" / name, os.X_OK) for name in NAMES)
    assert os.readlink(tmp_path / "bin/dnsname") == "dns"


@pytest.mark.parametrize("name", NAMES)
def test_each_is_known_as_what_it_is(tmp_path: Path, launchers: dict[str, bytes], name: str) -> None:
    install.install(str(tmp_path), launchers)
    assert type_of_executable(str(tmp_path / name)) == ALIASES.get(name, name)


def test_installing_again_changes_nothing_and_keeps_nothing(
    tmp_path: Path, launchers: dict[str, bytes]
) -> None:
    install.install(str(tmp_path), launchers)
    before = content(tmp_path)
    install.install(str(tmp_path), launchers)
    assert content(tmp_path) == before


def test_a_stranger_is_not_overwritten_and_nothing_is_written(
    tmp_path: Path, launchers: dict[str, bytes]
) -> None:
    (tmp_path / "portmap").write_text("theirs")
    with pytest.raises(install.Refused, match="portmap"):
        install.install(str(tmp_path), launchers)
    assert content(tmp_path) == {"portmap": b"theirs"}


def test_a_dangling_link_counts_as_a_stranger(tmp_path: Path, launchers: dict[str, bytes]) -> None:
    (tmp_path / "bridge").symlink_to("/nowhere")
    with pytest.raises(install.Refused, match="bridge"):
        install.install(str(tmp_path), launchers)


def test_a_replaced_stranger_is_kept_and_put_back(tmp_path: Path, launchers: dict[str, bytes]) -> None:
    (tmp_path / "bridge").write_text("theirs")
    (tmp_path / "dnsname").symlink_to("/nowhere")
    (tmp_path / "other").write_text("nobody's business")
    before = content(tmp_path)
    install.install(str(tmp_path), launchers, replace=True)
    assert (tmp_path / f"bridge{install.KEPT}").read_text() == "theirs"
    install.uninstall(str(tmp_path))
    assert content(tmp_path) == before


def test_a_second_original_is_never_kept_over_the_first(tmp_path: Path, launchers: dict[str, bytes]) -> None:
    (tmp_path / "bridge").write_text("theirs")
    install.install(str(tmp_path), launchers, replace=True)
    (tmp_path / "bridge").unlink()
    (tmp_path / "bridge").write_text("theirs again")
    with pytest.raises(install.Refused, match="earlier original"):
        install.install(str(tmp_path), launchers, replace=True)
    assert (tmp_path / f"bridge{install.KEPT}").read_text() == "theirs"


def test_uninstall_leaves_strangers_and_is_fine_twice(tmp_path: Path, launchers: dict[str, bytes]) -> None:
    install.install(str(tmp_path), launchers)
    (tmp_path / "portmap").unlink()
    (tmp_path / "portmap").write_text("theirs")
    install.uninstall(str(tmp_path))
    assert install.uninstall(str(tmp_path)) == []
    assert content(tmp_path) == {"portmap": b"theirs"}


def test_sample_lists_are_copied_refused_and_taken_back(tmp_path: Path) -> None:
    (tmp_path / "bridge.conflist").write_text("mine")
    with pytest.raises(install.Refused):
        install.install_lists(str(tmp_path), ("bridge", "none"))
    assert content(tmp_path) == {"bridge.conflist": b"mine"}
    install.install_lists(str(tmp_path), ("bridge", "none"), replace=True)
    assert "none.conflist" in os.listdir(tmp_path)
    install.uninstall_lists(str(tmp_path))
    assert content(tmp_path) == {"bridge.conflist": b"mine"}


def test_a_sample_list_that_was_edited_stays(tmp_path: Path) -> None:
    install.install_lists(str(tmp_path), ("none",))
    (tmp_path / "none.conflist").write_text("edited")
    install.uninstall_lists(str(tmp_path))
    assert content(tmp_path) == {"none.conflist": b"edited"}
