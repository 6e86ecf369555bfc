"""Commands that write documents."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import pymongo
from pymongo import ReturnDocument
from pymongo.errors import ExecutionTimeout, WriteConcernError

from runtime.backends.space_documents.call import Call
from runtime.backends.space_documents.errors import of_reply
from runtime.backends.space_documents.results import (
    of_inserted,
    of_many_inserted,
    of_updated,
    read_value,
    with_id,
)
from runtime.documents.errors import MAX_TIME_EXPIRED, looked_at_documents
from runtime.messages import DocumentAnswer

_MARGIN_S: Final = 0.25
"""Between the time of a write of one document and the moment at which nobody waits for it any more."""

_TOO_LARGE: Final = "; the command itself was carried out, ask for less with projection"
_TOO_LARGE_IN_TRANSACTION: Final = (
    "; the transaction is rolled back, begin it again and ask for less with projection"
)


async def insert_one(call: Call) -> DocumentAnswer:
    """An `_id` is made where none is."""
    document = with_id(call.argument("doc"))
    await call.collection.insert_one(document, session=call.session)
    return of_inserted(document["_id"])


async def insert_many(call: Call) -> DocumentAnswer:
    """In the order given, up to the first that is refused: the error says how many were inserted."""
    documents = [with_id(each) for each in call.command.arguments["docs"]]
    await call.collection.insert_many(documents, ordered=True)
    return of_many_inserted([each["_id"] for each in documents])


async def update_one(call: Call) -> DocumentAnswer:
    """Counts documents that were changed, not found."""
    with _limited(call):
        result = await call.collection.update_one(
            call.argument("filter"),
            call.command.arguments["update"],
            upsert=bool(call.option("upsert")),
            array_filters=call.option("arrayFilters"),
            session=call.session,
        )
    return of_updated(result.modified_count, [result.upserted_id] if result.did_upsert else [])


async def replace_one(call: Call) -> DocumentAnswer:
    """Likewise."""
    with _limited(call):
        result = await call.collection.replace_one(
            call.argument("filter"),
            call.argument("doc"),
            upsert=bool(call.option("upsert")),
            session=call.session,
        )
    return of_updated(result.modified_count, [result.upserted_id] if result.did_upsert else [])


async def delete_one(call: Call) -> DocumentAnswer:
    """Counts documents that were deleted."""
    with _limited(call):
        result = await call.collection.delete_one(call.argument("filter"), session=call.session)
    return DocumentAnswer(affected=result.deleted_count)


async def update_many(call: Call) -> DocumentAnswer:
    """As `update_one`."""
    update = {
        "q": call.argument("filter"),
        "u": call.command.arguments["update"],
        "multi": True,
        "upsert": bool(call.option("upsert")),
    }
    if call.option("arrayFilters") is not None:
        update["arrayFilters"] = call.option("arrayFilters")
    reply = await _write_many(call, {"update": call.collection.name, "updates": [update]})
    upserted = [each.get("_id") for each in reply.get("upserted", ())]
    return of_updated(reply.get("nModified", 0), upserted)


async def delete_many(call: Call) -> DocumentAnswer:
    """As `delete_one`."""
    delete = {"q": call.argument("filter"), "limit": 0}
    reply = await _write_many(call, {"delete": call.collection.name, "deletes": [delete]})
    return DocumentAnswer(affected=reply.get("n", 0))


async def _write_many(call: Call, command: Mapping[str, Any]) -> Mapping[str, Any]:
    """The driver has no time limit for these, and would not repeat them either. The server gives up at the
    first document that fails and does not say how many it changed until then."""
    database = call.collection.database
    note = "; some documents may have been changed"
    try:
        reply: Mapping[str, Any] = await database.command(
            {
                **command,
                "maxTimeMS": call.time_ms,
                "writeConcern": call.collection.write_concern.document,
            },
            codec_options=call.collection.codec_options,
        )
    except ExecutionTimeout as error:
        details = {"errmsg": str(error), **(error.details or {}), "code": MAX_TIME_EXPIRED}
        raise of_reply(details, call.what, database.name, note) from error
    if reply.get("writeErrors"):
        first = reply["writeErrors"][0]
        begun = looked_at_documents(first.get("code"), str(first.get("errmsg")))
        raise of_reply(first, call.what, database.name, note if begun else "")
    if reply.get("writeConcernError"):
        problem = reply["writeConcernError"]
        raise WriteConcernError(problem.get("errmsg", ""), problem.get("code"), problem)
    return reply


async def find_one_and_update(call: Call) -> DocumentAnswer:
    """The document before, or after with `returnNewDocument`."""
    after = bool(call.option("returnNewDocument"))
    found = await call.collection.find_one_and_update(
        call.argument("filter"),
        call.command.arguments["update"],
        upsert=bool(call.option("upsert")),
        array_filters=call.option("arrayFilters"),
        return_document=ReturnDocument.AFTER if after else ReturnDocument.BEFORE,
        **_find_and_options(call),
    )
    return await _found_and(call, found)


async def find_one_and_replace(call: Call) -> DocumentAnswer:
    """The document before."""
    found = await call.collection.find_one_and_replace(
        call.argument("filter"),
        call.argument("replacement"),
        upsert=bool(call.option("upsert")),
        **_find_and_options(call),
    )
    return await _found_and(call, found)


async def find_one_and_delete(call: Call) -> DocumentAnswer:
    """The document that was deleted."""
    found = await call.collection.find_one_and_delete(
        call.argument("filter"), **_find_and_options(call)
    )
    return await _found_and(call, found)


def _find_and_options(call: Call) -> dict[str, Any]:
    return {
        "projection": call.option("projection") or None,
        "sort": call.keys("sort"),
        "session": call.session,
        "maxTimeMS": call.time_ms,
    }


async def _found_and(call: Call, found: Any) -> DocumentAnswer:
    """An upsert always changes one document, also when there was none before."""
    note = _TOO_LARGE_IN_TRANSACTION if call.session is not None else _TOO_LARGE
    document = await read_value(found, call.bounds, call.what, note)
    changed = document is not None or bool(call.option("upsert"))
    return DocumentAnswer(affected=int(changed), result=document)


def _limited(call: Call) -> AbstractContextManager[Any]:
    """For what takes no maxTimeMS: the driver makes one of the time that is left, repetitions included."""
    return pymongo.timeout(call.time_ms / 1000 + _MARGIN_S)
