"""Whether Redis takes connections, where one is set, and whether functions can exhaust its memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from runtime.cli.doctor_addresses import CONNECT_TIMEOUT_S
from runtime.cli.doctor_findings import Finding, State
from runtime.errors import CallerError, OursError
from runtime.settings import Settings

_MEMORY = "maxmemory"
_POLICY = "maxmemory-policy"
_BUFFERS = "client-output-buffer-limit"
_ADVICE = (
    "Put into redis.conf, with a maxmemory that the machine can spare: `maxmemory 1gb`, `maxmemory-policy"
    " noeviction`, `client-output-buffer-limit normal 16mb 8mb 5` (docs/users.md, Redis for functions)."
)


def check_redis(settings: Settings) -> Finding:
    """None is set, or a server that takes our connections, and what it tells about its bounds."""
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
    return _asked(settings, where)


def _asked(settings: Settings, where: str) -> Finding:
    from runtime.wiring.adapters import read_redis_config

    try:
        config = asyncio.run(read_redis_config(settings, _MEMORY, _POLICY, _BUFFERS))
    except OursError as error:
        return Finding(
            name="redis",
            state=State.PROBLEM,
            text=error.message,
            next_step="Correct YUNHAN_REDIS_URL, YUNHAN_REDIS_PASSWORD_FILE and YUNHAN_REDIS_CA_FILE.",
        )
    except CallerError as error:
        return Finding(
            name="redis",
            state=State.OK,
            text=f"{where} takes connections; what bounds its memory could not be asked ({error.message})",
        )
    return redis_bounds(where, config)


def redis_bounds(where: str, config: Mapping[str, str]) -> Finding:
    """What the answers of `CONFIG GET` mean; those that are missing could not be asked."""
    lacking = list(_lacking(config))
    if lacking:
        return Finding(
            name="redis",
            state=State.WARNING,
            text=f"{where} takes connections, but functions of one space can exhaust it for all",
            details=lacking,
            next_step=_ADVICE,
        )
    unknown = [name for name in (_MEMORY, _POLICY, _BUFFERS) if name not in config]
    note = f"; not told: {', '.join(unknown)}" if unknown else " and bounds its memory"
    return Finding(name="redis", state=State.OK, text=f"{where} takes connections{note}")


def _lacking(config: Mapping[str, str]) -> Iterator[str]:
    if config.get(_MEMORY) == "0":
        yield f"{_MEMORY} is 0: what functions store grows until the machine has no memory left."
    policy = config.get(_POLICY, "noeviction")
    if policy != "noeviction":
        yield f"{_POLICY} is {policy}: what one space stores drives out keys of others and counts of rates."
    if _hard_limit_of_clients(config.get(_BUFFERS, "")) == "0":
        yield f"{_BUFFERS} normal is 0: the answer to one command may take all of its memory."


def _hard_limit_of_clients(value: str) -> str:
    """Of `normal 0 0 0 slave 268435456 ...`: name, hard limit, soft limit, seconds."""
    words = value.split()
    places = dict(zip(words[::4], words[1::4], strict=False))
    return places.get("normal", "")
