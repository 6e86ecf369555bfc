"""What Redis tells about how it is set."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.backends.redis.connections import (
    RedisAnswerError,
    RedisConnections,
    RedisRefusedError,
    RedisSetError,
)
from runtime.backends.redis.options import RedisOptions
from runtime.errors import CallerError


async def read_config(options: RedisOptions, names: Iterable[str]) -> dict[str, str]:
    """The values of `CONFIG GET` by name; names that it does not know are left out.

    Raises UnavailableError when Redis takes no connection, and CallerError (code `RedisError`) when it takes
    one but does not tell: its user may not ask, or nobody may, as with many hosted ones."""
    told = {}
    async with RedisConnections.opened(options) as connections:
        for name in names:  # one at a time: before version 7 it takes no more
            try:
                answer = await connections.call([b"CONFIG", b"GET", name.encode()])
            except (RedisRefusedError, RedisSetError, RedisAnswerError) as error:
                raise CallerError("RedisError", str(error)) from None
            match answer:
                case [bytes(key), bytes(value)]:
                    told[key.decode(errors="replace")] = value.decode(errors="replace")
    return told
