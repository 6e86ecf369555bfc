"""Whether the broker takes connections, and what nobody can ask it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from runtime.cli.doctor_addresses import CONNECT_TIMEOUT_S
from runtime.cli.doctor_findings import Finding, State
from runtime.settings import Settings

_PORTS = {"amqp": 5672, "amqps": 5671}


def check_queue(settings: Settings) -> Finding:
    """In the program itself, or a RabbitMQ that takes connections."""
    if settings.queue_url == "memory:":
        return Finding(name="queue", state=State.OK, text="in the program itself (memory:)")
    try:
        url = urlsplit(settings.queue_url)
        address = (url.hostname or "", url.port or _PORTS[url.scheme])
    except (ValueError, KeyError):
        return Finding(
            name="queue",
            state=State.PROBLEM,
            text="YUNHAN_QUEUE_URL is no address of a queue",
            next_step="Set it to memory:, amqp://user@host/vhost or amqps://user@host/vhost.",
        )
    where = f"RabbitMQ at {address[0]}:{address[1]}"
    try:
        socket.create_connection(address, CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return Finding(
            name="queue",
            state=State.PROBLEM,
            text=f"{where} takes no connection: {error}",
            next_step="Start RabbitMQ, or correct YUNHAN_QUEUE_URL.",
        )
    believed_s = settings.queue_consumer_timeout_s
    return Finding(
        name="queue",
        state=State.OK,
        text=f"{where} takes connections (user, password and permissions not tried)",
        details=(
            (
                f"Its consumer_timeout was not asked, AMQP cannot: it is taken to be {believed_s} s"
                " (YUNHAN_QUEUE_CONSUMER_TIMEOUT_S)."
            ),
            (
                "What it is, in milliseconds:"
                " rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'"
            ),
        ),
    )
