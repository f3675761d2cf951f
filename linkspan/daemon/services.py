"""The services of our network namespace: asking them, and starting those that do not run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from linkspan import paths
from linkspan.cni.errors import IoFailure, TryAgain
from linkspan.daemon.control import Client, Message, error_in, reach
from linkspan.daemon.service import Service

#: The supervisor with its workers.
RESIDENT = Service(paths.WORKERS, paths.workers_program(), systemd=True)
PORTS = Service(paths.PORTS, paths.ports_program(), role="ports", records=("relayed", "held"))
SERVICES: Mapping[str, Service] = {PORTS.name: PORTS}
#: Seconds: until a service that is started must answer, until one must reply, and between two attempts to
#: reach one and to start one.
START, REPLY = 8.0, 5.0
_INTERVAL, _AGAIN = 0.005, 1.0


class LinuxServices:
    """The contract's Services."""

    def ask(self, service: str, message: Mapping[str, Any], *, start: bool = True) -> Message | None:
        """See contract.Services."""
        return ask(SERVICES[service], message, start=start)

    def pid(self, service: str) -> int:
        """See contract.Services."""
        client = reach(paths.socket(paths.state_dir(), service), REPLY)
        if client is None:
            return 0
        with closing(client):
            return client.pid


def ask(service: Service, message: Mapping[str, Any], *, start: bool) -> Message | None:
    """See contract.Services."""
    deadline, started = time.monotonic() + START, 0.0
    while True:
        client = reach(service.socket, REPLY)
        if client is not None:
            reply = _reply(service, client, message)
            if reply is not None:
                return reply
        elif not start:
            return None
        now = time.monotonic()
        if now > deadline:
            raise IoFailure(f"the {service.role} process did not start", f"see {service.log}")
        if client is None and now - started > _AGAIN:
            service.start()
            started = now
        time.sleep(_INTERVAL)


def _reply(service: Service, client: Client, message: Mapping[str, Any]) -> Message | None:
    """The reply; None if the service was just exiting, so that its successor is to be asked."""
    with closing(client):
        try:
            reply = client.ask(message)
        except TimeoutError:
            raise TryAgain(
                f"the {service.role} process (pid {client.pid}) does not reply",
                "stop that process; the next call starts another",
            ) from None
        except ConnectionError:
            return None
        except (OSError, ValueError) as error:
            raise TryAgain(f"the connection to the {service.role} process was lost", str(error)) from None
    if not reply.get("ok"):
        raise error_in(reply)
    return reply
