"""`linkspan port`."""

from __future__ import annotations

import click

from linkspan.cli.places import container_argument, container_options, open_host, warn


@click.command()
@container_argument
@click.argument("port", required=False, metavar="[PORT[/PROTOCOL]]")
@container_options
def command(container: str, port: str | None, namespace: str | None, runtime: str | None) -> None:
    """Show where the host listens for the published ports of a container.

    The output has Docker's form, such as `80/tcp -> 0.0.0.0:8080`. PROTOCOL is tcp unless it is given.
    """
    from linkspan.runtime.attached import of_container
    from linkspan.runtime.attachments import Attachments
    from linkspan.runtime.errors import NotPublished
    from linkspan.runtime.rows import port_lines

    number, protocol = _parsed(port) if port is not None else (0, "")
    with open_host() as host:
        attachments = Attachments(host)
        found = attachments.containers.find(container, namespace=namespace, runtime=runtime)
        endpoints = of_container(found, attachments.with_containers())
        if attachments.incomplete:
            warn(attachments.incomplete)
    lines = port_lines(endpoints, number, protocol)
    if number and not lines:
        raise NotPublished(
            f"no public port '{number}/{protocol}' published for {found.name}",
            fix=f"linkspan port {container}",
        )
    click.echo("".join(f"{each}\n" for each in lines), nl=False)


def _parsed(text: str) -> tuple[int, str]:
    """Port and protocol of PORT[/PROTOCOL]. Raises Usage."""
    from linkspan.runtime.errors import Usage

    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise Usage(f"invalid port {text!r}", fix="PORT or PORT/PROTOCOL, such as 80 or 53/udp")
    if protocol not in ("tcp", "udp", "sctp"):
        raise Usage(f"invalid protocol {protocol!r}", fix="tcp, udp or sctp")
    return int(number), protocol
