"""The answers to one sandbox's service calls, on their way to a sandbox that may not read them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sandbox.call_budget import Share
from sandbox.channel import Channel
from sandbox.frames import Reply


class Answers:
    """Sends them one at a time, so that not more than one waits in the transport; the others are counted.

    While more wait than the sandbox's bound, its further calls are not begun (`room`). Those that had
    begun still end: beyond the sandbox's and the worker's bound their answers must be dropped (`refuses`).
    """

    def __init__(self, channel: Channel, share: Share, *, max_bytes: int) -> None:
        self._channel = channel
        self._share = share
        self._max_bytes = max_bytes
        self._waiting_bytes = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()

    async def room(self) -> None:
        """Wait until the sandbox has read so much that another call may begin."""
        await self._room.wait()

    def refuses(self, envelope: bytes) -> bool:
        """True when it is too much to wait here."""
        return self._share.is_too_much(len(envelope))

    async def send(self, reply: Reply, *, before: Callable[[], bool]) -> None:
        """Send it when the sandbox has taken the earlier ones; `before` is called right before and says
        whether it is wanted still."""
        size = len(reply.envelope)
        self._count(size)
        self._share.take(size)
        try:
            async with self._turn:
                await self._channel.drain()
                if before():
                    self._channel.send(reply)
        finally:
            self._count(-size)
            self._share.give_back(size)

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        if self._waiting_bytes > self._max_bytes:
            self._room.clear()
        else:
            self._room.set()
