"""Collections and indexes of one space's database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from pymongo import ReadPreference, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_mongodb import Document
from runtime.backends.space_documents.arguments import check_own_collection
from runtime.backends.space_documents.results import of_list
from runtime.backends.space_documents.values import json_value
from runtime.documents.errors import DatabaseError
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand, Verb

_NAMESPACE_EXISTS: Final = 48
_HIDDEN: Final = frozenset({"v", "ns", "background"})
"""Of an index: nothing that anybody could use."""


async def administer(
    database: AsyncDatabase[Document], command: DocumentCommand, bounds: CommandBounds
) -> DocumentAnswer:
    """Raises the driver's errors, and DatabaseError."""
    database = database.with_options(
        write_concern=WriteConcern(w="majority", j=True), read_preference=ReadPreference.PRIMARY
    )
    return await _COMMANDS[command.verb](database, command, bounds)


def is_administration(verb: Verb) -> bool:
    """Whether `administer` takes it."""
    return verb in _COMMANDS


async def _collections(
    database: AsyncDatabase[Document], _: DocumentCommand, bounds: CommandBounds
) -> DocumentAnswer:
    names = await _names(database, bounds)
    return of_list(sorted(name for name in names if not name.startswith("system.")))


async def _create_collection(
    database: AsyncDatabase[Document], command: DocumentCommand, bounds: CommandBounds
) -> DocumentAnswer:
    """For one that exists newer servers raise nothing."""
    if await _names(database, bounds, name=command.collection):
        raise DatabaseError(
            _NAMESPACE_EXISTS, f"NamespaceExists: collection {command.collection} exists already"
        )
    await database.create_collection(
        command.collection, check_exists=False, maxTimeMS=bounds.time_ms
    )
    return DocumentAnswer(affected=0)


async def _drop(
    database: AsyncDatabase[Document], command: DocumentCommand, bounds: CommandBounds
) -> DocumentAnswer:
    """Idempotent; `affected` says whether there was one."""
    names = await _names(database, bounds, name=command.collection)
    await database.drop_collection(command.collection)
    return DocumentAnswer(affected=len(names))


async def _rename(
    database: AsyncDatabase[Document], command: DocumentCommand, bounds: CommandBounds
) -> DocumentAnswer:
    """Within this database: the driver puts its name before the new one."""
    new_name = command.arguments["newName"]
    check_own_collection(new_name)
    await database[command.collection].rename(new_name, maxTimeMS=bounds.time_ms)
    return DocumentAnswer(affected=1)


async def _list_indexes(
    database: AsyncDatabase[Document], command: DocumentCommand, _: CommandBounds
) -> DocumentAnswer:
    cursor = await database[command.collection].list_indexes()
    indexes = [dict(each) for each in await cursor.to_list()]
    return of_list(
        [
            {key: json_value(each) for key, each in index.items() if key not in _HIDDEN}
            for index in indexes
        ]
    )


async def _create_index(
    database: AsyncDatabase[Document], command: DocumentCommand, bounds: CommandBounds
) -> DocumentAnswer:
    field = command.arguments["field"]
    keys = {field: 1} if isinstance(field, str) else field
    options: dict[str, Any] = {
        name: command.options[name] for name in ("unique", "name") if name in command.options
    }
    name = await database[command.collection].create_index(
        list(keys.items()), maxTimeMS=bounds.time_ms, **options
    )
    return DocumentAnswer(affected=1, result={"name": name})


async def _drop_index(
    database: AsyncDatabase[Document], command: DocumentCommand, bounds: CommandBounds
) -> DocumentAnswer:
    """`*` drops all but that of `_id`. One that is not there is an error of the server: 27."""
    await database[command.collection].drop_index(
        command.arguments["dropIndex"], maxTimeMS=bounds.time_ms
    )
    return DocumentAnswer(affected=1)


async def _names(
    database: AsyncDatabase[Document], bounds: CommandBounds, **condition: str
) -> list[str]:
    return await database.list_collection_names(filter=condition or None, maxTimeMS=bounds.time_ms)


_Administer = Callable[
    [AsyncDatabase[Document], DocumentCommand, CommandBounds], Awaitable[DocumentAnswer]
]

_COMMANDS: Final[Mapping[Verb, _Administer]] = {
    Verb.COLLECTIONS: _collections,
    Verb.CREATE_COLLECTION: _create_collection,
    Verb.DROP_COLLECTION: _drop,
    Verb.RENAME_COLLECTION: _rename,
    Verb.LIST_INDEXES: _list_indexes,
    Verb.CREATE_INDEX: _create_index,
    Verb.DROP_INDEX: _drop_index,
}
