"""One client connection whose answers are read strictly."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.harness.strict_http import WireAnswer, parse_answer

_ANSWER_MAX_S = 20.0
"""A hang is a failure that says where, not a test that runs out of time."""


class Wire:
    """One client connection that reads answers by the strict reader."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.unread = b""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, method: str = "GET") -> WireAnswer:
        """The next answer. Raises EOFError when the connection ends before it does."""
        async with asyncio.timeout(_ANSWER_MAX_S):
            while (found := parse_answer(self.unread, method=method)) is None:
                if not await self._more():
                    raise EOFError(f"the connection ended; unread: {self.unread[:200]!r}")
        answer, length = found
        self.unread = self.unread[length:]
        return answer

    async def rest(self) -> list[WireAnswer]:
        """All answers until the server ends the connection, and nothing else."""
        async with asyncio.timeout(_ANSWER_MAX_S):
            while await self._more():
                pass
        answers = []
        while self.unread:
            answers.append(await self.answer())
        return answers

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def _more(self) -> bool:
        try:
            data = await self.reader.read(65536)
        except ConnectionError:
            return False
        self.unread += data
        return bool(data)
