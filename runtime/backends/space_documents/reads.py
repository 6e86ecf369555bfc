"""Commands that read documents."""

from __future__ import annotations

from typing import Any, cast

from pymongo.collation import Collation

from runtime.backends.space_documents.call import Call
from runtime.backends.space_documents.plans import shown_plan
from runtime.backends.space_documents.results import (
    Batches,
    of_found,
    of_list,
    read_documents,
    read_value,
    too_many,
)
from runtime.messages import DocumentAnswer


async def find(call: Call) -> DocumentAnswer:
    """As many documents as the bounds allow, without a limit of its own."""
    most = call.bounds.documents
    return of_list(await _found(call, min(call.option("limit") or most, most)))


async def find_one(call: Call) -> DocumentAnswer:
    """Or null."""
    documents = await _found(call, -1)  # no cursor stays open on the server
    return of_found(documents[0] if documents else None)


async def _found(call: Call, limit: int) -> list[Any]:
    cursor = call.collection.find_raw_batches(
        call.argument("query"),
        call.option("projection") or None,
        skip=call.option("skip") or 0,
        limit=limit,
        batch_size=max(limit, 0),
        sort=call.keys("sort"),
        hint=call.keys("hint"),
        max_time_ms=call.time_ms,
        session=call.session,
    )
    return await read_documents(cast("Batches", cursor), call.bounds, call.what)


async def aggregate(call: Call) -> DocumentAnswer:
    """All that the pipeline gives, or an error."""
    if call.option("explain"):
        return await _explain(call)
    cursor = await call.collection.aggregate_raw_batches(
        call.command.arguments["pipeline"],
        batchSize=call.bounds.documents + 1,
        maxTimeMS=call.time_ms,
        **_aggregation_options(call),
    )
    return of_list(await read_documents(cast("Batches", cursor), call.bounds, call.what))


async def _explain(call: Call) -> DocumentAnswer:
    command = {
        "aggregate": call.collection.name,
        "pipeline": call.command.arguments["pipeline"],
        "cursor": {},
        **_aggregation_options(call),
    }
    plan = await call.collection.database.command(
        {"explain": command, "verbosity": "queryPlanner", "maxTimeMS": call.time_ms}
    )
    shown = shown_plan(plan, call.collection.database.name)
    return of_list([await read_value(shown, call.bounds, call.what)])


def _aggregation_options(call: Call) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if call.option("allowDiskUse") is not None:
        options["allowDiskUse"] = call.option("allowDiskUse")
    if call.option("collation"):
        options["collation"] = Collation(**call.option("collation")).document
    return options


async def count(call: Call) -> DocumentAnswer:
    """Of documents."""
    page = {name: call.option(name) for name in ("limit", "skip") if call.option(name)}
    count = await call.collection.count_documents(
        call.argument("query"), maxTimeMS=call.time_ms, **page
    )
    return DocumentAnswer(affected=count, result=count)


async def distinct(call: Call) -> DocumentAnswer:
    """All values, or an error."""
    values = await call.collection.distinct(
        call.command.arguments["key"], call.argument("query"), maxTimeMS=call.time_ms
    )
    if len(values) > call.bounds.documents:
        raise too_many(call.what, call.bounds)
    return of_list(await read_value(values, call.bounds, call.what))
