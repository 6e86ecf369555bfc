"""Whether the server lives, asked when a command got no answer: only then the command is to blame."""

from __future__ import annotations

import asyncio
from typing import Final

from pymongo.errors import PyMongoError

from runtime.backends.documents_mongodb import Client

_PING_S: Final = 1.0
"""A server that takes longer is not well. With the usual time of a command and the grace less than the SDKs'
5 s, unless the command waited long for room."""


class ServerHealth:
    """Asks over connections that no command of a space can hold, and once for all who want to know."""

    def __init__(self, client: Client) -> None:
        """`client`: not the one whose commands wait."""
        self._client = client
        self._asking: asyncio.Task[bool] | None = None

    async def is_well(self) -> bool:
        """Whether the server answers a command that nothing can be wrong with."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="ask whether the database is well")
        return await asyncio.shield(self._asking)  # who gives up takes the answer from nobody

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(_PING_S):
                await self._client.admin.command("ping")
        except (PyMongoError, TimeoutError):
            return False
        return True
