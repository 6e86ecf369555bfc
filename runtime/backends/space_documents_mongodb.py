"""The databases of spaces in a MongoDB server, one each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

from pymongo import ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from runtime.backends.documents_mongodb import Client
from runtime.backends.space_documents.administration import is_administration
from runtime.backends.space_documents.arguments import bson_command, check_own_collection
from runtime.backends.space_documents.commands import is_document_command
from runtime.backends.space_documents.database import SpaceDatabase
from runtime.backends.space_documents.health import ServerHealth
from runtime.backends.space_documents.transaction import MongodbTransaction
from runtime.backends.space_documents.transfer import export_lines, load_lines
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand, Verb
from runtime.ports import DocumentTransaction, SpaceDocuments
from runtime.threads import run_to_end

_NAME_BYTES_MAX: Final = 63
_PREFIX: Final = re.compile(r"[a-z0-9_]{0,16}")
_PLAIN: Final = re.compile(r"[a-z0-9-]{1,57}")
"""Ids that may stand in a name: no two databases may differ by capitals only."""

_DROP_TIME_S: Final = 60.0


class SpaceDocumentsMongodb(SpaceDocuments):
    """See `SpaceDocuments`. Neither the client nor its connections are closed here."""

    def __init__(self, client: Client, *, prefix: str, asking: Client | None = None) -> None:
        """`prefix`: of the databases' names, at most 16 small letters, digits and `_`. `asking`: another
        client of the same server, to ask whether it is well while all connections of `client` are busy."""
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{prefix!a} is no prefix of database names")
        self._client = client
        self._health = ServerHealth(asking or client)
        self._prefix = prefix

    async def run(
        self, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        if not is_document_command(command.verb) and not is_administration(command.verb):
            raise ValueError(f"{command.verb} is about a transaction")
        if command.verb is Verb.INSERT_MANY:  # may be megabytes: not in the event loop
            converted = await run_to_end(bson_command, command, bounds)
        else:
            converted = bson_command(command, bounds)
        return await self._database(space_id).run(converted, bounds)

    async def begin(self, space_id: str) -> DocumentTransaction:
        database = self._database(space_id)
        session = self._client.start_session()
        # Nothing is sent before the first command. "local" is a snapshot, too, inside a transaction of one
        # replica set, and the only one under which it may make collections.
        await session.start_transaction(
            read_concern=ReadConcern("local"),
            write_concern=WriteConcern(w="majority", j=True),
            read_preference=ReadPreference.PRIMARY,
        )
        return MongodbTransaction(session, database)

    def export(self, space_id: str, collection: str, *, after: str | None) -> AsyncIterator[bytes]:
        check_own_collection(collection)
        return export_lines(self._database(space_id), collection, after)

    async def load(self, space_id: str, collection: str, lines: Sequence[bytes]) -> int:
        check_own_collection(collection)
        return await load_lines(self._database(space_id), collection, lines)

    async def drop_space(self, space_id: str) -> None:
        database = self._database(space_id)
        async with database.answers(f"drop the database of space {space_id}", _DROP_TIME_S):
            await database.database.command(
                "dropDatabase", writeConcern=database.database.write_concern.document
            )

    def _database(self, space_id: str) -> SpaceDatabase:
        return SpaceDatabase(self._client, database_name(self._prefix, space_id), self._health)


def database_name(prefix: str, space_id: str) -> str:
    """Of a space: at most 63 bytes, another one for each id. An id that cannot stand in a name is hashed; the
    sign after `space` keeps both kinds apart, and both apart from the databases of the installation."""
    name = f"{prefix}space-{space_id}"
    if _PLAIN.fullmatch(space_id) and len(name) <= _NAME_BYTES_MAX:
        return name
    if not space_id:
        raise ValueError("a space has an id")
    digest = hashlib.sha256(space_id.encode(errors="surrogatepass")).hexdigest()[:40]
    return f"{prefix}space_{digest}"
