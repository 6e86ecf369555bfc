"""Commands of functions in Redis."""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog

from runtime.backends.redis.connections import (
    RedisAnswerError,
    RedisConnections,
    RedisRefusedError,
    RedisUnansweredError,
)
from runtime.errors import CallerError, UnavailableError
from runtime.ports.redis import RedisCommands, RedisValue

_log = structlog.get_logger(__name__)

_SCANNED = b"500"
"""Keys that one step of a removal looks at: short enough for Redis, which does nothing else meanwhile."""
_OF_PATTERN = re.compile(rb"[\\*?\[\]^]")


class CommandsRedis(RedisCommands):
    """See `RedisCommands`."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections

    async def call(self, command: Sequence[bytes]) -> RedisValue:
        name = command[0].decode(errors="replace")
        try:
            return await self._connections.call(command)
        except RedisUnansweredError as error:
            _log.warning("redis_command_unanswered", command=name, error=str(error))
            raise CallerError(
                "RedisNoAnswer",
                f"Redis did not answer {name}, which may have been carried out or not: look before you send"
                " it again",
            ) from None
        except RedisRefusedError as error:
            raise CallerError("RedisError", str(error)) from None
        except RedisAnswerError as error:
            raise CallerError(
                "RedisAnswerTooLarge",
                f"the answer to {name} is too large: {error}; ask for a part"
                " of it (what the command changes is changed)",
            ) from None

    async def remove(self, prefix: bytes) -> int:
        pattern = _OF_PATTERN.sub(rb"\\\g<0>", prefix) + b"*"
        removed, cursor = 0, b"0"
        while True:
            answer = await self._step(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", _SCANNED)
            match answer:
                case [bytes(cursor), list(keys)]:
                    found = [each for each in keys if isinstance(each, bytes)]
                case _:
                    raise UnavailableError("Redis answers SCAN with something else")
            if found:
                count = await self._step(b"UNLINK", *found)
                removed += count if isinstance(count, int) else 0
            if cursor == b"0":
                return removed

    async def _step(self, *command: bytes) -> RedisValue:
        try:
            return await self._connections.call(command)
        except (RedisRefusedError, RedisAnswerError) as error:
            raise UnavailableError(f"Redis does not remove keys: {error}") from None
