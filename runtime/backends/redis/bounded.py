"""Answers of Redis that may only be so large: a longer one ends the connection, not this program's memory.

It fits between redis-py's connection and its parser for the protocol's version 2, whose two reading methods
are all that it needs. The contract test of large answers fails when a version of redis-py reads otherwise."""

from __future__ import annotations

from redis._parsers.resp2 import _AsyncRESP2Parser
from redis.exceptions import RedisError, ResponseError


class AnswerTooLargeError(RedisError):
    """The rest of the answer was not read."""


def bounded_parser(bytes_max: int, items_max: int) -> type[_AsyncRESP2Parser]:
    """A parser class for connections. `items_max` counts each item of each list."""

    class BoundedParser(_AsyncRESP2Parser):
        """The bounds are those of one answer."""

        _bytes_left = 0
        _lines_left = 0

        @classmethod
        def parse_error(cls, response: str) -> ResponseError:
            """With its code, and never as one of redis-py's kinds: `runtime.backends.redis.connections`
            tells them apart."""
            return ResponseError(response)

        async def read_response(self, disable_decoding: bool = False):  # type: ignore[no-untyped-def]  # noqa: ANN202, FBT001, FBT002 - as redis-py has it
            self._bytes_left = bytes_max
            self._lines_left = items_max + 1
            return await super().read_response(disable_decoding=disable_decoding)

        async def _read(self, length: int) -> bytes:
            self._take(length)
            return await super()._read(length)

        async def _readline(self) -> bytes:
            """Each item, and each list, begins with a line."""
            self._lines_left -= 1
            if self._lines_left < 0:
                raise AnswerTooLargeError(f"it has more than {items_max} items")
            line = await super()._readline()
            self._take(len(line))
            return line

        def _take(self, length: int) -> None:
            self._bytes_left -= length
            if self._bytes_left < 0:
                raise AnswerTooLargeError(f"it has more than {bytes_max} bytes")

    return BoundedParser
