"""An IPAM plugin that does as it is told and remembers how it was called."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.harness.privatehost import PrivateHost

TYPE = "spy-ipam"
DIRECTORY = "/run/spy"

_SCRIPT = f"""#!/bin/sh
cd {DIRECTORY}
number=$(($(cat count) + 1))
echo $number >count
cat >call.$number.stdin
env -0 >call.$number.env
[ ! -f $CNI_COMMAND.stderr ] || cat $CNI_COMMAND.stderr >&2
[ ! -f $CNI_COMMAND.stdout ] || cat $CNI_COMMAND.stdout
[ ! -f $CNI_COMMAND.status ] || exit $(cat $CNI_COMMAND.status)
exit 0
"""


@dataclass(frozen=True)
class SpyCall:
    """One call: its verb, environment, and stdin as text."""

    verb: str
    env: dict[str, str]
    stdin: str

    @property
    def document(self) -> Any:
        """stdin as JSON."""
        return json.loads(self.stdin)


class Spy:
    """The plugin, installed in `directory` of a host; without orders every verb succeeds and ADD answers one address."""

    def __init__(self, host: PrivateHost) -> None:
        self.directory, self._host = f"{DIRECTORY}/bin", host
        host.write(f"{self.directory}/{TYPE}", _SCRIPT, mode=0o755)
        host.write(f"{DIRECTORY}/count", "0\n")
        self.answers(
            "ADD", {"cniVersion": "1.1.0", "ips": [{"address": "10.77.0.9/24", "gateway": "10.77.0.1"}]}
        )

    def answers(self, verb: str, document: Any, *, status: int = 0, stderr: str = "") -> None:
        """From now on the verb prints this document and text, and exits so."""
        self._host.write(f"{DIRECTORY}/{verb}.stdout", "" if document is None else json.dumps(document))
        self._host.write(f"{DIRECTORY}/{verb}.stderr", stderr)
        self._host.write(f"{DIRECTORY}/{verb}.status", str(status))

    def fails(self, verb: str, code: int, msg: str = "told to fail", details: str = "by the case") -> None:
        """From now on the verb fails with this error."""
        self.answers(verb, {"cniVersion": "1.1.0", "code": code, "msg": msg, "details": details}, status=1)

    @property
    def calls(self) -> list[SpyCall]:
        """Every call until now, oldest first."""
        count = int(self._host.read(f"{DIRECTORY}/count"))
        return [self._call(number) for number in range(1, count + 1)]

    @property
    def verbs(self) -> list[str]:
        """Their verbs."""
        return [call.verb for call in self.calls]

    def _call(self, number: int) -> SpyCall:
        pairs = self._host.read(f"{DIRECTORY}/call.{number}.env").split("\0")
        env = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return SpyCall(env["CNI_COMMAND"], env, self._host.read(f"{DIRECTORY}/call.{number}.stdin"))
