"""Leases on disk: the reference plugin's files byte for byte, and beside them what only we know.

In dataDir/NETWORK a file named by the address holds `<container id> CR LF <ifname>`. Below
`paths.LEASES_DIR` a sidecar for each lease of ours has the boot in which it was made, of the machine and of a
host that is a container, and an index has the addresses of each attachment. A sidecar is believed only while
it names the lease's inode and ctime; a lease without one counts; where the index has nothing or is outdated,
the leases themselves are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from posixpath import basename
from typing import TYPE_CHECKING, Any

from cni_host_local_ipam.leases.contract import UNREADABLE, Owner
from cni_host_local_ipam.leases.released import Released
from linkspan import paths
from linkspan.call.records import discard, read_json
from linkspan.call.transaction import best_effort
from linkspan.cni.addresses import addresses_among, canonical_ip
from linkspan.cni.errors import IoFailure, TryAgain
from linkspan.cni.model import Attachment

if TYPE_CHECKING:
    from linkspan.cni.addresses import Ip
    from linkspan.host.contract import Host

#: Beside the leases: the lock, and the address that was last allocated in each range set.
_LOCK, _CURSOR = "lock", "last_reserved_ip."
_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)


class FileLeases:
    """The contract's Leases, in a folder that other implementations use too."""

    def __init__(self, host: Host, folder: str) -> None:
        self._files = host.files
        self._boot = host.boot
        self._folder = folder
        name = sha256(folder.encode()).hexdigest()[:24]
        self._sidecars = f"{paths.LEASES_DIR}/{name}"
        self._released = Released(host.files, paths.released(host.state_dir, name))
        self._swept = paths.swept(host.state_dir, name)

    def exists(self) -> bool:
        """See contract.Leases."""
        return self._files.exists(self._folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See contract.Leases: the reference's lock, on the same file."""
        self._files.make_folder(self._folder, mode=0o755)
        with self._files.lock(f"{self._folder}/{_LOCK}"):
            yield

    def names(self) -> frozenset[str]:
        """See contract.Leases. The lock and the cursors are among them."""
        return frozenset(self._files.names(self._folder))

    def foreign(self, names: frozenset[str]) -> frozenset[str]:
        """See contract.Leases."""
        return names.difference(self._files.names(self._sidecars))

    def owner(self, ip: Ip) -> Owner | None:
        """See contract.Leases. An empty file is what a crash of the reference leaves: its address is free."""
        with _tolerating_one_file():
            stated = self._stated_owner(ip)
            return None if stated is None or self._is_of_earlier_boot(ip) else stated
        return UNREADABLE

    def held_by(self, attachment: Attachment, among: Collection[str] | None = None) -> tuple[Ip, ...]:
        """See contract.Leases."""
        indexed = self._indexed(attachment.key)
        return self._confirmed(attachment, indexed) or self._searched(attachment, among)

    def claim(self, attachment: Attachment, addresses: Sequence[Ip]) -> None:
        """See contract.Leases. The index is written first, then each lease atomically, then its sidecar."""
        self._write_index(attachment.key, (*self._indexed(attachment.key), *addresses))
        for ip in addresses:
            self._claim(attachment, ip)

    def release(self, attachment: Attachment) -> None:
        """See contract.Leases. The index is removed last: it still names what could not be released."""
        indexed = self._indexed(attachment.key)
        held = self._confirmed(attachment, indexed) or self._searched(attachment)
        best_effort(*(partial(self._free, ip) for ip in held))
        for ip in indexed:
            # Another implementation may have released it: it knows the lease, and not its sidecar.
            if not self._files.exists(self._lease_path(ip)):
                discard(self._files, self._sidecar_path(ip))
        self._write_index(attachment.key, ())

    def discard(self, ip: Ip) -> None:
        """See contract.Leases."""
        self._unindex(ip)
        self._free(ip)

    def dispose(self) -> None:
        """See contract.Leases. Files that are not of a store of leases stay, and so does their directory."""
        names = self.names()
        leased = tuple(addresses_among(names))
        if any(self.owner(ip) is not None for ip in leased):
            return
        for folder in (self._sidecars, f"{self._sidecars}.index"):
            self._remove_all(folder, self._files.names(folder))
        self._files.remove(self._swept)
        self._released.clear()
        own = {_LOCK, *map(str, leased), *(each for each in names if each.startswith(_CURSOR))}
        self._remove_all(self._folder, names & own)

    def _remove_all(self, folder: str, names: Collection[str]) -> None:
        for each in names:
            self._files.remove(f"{folder}/{each}")
        self._files.remove_folder(folder)

    def sweep(self) -> None:
        """See contract.Leases. Once a boot, as a file below /run tells."""
        if self._files.exists(self._swept):
            return
        for ip in addresses_among(self._files.names(self._sidecars)):
            if self._is_of_earlier_boot(ip):
                self._unindex(ip)
                discard(self._files, self._sidecar_path(ip))
                self._files.remove(self._lease_path(ip))
        for key in self._files.names(f"{self._sidecars}.index"):
            if not any(self._files.exists(self._lease_path(ip)) for ip in self._indexed(key)):
                discard(self._files, self._index_path(key))
        self._files.write(self._swept, b"")

    def cursor(self, number: int) -> Ip | None:
        """See contract.Leases."""
        with _tolerating_one_file():
            content = self._files.read(self._cursor_path(number))
            return canonical_ip(content.decode(errors="replace").strip()) if content else None
        return None

    def move_cursor(self, number: int, ip: Ip) -> None:
        """See contract.Leases. The position is a preference: an address is leased without it too."""
        with _tolerating_one_file():
            self._files.write(self._cursor_path(number), str(ip).encode())

    def released(self) -> dict[str, int]:
        """See contract.Leases."""
        return self._released.oldest_first()

    def _confirmed(self, attachment: Attachment, indexed: tuple[Ip, ...]) -> tuple[Ip, ...]:
        """What the index names, if the attachment still holds all of it."""
        return indexed if all(self._is_held_by(ip, attachment) for ip in indexed) else ()

    def _searched(self, attachment: Attachment, among: Collection[str] | None = None) -> tuple[Ip, ...]:
        """What the attachment holds among these names, by default all."""
        names = self.names() if among is None else among
        return tuple(ip for ip in addresses_among(names) if self._is_held_by(ip, attachment))

    def _claim(self, attachment: Attachment, ip: Ip) -> None:
        path = self._lease_path(ip)
        self._unindex(ip, keep=attachment.key)
        self._files.remove(path)
        content = f"{attachment.container_id.strip()}\r\n{attachment.ifname}".encode()
        if not self._files.create(path, content, temporary_in=self._folder):
            raise TryAgain(
                f"{path} was created by another program", "it does not use the lock of this directory"
            )
        sidecar = {"stamp": self._files.stamp(path), "boot": self._boot, "index": attachment.key}
        self._files.write(self._sidecar_path(ip), json.dumps(sidecar).encode())

    def _free(self, ip: Ip) -> None:
        """The lease is removed last: a process killed here leaves a lease that the next DEL finds."""
        discard(self._files, self._sidecar_path(ip))
        if self._files.remove(self._lease_path(ip)):
            self._released.add(str(ip))

    def _stated_owner(self, ip: Ip) -> Owner | None:
        """Whom a lease names, also of an earlier boot; None if it is absent or empty."""
        content = self._files.read(self._lease_path(ip))
        if not content:
            return None
        container_id, _, ifname = content.decode(errors="replace").strip().partition("\r\n")
        return Owner(container_id, ifname)

    def _is_held_by(self, ip: Ip, attachment: Attachment) -> bool:
        container_id, ifname = attachment.container_id, attachment.ifname
        with _tolerating_one_file():
            return self._stated_owner(ip) in (Owner(container_id, ifname), Owner(container_id, ""))
        return False

    def _is_of_earlier_boot(self, ip: Ip) -> bool:
        sidecar = self._read_sidecar(ip)
        boot = sidecar.get("boot")
        if not isinstance(boot, str) or not self._is_over(boot):
            return False
        stamp = self._files.stamp(self._lease_path(ip))
        return stamp is not None and sidecar.get("stamp") == list(stamp)

    def _is_over(self, boot: str) -> bool:
        """Whether a boot, as contract.Host has it, is not the present one.

        A host that is itself a container has a new network namespace after its restart, and a new /run. Where
        the state of the other namespace is still there, it may live, and both share these leases.
        """
        then, now = boot.split(" "), self._boot.split(" ")
        if then[0] != now[0]:
            return True
        namespace = "".join(then[1:2])
        same = namespace in ("", *now[1:2])
        return not same and not self._files.exists(paths.state_of(namespace))

    # --- the index ------------------------------------------------------------------------------------------

    def _indexed(self, key: str) -> tuple[Ip, ...]:
        found = self._read_json(self._index_path(key))
        names = found if isinstance(found, list) else []
        return tuple(filter(None, (canonical_ip(str(each)) for each in names)))

    def _write_index(self, key: str, addresses: Collection[Ip]) -> None:
        """Replace the addresses of an attachment."""
        if addresses:
            names = list(dict.fromkeys(map(str, addresses)))
            self._files.write(self._index_path(key), json.dumps(names).encode())
        else:
            discard(self._files, self._index_path(key))

    def _unindex(self, ip: Ip, keep: str = "") -> None:
        """Take an address out of the index of its previous owner, unless that is `keep`."""
        key = self._key_of(ip)
        indexed = self._indexed(key) if key not in ("", keep) else ()
        if ip in indexed:
            self._write_index(key, [each for each in indexed if each != ip])

    def _key_of(self, ip: Ip) -> str:
        """The key of the attachment in whose index an address is, "" if unknown."""
        key = self._read_sidecar(ip).get("index")
        if isinstance(key, str) and _KEY.fullmatch(key):
            return key
        owner = self._stated_owner(ip)  # older builds wrote sidecars without it
        return Attachment(basename(self._folder), *owner).key if owner else ""

    # --- paths ----------------------------------------------------------------------------------------------

    def _lease_path(self, ip: Ip) -> str:
        return f"{self._folder}/{ip}"

    def _cursor_path(self, number: int) -> str:
        return f"{self._folder}/{_CURSOR}{number}"

    def _sidecar_path(self, ip: Ip) -> str:
        return f"{self._sidecars}/{ip}"

    def _index_path(self, key: str) -> str:
        return f"{self._sidecars}.index/{key}"

    def _read_sidecar(self, ip: Ip) -> dict[str, Any]:
        found = self._read_json(self._sidecar_path(ip))
        return found if isinstance(found, dict) else {}

    def _read_json(self, path: str) -> Any:
        with _tolerating_one_file():
            return read_json(self._files, path)
        return None


@contextmanager
def _tolerating_one_file() -> Iterator[None]:
    """Ignore an error that concerns one file alone: other programs write to this directory too."""
    try:
        yield
    except IoFailure as error:
        if error.is_transient:
            raise
