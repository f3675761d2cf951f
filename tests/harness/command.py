"""The `linkspan` command in a private host, and what it shows."""

from __future__ import annotations

import json
from typing import Any

from tests.harness import ours
from tests.harness.privatehost import PrivateHost


class Command:
    """`linkspan` in a host."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host

    def __call__(self, *arguments: str) -> Any:
        """Run it, whatever comes of it."""
        return self.host.run([*ours.COMMAND, *arguments], check=False)

    def output(self, *arguments: str) -> str:
        """Run it and return what it printed."""
        done = self(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return str(done.stdout)

    def addresses(self, network: str) -> dict[str, list[str]]:
        """Container -> addresses on a network."""
        found = json.loads(self.output("ps", network, "--output", "json"))
        return {each["Names"]: each["Addresses"] for each in found}

    def networks(self, *options: str) -> dict[str, list[str]]:
        """Container -> its networks, as `ps` shows them."""
        found: dict[str, list[str]] = {}
        for each in json.loads(self.output("ps", "--all", "--output", "json", *options)):
            found.setdefault(each["Names"], []).append(each["Network"])
        return found
