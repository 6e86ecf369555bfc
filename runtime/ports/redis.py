"""Commands of functions to a Redis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

RedisValue = bytes | int | list["RedisValue"] | None
"""An answer: text of any kind, a number, a list, or nothing."""


class RedisCommands(ABC):
    """Sends commands as they are: what may be sent, and with which keys, is decided before."""

    @abstractmethod
    async def call(self, command: Sequence[bytes]) -> RedisValue:
        """Send it once: its name and its arguments.

        Raises CallerError when Redis refuses it (code `RedisError`), or when the answer is beyond the store's
        bounds (`RedisAnswerTooLarge`): what the command changes is changed then, or when there is no answer
        to what was sent (`RedisNoAnswer`): it may have been carried out or not. Raises UnavailableError when
        it was not carried out: no connection in time, or Redis is not set or not able to serve it."""

    @abstractmethod
    async def remove(self, prefix: bytes) -> int:
        """Delete every key that begins so, in bounded batches; how many there were. Idempotent; keys that are
        made meanwhile may stay. Raises UnavailableError: some may be gone."""
