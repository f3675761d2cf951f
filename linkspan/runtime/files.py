"""The configuration directory: reading lists, and changing them under the locks of the programs that share
it.

Everything that changes the directory does so inside `Directory.locked`: under nerdctl's lock and, where
podman has been used, podman's. A file appears, changes and goes by rename(2) within its directory, which
containerd's watcher reacts to (it ignores new files). What a killed writer leaves has a name that no runtime
loads; the next one that holds the lock finishes or removes it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from linkspan.runtime.lists import InvalidList, NetworkList, is_list_file, parse

CONF_DIR = "/etc/cni/net.d"
#: In the directory: nerdctl's flock(2) (pkg/netutil/store.go), and the record lock of podman 4
#: (libnetwork/cni).
NERDCTL_LOCK, PODMAN_LOCK = ".nerdctl.lock", "cni.lock"
#: Appended to the name of a list that is being written, and of one whose network is being removed.
_UNFINISHED, _REMOVED = ".linkspan-new", ".linkspan-removed"


@dataclass(frozen=True, slots=True)
class Removal:
    """A list that has been put out of the runtimes' sight, and where it lies until everything of its
    network is gone.
    """

    list: NetworkList
    temporary: str


class Directory:
    """A configuration directory: its root and the subdirectories, which are containerd namespaces to
    nerdctl.
    """

    def __init__(self, path: str = CONF_DIR, warn: Callable[[str], object] = lambda _: None) -> None:
        self.path = path
        self._warn = warn

    def lists(self) -> tuple[NetworkList, ...]:
        """Every list, those of the root first, in the order in which runtimes read them.

        A file that is not a list is reported and left out. Raises OSError if the directory cannot be read; an
        absent one is empty.
        """
        found = [each for each in map(self._parsed, self._files()) if each is not None]
        return tuple(found)

    def root_files(self) -> list[str]:
        """The names of the list files in the root, in order: CRI and ctr use the first."""
        return sorted(os.path.basename(path) for path, namespace in self._files() if not namespace)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude every other change of the directory. Raises OSError, TryAgain."""
        from linkspan.host.linux.patience import flock

        os.makedirs(self.path, mode=0o755, exist_ok=True)
        descriptor = os.open(f"{self.path}/{NERDCTL_LOCK}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            flock(descriptor, f"{self.path}/{NERDCTL_LOCK}")
            with _podmans_lock(f"{self.path}/{PODMAN_LOCK}"):
                self._remove_unfinished()
                yield
        finally:
            os.close(descriptor)

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a list file. Wants the lock held."""
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        temporary = path + _UNFINISHED
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644
        )
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)

    def put_aside(self, one: NetworkList) -> Removal:
        """Rename a list so that no runtime loads it any more. Wants the lock held."""
        os.rename(one.path, one.path + _REMOVED)
        return Removal(one, one.path + _REMOVED)

    def restore(self, removal: Removal) -> None:
        """Undo `put_aside`. Wants the lock held."""
        os.rename(removal.temporary, removal.list.path)

    def forget(self, removal: Removal) -> None:
        """Delete a list that has been renamed. Wants the lock held."""
        os.unlink(removal.temporary)

    def unfinished_removals(self) -> tuple[Removal, ...]:
        """The lists that were renamed by a process that ended before it was done. Wants the lock held."""
        found = []
        for folder, namespace in self._folders():
            for name in _names(folder):
                if name.endswith(_REMOVED):
                    temporary = f"{folder}/{name}"
                    one = self._parsed((temporary, namespace))
                    if one is not None:
                        found.append(Removal(replace(one, path=temporary.removesuffix(_REMOVED)), temporary))
        return tuple(found)

    def _remove_unfinished(self) -> None:
        for folder, _ in self._folders():
            for name in _names(folder):
                if name.endswith(_UNFINISHED):
                    with suppress(FileNotFoundError):
                        os.unlink(f"{folder}/{name}")

    def _files(self) -> Iterator[tuple[str, str]]:
        """(path, namespace) of every list file."""
        for folder, namespace in self._folders():
            for name in filter(is_list_file, _names(folder)):
                yield f"{folder}/{name}", namespace

    def _folders(self) -> Iterator[tuple[str, str]]:
        yield self.path, ""
        for name in _names(self.path):
            if not is_list_file(name) and os.path.isdir(f"{self.path}/{name}"):
                yield f"{self.path}/{name}", name

    def _parsed(self, file: tuple[str, str]) -> NetworkList | None:
        path, namespace = file
        try:
            with open(path, "rb") as opened:
                changed = os.fstat(opened.fileno()).st_mtime_ns
                return parse(opened.read(), path, namespace=namespace, changed=changed)
        except (IsADirectoryError, FileNotFoundError):
            return None
        except OSError as error:
            self._warn(f"{path} cannot be read: {error.strerror}")
        except InvalidList as error:
            self._warn(f"{path} is not a network list: {error}")
        return None


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def _podmans_lock(path: str) -> Iterator[None]:
    """Hold podman's lock where there is one: it exists once podman has loaded its networks from the
    directory.
    """
    from linkspan.host.linux.patience import acquire_within

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        acquire_within(
            path,
            lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB),
            lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX),
        )
        yield
    finally:
        os.close(descriptor)
