"""Our own directories in the namespaces of an ordinary user."""

from __future__ import annotations

import os
from pathlib import Path

from linkspan.host.linux.files import drop_links_to_others


def test_a_link_of_ours_to_a_directory_of_another_user_makes_room_for_one_of_our_own(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "linkspan"
    theirs.mkdir()
    (theirs / "state").touch()
    if os.geteuid() == 0:
        os.chown(theirs, 1000, 1000)
    link.symlink_to(theirs if os.geteuid() == 0 else "/")
    drop_links_to_others((str(link),))
    assert not os.path.lexists(link)
    assert (theirs / "state").exists()


def test_a_link_to_a_directory_of_our_own_and_a_directory_stay(tmp_path: Path) -> None:
    ours, link = tmp_path / "ours", tmp_path / "linkspan"
    ours.mkdir()
    link.symlink_to(ours)
    drop_links_to_others((str(link), str(ours), str(tmp_path / "absent")))
    assert link.is_symlink()
    assert ours.is_dir()
