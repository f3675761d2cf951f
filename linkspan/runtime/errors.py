"""What a command can fail with, one class for each code of docs/networks.md.

A person sees what happened and the code, by what, and what to do:

    error: network custom is in use (LS-N003)
      by:  container web (eth0, 172.18.0.2/16)
      fix: linkspan disconnect custom web
"""

from __future__ import annotations

from collections.abc import Iterable


class CommandError(Exception):
    """A command that fails. `what` is one sentence; `by` are the causes, one a line; `fix` is what to
    do, best a command.
    """

    code = "LS-G001"
    status = 1

    def __init__(self, what: str, *, by: Iterable[str] = (), fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.by = tuple(by)
        self.fix = fix

    def __str__(self) -> str:
        lines = [f"{self.what} ({self.code})"]
        lines += [f"  {'by:' if not number else '   '}  {each}" for number, each in enumerate(self.by)]
        return "\n".join([*lines, *([f"  fix: {self.fix}"] if self.fix else [])])


class Usage(CommandError):
    """An option or argument with an invalid value."""

    code = "LS-G002"
    status = 2


class NeedsRoot(CommandError):
    """Only root can do this."""

    code = "LS-G003"
    status = 5


class NetworkExists(CommandError):
    """There is a network of that name."""

    code = "LS-N001"
    status = 4


class NoSuchNetwork(CommandError):
    """No network has that name or ID."""

    code = "LS-N002"
    status = 3


class NetworkInUse(CommandError):
    """Containers are attached to the network."""

    code = "LS-N003"
    status = 4


class SubnetInUse(CommandError):
    """A subnet overlaps another network, a link or a route of the host."""

    code = "LS-N004"
    status = 4


class NoFreeSubnet(CommandError):
    """Every subnet of the default pools is in use."""

    code = "LS-N005"
    status = 4


class PredefinedNetwork(CommandError):
    """The network cannot be created, changed or removed, because a runtime defines it."""

    code = "LS-N006"
    status = 4


class AmbiguousNetwork(CommandError):
    """Several networks match."""

    code = "LS-N007"
    status = 2


class BridgeInUse(CommandError):
    """The name of a network's bridge is taken."""

    code = "LS-N008"
    status = 4


class UnfitList(CommandError):
    """A list that cannot be changed in place."""

    code = "LS-N009"
    status = 4


class NoSuchContainer(CommandError):
    """No container has that name or ID."""

    code = "LS-C001"
    status = 3


class AmbiguousContainer(CommandError):
    """Several containers match."""

    code = "LS-C002"
    status = 2


class NotRunning(CommandError):
    """The container has no network namespace, because it does not run."""

    code = "LS-C003"
    status = 4


class NoSuchProgram(CommandError):
    """The host has no such program."""

    code = "LS-C004"
    status = 127


class CannotExecute(CommandError):
    """A program that the kernel does not execute."""

    code = "LS-C005"
    status = 126


class CannotConnect(CommandError):
    """A container cannot be attached to a network, or detached from it, by us."""

    code = "LS-C006"
    status = 4


class AlreadyConnected(CommandError):
    """The container is on the network."""

    code = "LS-C007"
    status = 4


class NotConnected(CommandError):
    """The container is not on the network."""

    code = "LS-C008"
    status = 3


class NotPublished(CommandError):
    """The container has no such published port."""

    code = "LS-P002"
    status = 3
