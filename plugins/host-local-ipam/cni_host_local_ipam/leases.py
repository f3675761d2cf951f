"""The pool on disk: the reference's files byte for byte, and beside them what only we know.

In dataDir/NAME a file named by the address holds `<container id> CR LF <ifname>`. What a lease needs beyond that (its boot) and the
index from attachment to addresses lie in `paths.LEASES_DIR`: a record is believed only while it names the lease's inode and
ctime, no record means that the lease lives, and a miss of the index means a scan.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cni_host_local_ipam.ranges import Ip, RangeSet, address_or_none
from cni_host_local_ipam.released import Released
from linkspan import paths

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


class Pool:
    """The leases of one network. Every method but `locked` wants the lock held."""

    def __init__(self, host: Host, folder: str) -> None:
        self._host = host
        self._files = host.files
        self._folder = folder
        name = sha256(folder.encode()).hexdigest()[:24]
        self._side = f"{paths.LEASES_DIR}/{name}"
        self._released = Released(host, name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that the reference holds, on the same file."""
        self._files.make_folder(self._folder, mode=0o755)
        with self._files.lock(f"{self._folder}/lock"):
            yield

    def taken(self) -> dict[str, Ip]:
        """The addresses that have a lease file, living or not, by file name."""
        found = {name: address_or_none(name) for name in self._files.names(self._folder)}
        return {name: ip for name, ip in found.items() if ip is not None}

    def is_free(self, ip: Ip) -> bool:
        """Whether nobody holds it: no file, an empty one (a crash of the reference), or one of an earlier boot."""
        content = self._files.read(f"{self._folder}/{ip}")
        return not content or self._is_of_earlier_boot(ip)

    def holder(self, ip: Ip) -> tuple[str, str] | None:
        """(container id, ifname) of a living lease; ifname "" in the form of long ago. None if it is free."""
        content = self._files.read(f"{self._folder}/{ip}")
        if not content or self._is_of_earlier_boot(ip):
            return None
        container_id, _, ifname = content.decode(errors="replace").strip().partition("\r\n")
        return container_id, ifname

    def leases_of(self, attachment: Attachment) -> tuple[Ip, ...]:
        """The addresses an attachment holds, from the index, or from all files where the index knows nothing or is outdated."""
        return self._indexed_leases(attachment) or tuple(
            ip for ip in self.taken().values() if self._is_held_by(ip, attachment)
        )

    def foreign_leases_of(self, attachment: Attachment) -> tuple[Ip, ...]:
        """As `leases_of`, but where the index does not help only leases that another implementation made are read."""
        ours = set(self._files.names(self._side))
        return self._indexed_leases(attachment) or tuple(
            ip for name, ip in self.taken().items() if name not in ours and self._is_held_by(ip, attachment)
        )

    def reserve(self, ip: Ip, attachment: Attachment) -> None:
        """Take a free address for an attachment: the index first, then the lease whole or not at all, then its boot."""
        path = f"{self._folder}/{ip}"
        known = dict.fromkeys((*map(str, self._indexed(attachment)), str(ip)))
        self._files.write(self._index_path(attachment), json.dumps(list(known)).encode())
        self._files.remove(path)
        content = f"{attachment.container_id.strip()}\r\n{attachment.ifname}".encode()
        self._files.create(path, content, aside=self._folder)
        stamp = self._files.stamp(path)
        record = {"stamp": stamp, "boot": self._host.boot}
        self._files.write(f"{self._side}/{ip}", json.dumps(record).encode())

    def move_on(self, number: int, ip: Ip) -> None:
        """Round robin in a range set goes on behind `ip`."""
        self._files.write(f"{self._folder}/last_reserved_ip.{number}", str(ip).encode())

    def release(self, ip: Ip) -> None:
        """Give an address back. An absent one is fine.

        The lease goes last: whoever is stopped between leaves a lease that the next DEL finds, never a record that nothing names.
        """
        self._files.remove(f"{self._side}/{ip}")
        if self._files.remove(f"{self._folder}/{ip}"):
            self._released.add(str(ip))

    def release_all(self, attachment: Attachment) -> None:
        """Give back what an attachment holds, and forget it."""
        for ip in self.leases_of(attachment):
            self.release(ip)
        for ip in self._indexed(attachment):
            # Another implementation may have given it back: it knows the lease and not what lies beside it.
            if self._files.read(f"{self._folder}/{ip}") is None:
                self._files.remove(f"{self._side}/{ip}")
        self._files.remove(self._index_path(attachment))

    def last_reserved(self, number: int) -> Ip | None:
        """Where round robin stands in a range set; None is "at the beginning"."""
        content = self._files.read(f"{self._folder}/last_reserved_ip.{number}")
        return address_or_none(content.decode(errors="replace").strip()) if content else None

    def next_free(self, number: int, one: RangeSet) -> Ip | None:
        """The next address of a set in round robin that nobody holds, but one that was given back lately only if there is no other.

        Of those it is the one that was given back first. None if every address is held.
        """
        taken, released = self.taken(), self._released.oldest_first()
        resting: list[Ip] = []
        for ip in one.candidates(self.last_reserved(number)):
            if str(ip) in taken and not self.is_free(ip):
                continue
            if str(ip) not in released:
                return ip
            resting.append(ip)
        return min(resting, key=lambda ip: released[str(ip)], default=None)

    def _is_held_by(self, ip: Ip, attachment: Attachment) -> bool:
        content = self._files.read(f"{self._folder}/{ip}")
        if not content:
            return False
        text = content.decode(errors="replace").strip()
        whole = f"{attachment.container_id}\r\n{attachment.ifname}"
        return text in (whole, attachment.container_id)

    def _is_of_earlier_boot(self, ip: Ip) -> bool:
        record = self._parsed(f"{self._side}/{ip}")
        if not isinstance(record, dict) or not isinstance(record.get("boot"), str):
            return False
        same_boot = record["boot"].split(" ")[0] == self._host.boot.split(" ")[0]
        stamp = self._files.stamp(f"{self._folder}/{ip}")
        return not same_boot and stamp is not None and record.get("stamp") == list(stamp)

    def _indexed(self, attachment: Attachment) -> tuple[Ip, ...]:
        found = self._parsed(self._index_path(attachment))
        names = found if isinstance(found, list) else []
        addresses = (address_or_none(str(each)) for each in names)
        return tuple(ip for ip in addresses if ip is not None)

    def _indexed_leases(self, attachment: Attachment) -> tuple[Ip, ...]:
        """What the index names; nothing unless the attachment holds all of it, for another implementation may have changed it."""
        indexed = self._indexed(attachment)
        return indexed if all(self._is_held_by(ip, attachment) for ip in indexed) else ()

    def _index_path(self, attachment: Attachment) -> str:
        return f"{self._side}.index/{attachment.key}"

    def _parsed(self, path: str) -> Any:
        data = self._files.read(path)
        try:
            return json.loads(data) if data else None
        except ValueError:
            return None
