"""The database service before a real server, for tests that hold it against the model of a collection."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import bson
import orjson
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_mongodb import connect
from runtime.backends.space_documents.values import json_value
from runtime.backends.space_documents_mongodb import SpaceDocumentsMongodb, database_name
from runtime.documents.operators import OperatorLimits
from runtime.documents.owner import OWNER_FIELD
from runtime.documents.rules import Rules
from runtime.documents.transaction_room import TransactionBounds
from runtime.documents.transactions import Transactions
from runtime.errors import CallerError
from runtime.services.documents import DocumentLimits, DocumentService
from tests.harness.database_service import roomy
from tests.harness.document_model import Entry
from tests.harness.document_model_values import Date, ObjectId

T = TypeVar("T")

SPACE = "model"

_LIMITS = DocumentLimits(
    operators=OperatorLimits(),
    documents=500,
    answer_bytes=8 * 1024 * 1024,
    time_ms=1000,
    client_time_max_ms=3000,
    trusted_time_max_ms=60_000,
)
_TRANSACTIONS = TransactionBounds(per_user=50, per_space=50, total=500, reserved_percent=0)


@dataclass(frozen=True)
class Told:
    """What the service gave: `data`, or the code of a CallerError."""

    data: Mapping[str, Any] | None = None
    code: str = ""


@dataclass
class Stage:
    """A service with one space, in an event loop of its own: state machines of hypothesis know none."""

    runner: asyncio.Runner
    service: DocumentService
    database: AsyncDatabase[dict[str, Any]]
    embedded: bool
    asked: Counter[str] = field(default_factory=Counter)
    """How many of each command were answered without an error."""
    refused: Counter[str] = field(default_factory=Counter)
    """How many were refused, by code."""

    def trusted(self, params: Mapping[str, Any], user_id: str | None = None) -> Told:
        return self._told(params, self.service.trusted(SPACE, params, user_id=user_id))

    def client(self, params: Mapping[str, Any], rules: Rules, user_id: str | None) -> Told:
        return self._told(params, self.service.for_client(SPACE, rules, user_id, params))

    def _told(self, params: Mapping[str, Any], asking: Coroutine[Any, Any, bytes]) -> Told:
        try:
            answer = self._run(asking)
        except CallerError as error:
            self.refused[error.code] += 1
            return Told(code=error.code)
        assert OWNER_FIELD.encode() not in answer
        self.asked[params["command"]] += 1
        return Told(orjson.loads(answer))

    def contents(self, collection: str) -> list[Entry]:
        """All documents as they are stored, in the server's order; read past the service."""

        async def read() -> list[dict[str, Any]]:
            return await self.database[collection].find({}).to_list()

        return [_entry(each) for each in self._run(read())]

    def clear(self, collection: str) -> None:
        """Nothing is in the collection, which exists."""

        async def clear() -> None:
            await self.database[collection].insert_one({})
            await self.database[collection].delete_many({})

        self._run(clear())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


@contextmanager
def staged(url: str, *, embedded: bool) -> Iterator[Stage]:
    """For a test; a real server keeps nothing of it."""
    prefix = f"t{uuid.uuid4().hex[:8]}_"
    with asyncio.Runner() as runner:
        opened = _opened(url, prefix, embedded=embedded)
        service, database = runner.run(opened.__aenter__())
        try:
            yield Stage(runner, service, database, embedded)
        finally:
            runner.run(opened.__aexit__(None, None, None))


@asynccontextmanager
async def _opened(
    url: str, prefix: str, *, embedded: bool
) -> AsyncIterator[tuple[DocumentService, AsyncDatabase[dict[str, Any]]]]:
    async with connect(url, timeout_s=20) as client:
        documents = SpaceDocumentsMongodb(client, prefix=prefix)
        transactions = Transactions(
            documents,
            process_id="0" * 16,
            idle_s=60,
            life_s=60,
            bounds=_TRANSACTIONS,
            waiting_max=16,
        )
        database = client[database_name(prefix, SPACE)]
        async with transactions.open():
            service = DocumentService(
                documents=documents, transactions=transactions, limits=_LIMITS, rooms=roomy()
            )
            yield service, database
        if not embedded:  # dropping is slow in the embedded one, which goes as a whole
            await client.drop_database(database)


def _entry(document: dict[str, Any]) -> Entry:
    owner = document.pop(OWNER_FIELD, None)
    return Entry(_kept(document), owner)


def _kept(value: Any) -> Any:
    """A BSON value as the model keeps it."""
    if isinstance(value, dict):
        return {key: _kept(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_kept(each) for each in value]
    if isinstance(value, bson.ObjectId):
        return ObjectId(str(value))
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, int):
        return int(value)  # Int64
    return Date(json_value(value))
