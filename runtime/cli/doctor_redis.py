"""Whether Redis takes connections, where one is set."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from runtime.cli.doctor_addresses import CONNECT_TIMEOUT_S
from runtime.cli.doctor_findings import Finding, State
from runtime.settings import Settings


def check_redis(settings: Settings) -> Finding:
    """None is set, or a server that takes connections; user, password and rights are not tried."""
    if not settings.redis_url:
        return Finding(
            name="redis",
            state=State.OK,
            text="none is set: no redisCli, and rates count for one gateway",
        )
    url = urlsplit(settings.redis_url)  # the settings made sure that it is one
    address = (url.hostname or "", url.port or 6379)
    where = f"Redis at {address[0]}:{address[1]}"
    try:
        socket.create_connection(address, CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return Finding(
            name="redis",
            state=State.PROBLEM,
            text=f"{where} takes no connection: {error}",
            next_step="Start Redis, or correct YUNHAN_REDIS_URL.",
        )
    return Finding(
        name="redis",
        state=State.OK,
        text=f"{where} takes connections (user, password and rights not tried)",
    )
