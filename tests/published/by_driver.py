"""Operations of a case through PyMongo: what the server does, without the product."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import pymongo
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from tests.published.case import THINGS, Step
from tests.published.driver_results import REFUSALS, failure_of, told

Database = AsyncDatabase[dict[str, Any]]

_OPTIONS: Final = {
    "arrayFilters": "array_filters",
    "batchSize": "batch_size",
    "allowDiskUse": "allow_disk_use",
    "returnDocument": "return_document",
    "verboseResults": "verbose_results",
    "fieldName": "key",
}
_METHODS: Final = {
    "aggregate": "aggregate",
    "countDocuments": "count_documents",
    "estimatedDocumentCount": "estimated_document_count",
    "distinct": "distinct",
    "find": "find",
    "findOne": "find_one",
    "insertOne": "insert_one",
    "insertMany": "insert_many",
    "updateOne": "update_one",
    "updateMany": "update_many",
    "replaceOne": "replace_one",
    "deleteOne": "delete_one",
    "deleteMany": "delete_many",
    "findOneAndUpdate": "find_one_and_update",
    "findOneAndReplace": "find_one_and_replace",
    "findOneAndDelete": "find_one_and_delete",
    "bulkWrite": "bulk_write",
    "createIndex": "create_index",
}
_MODELS: Final = {
    "insertOne": pymongo.InsertOne,
    "updateOne": pymongo.UpdateOne,
    "updateMany": pymongo.UpdateMany,
    "replaceOne": pymongo.ReplaceOne,
    "deleteOne": pymongo.DeleteOne,
    "deleteMany": pymongo.DeleteMany,
}


class DriverWay:
    """The sessions of one case on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sessions: dict[str, AsyncClientSession] = {}

    async def do(self, step: Step) -> Any:
        """Raises Failure."""
        arguments = dict(step.arguments)
        collection = arguments.pop("on", THINGS)
        session = self._session(step.who)
        try:
            if step.do in _OF_SESSIONS:
                assert session is not None
                return await _OF_SESSIONS[step.do](session)
            if step.do in _OTHERS:
                return told(await _OTHERS[step.do](self._database, collection, arguments, session))
            return await self._on_collection(step.do, collection, arguments, session)
        except REFUSALS as error:
            raise failure_of(error) from error

    async def close(self) -> None:
        """Aborts what is open."""
        for session in self._sessions.values():
            await session.end_session()

    def _session(self, who: str) -> AsyncClientSession | None:
        if not who:
            return None
        if who not in self._sessions:
            self._sessions[who] = self._database.client.start_session()
        return self._sessions[who]

    async def _on_collection(
        self,
        do: str,
        collection: str,
        arguments: dict[str, Any],
        session: AsyncClientSession | None,
    ) -> Any:
        method = getattr(self._database[collection], _METHODS[do])
        given = _given(arguments, in_command=do == "aggregate")
        if do == "find":
            return await method(**given, session=session).to_list()
        if do == "estimatedDocumentCount":
            return await method(**given)
        result = await method(**given, session=session)
        return await result.to_list() if do == "aggregate" else told(result)


def _given(arguments: Mapping[str, Any], *, in_command: bool = False) -> dict[str, Any]:
    """By the driver's names; aggregations take the server's (`in_command`)."""
    return {
        name if in_command else _OPTIONS.get(name, name): _value(name, value)
        for name, value in arguments.items()
    }


def _value(name: str, value: Any) -> Any:
    if name == "requests":
        return [_model(each) for each in value]
    if name == "returnDocument":
        return ReturnDocument.AFTER if value == "After" else ReturnDocument.BEFORE
    return value


def _model(request: Mapping[str, Any], namespace: str | None = None) -> Any:
    """`namespace` is the database's name, for what writes to several collections."""
    ((kind, arguments),) = request.items()
    given = _given({key: each for key, each in arguments.items() if key != "on"})
    if namespace is not None:
        given["namespace"] = f"{namespace}.{arguments.get('on', THINGS)}"
    return _MODELS[kind](**given)


async def _begin(session: AsyncClientSession) -> None:
    await session.start_transaction()


async def _commit(session: AsyncClientSession) -> None:
    await session.commit_transaction()


async def _abort(session: AsyncClientSession) -> None:
    await session.abort_transaction()


async def _leave(session: AsyncClientSession) -> None:
    await session.end_session()


_OF_SESSIONS: Final[Mapping[str, Callable[[AsyncClientSession], Awaitable[None]]]] = {
    "begin": _begin,
    "commit": _commit,
    "abort": _abort,
    "leave": _leave,
}

_Session = AsyncClientSession | None


async def _aggregate(
    database: Database, _: str, arguments: Mapping[str, Any], session: _Session
) -> Any:
    cursor = await database.aggregate(**_given(arguments, in_command=True), session=session)
    return await cursor.to_list()


async def _count(
    database: Database, collection: str, arguments: Mapping[str, Any], session: _Session
) -> Any:
    """The command of this name; the driver's method for it is gone."""
    page = {key: each for key, each in arguments.items() if key != "filter"}
    command = {"count": collection, "query": arguments["filter"], **page}
    return (await database.command(command, session=session))["n"]


async def _bulk_of_client(
    database: Database, _: str, arguments: Mapping[str, Any], session: _Session
) -> Any:
    models: Sequence[Any] = [_model(each, database.name) for each in arguments["models"]]
    options = _given({key: each for key, each in arguments.items() if key != "models"})
    return await database.client.bulk_write(models, **options, session=session)


async def _run_command(
    database: Database, _: str, arguments: Mapping[str, Any], session: _Session
) -> Any:
    reply = await database.command(dict(arguments), session=session)
    return {key: reply[key] for key in ("n",) if key in reply}


async def _create(
    database: Database, collection: str, arguments: Mapping[str, Any], session: _Session
) -> None:
    await database.create_collection(collection, **arguments, session=session)


async def _drop(
    database: Database, collection: str, _: Mapping[str, Any], session: _Session
) -> None:
    await database.drop_collection(collection, session=session)


async def _modify(
    database: Database, collection: str, arguments: Mapping[str, Any], session: _Session
) -> None:
    await database.command({"collMod": collection, **arguments}, session=session)


async def _exists(
    database: Database, collection: str, _: Mapping[str, Any], session: _Session
) -> bool:
    return collection in await database.list_collection_names()


async def _indexed(
    database: Database, collection: str, arguments: Mapping[str, Any], session: _Session
) -> bool:
    if not await _exists(database, collection, {}, None):
        return False
    return arguments["name"] in await database[collection].index_information()


_OTHERS: Final[
    Mapping[str, Callable[[Database, str, Mapping[str, Any], _Session], Awaitable[Any]]]
] = {
    "aggregateDatabase": _aggregate,
    "count": _count,
    "clientBulkWrite": _bulk_of_client,
    "runCommand": _run_command,
    "createCollection": _create,
    "dropCollection": _drop,
    "modifyCollection": _modify,
    "exists": _exists,
    "indexed": _indexed,
}
