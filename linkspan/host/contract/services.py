"""Long-lived processes of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Services(Protocol):
    """The long-lived processes of this host's network namespace."""

    def ask(
        self, service: str, message: Mapping[str, Any], *, start: bool = True
    ) -> Mapping[str, Any] | None:
        """The reply of the service of that name (`paths`) to a message, both JSON objects.

        A service that does not run is started; without `start` its reply is None. Every message may be
        repeated. Raises the CniError that it replies, TryAgain if it does not reply, and IoFailure if it
        does not start.
        """

    def pid(self, service: str) -> int:
        """The process of the service of that name, 0 if none answers."""
