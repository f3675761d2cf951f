"""All networks of the host, and which of them a word means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from linkspan.runtime import names
from linkspan.runtime.errors import AmbiguousNetwork, NoSuchNetwork
from linkspan.runtime.lists import NetworkList
from linkspan.runtime.network import Network, without_list


class Catalogue:
    """The networks that a configuration directory defines, and `host` and `none`.

    `namespace` is the containerd namespace that is preferred where two networks have one name.
    """

    def __init__(self, lists: Iterable[NetworkList], namespace: str) -> None:
        self._namespace = namespace
        self.defined = tuple(Network(each) for each in lists)
        self.all = tuple(
            sorted((*self.defined, without_list(names.HOST), without_list(names.NONE)), key=_natural)
        )

    def with_cached(self, lists: Iterable[NetworkList]) -> Catalogue:
        """The same with networks of which only libcni's cache has the list: it was removed under a
        container, or never written.
        """
        known = {each.name for each in self.all}
        added = {each.name: each for each in lists if each.name not in known}
        return Catalogue([*(each.list for each in self.defined), *added.values()], self._namespace)

    def find(self, word: str) -> Network:
        """The network of a name, an ID or the beginning of one, or NAMESPACE/NAME. Raises
        NoSuchNetwork, AmbiguousNetwork.
        """
        found = self._named(word) or self._identified(word)
        if not found:
            close = names.similar(word, (each.name for each in self.all))
            raise NoSuchNetwork(
                f"network {word} not found",
                fix=f"did you mean {' or '.join(close)}?" if close else "linkspan network ls",
            )
        if len({each.id for each in found}) > 1:
            raise AmbiguousNetwork(
                f"network {word} is ambiguous ({len(found)} matches found based on ID prefix)",
                by=[f"{each.name} {each.id[:12]}" for each in found],
                fix="give more digits, or the name",
            )
        return found[0]

    def named(self, name: str) -> Network | None:
        """The network of exactly that name, in whichever namespace."""
        return next(iter(self._named(name)), None)

    def _named(self, word: str) -> Sequence[Network]:
        """Those of a name: of the preferred namespace, then of the root, then of others."""
        namespace, slash, name = word.partition("/")
        if slash:
            return [each for each in self.all if (each.namespace, each.name) == (namespace, name)]
        order = {self._namespace: 0, "": 1}
        return sorted(
            (each for each in self.all if each.name == word), key=lambda each: order.get(each.namespace, 2)
        )

    def _identified(self, word: str) -> Sequence[Network]:
        return [each for each in self.all if word and each.id.startswith(word)]


def _natural(network: Network) -> tuple[list[tuple[int, int, str]], str]:
    """Docker's order: by name, numbers by value (net2 before net10)."""
    import re

    parts = re.split(r"([0-9]+)", network.name)
    key = [(0, int(each), "") if each[0] in "0123456789" else (1, 0, each) for each in parts if each]
    return key, network.namespace
