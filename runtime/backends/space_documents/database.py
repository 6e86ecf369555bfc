"""The database of one space: commands reach it and no other, and nobody waits for it without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pymongo
import structlog
from pymongo import ReadPreference, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession

from runtime.backends.documents_mongodb import Client
from runtime.backends.space_documents.administration import administer, is_administration
from runtime.backends.space_documents.call import Call, operation_of
from runtime.backends.space_documents.commands import carry_out
from runtime.backends.space_documents.errors import ServerFailedError, TooSlowError, told
from runtime.backends.space_documents.health import ServerHealth
from runtime.backends.space_documents.values import CODEC
from runtime.documents.owner import asked_verb
from runtime.messages import READS, CommandBounds, DocumentAnswer, DocumentCommand

_GRACE_S: Final = 1.5
"""For the server's own answer that a command took too long."""

_log = structlog.get_logger(__name__)


class SpaceDatabase:
    """Confirmed changes survive the loss of any minority of the servers, whatever the URL says."""

    def __init__(self, client: Client, name: str, health: ServerHealth) -> None:
        """Neither waits nor fails."""
        self.name = name
        self._health = health
        self.database = client.get_database(
            name,
            codec_options=CODEC,
            write_concern=WriteConcern(w="majority", j=True),
            read_preference=ReadPreference.PRIMARY,
        )

    async def run(
        self,
        command: DocumentCommand,
        bounds: CommandBounds,
        session: AsyncClientSession | None = None,
    ) -> DocumentAnswer:
        """Of a command of BSON values. Raises as `SpaceDocuments.run`."""
        try:
            async with self.answers(operation_of(command), bounds.time_ms / 1000):
                if is_administration(command.verb):
                    return await administer(self.database, command, bounds)
                collection = self.database[command.collection]
                return await carry_out(
                    Call(collection=collection, command=command, bounds=bounds, session=session)
                )
        except TooSlowError as error:
            if not await self._health.is_well():
                raise
            raise error.as_callers(
                time_ms=bounds.time_ms, unknown=session is None and command.verb not in READS
            ) from error
        except ServerFailedError as error:
            if not await self._health.is_well():
                raise
            _log.warning("database_command_failed", command=asked_verb(command), code=error.number)
            raise error.as_callers() from error

    @asynccontextmanager
    async def answers(self, what: str, time_s: float) -> AsyncIterator[None]:
        """The driver's errors leave the block as ours.

        The server ends a command that takes longer than its maxTimeMS, and says so. The driver's own limit
        would fall into the same moment and often win, so it is off: a moment later nobody waits."""
        with told(what, self.name), pymongo.timeout(0):
            async with asyncio.timeout(time_s + _GRACE_S):
                yield
