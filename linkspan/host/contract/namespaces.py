"""Network namespaces of containers: which one is at a path, and whether anybody is left in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Netns:
    """A network namespace of this boot: its inode, and the kernel's number for it (SO_NETNS_COOKIE).

    An inode is used again after the namespace's end, the number is not. It is 0 before Linux 5.14.
    """

    inode: int
    cookie: int


class Namespaces(Protocol):
    """The network namespaces that can be seen from here."""

    def identify(self, path: str) -> Netns:
        """The namespace at a path. Raises NetnsGone, InvalidNetns, KernelRefused."""

    def is_held(self, netns: Netns, *, likely: str = "") -> bool:
        """Whether a process is in a namespace, or sees a mount of it; the path `likely` is looked at first.

        One that only an open descriptor keeps is not held, nor one that the kernel is taking down. Raises
        KernelRefused if it cannot be told.
        """
