"""Answers of the spec's form (database commands §5), and documents that are read no further than bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import bson
from bson.objectid import ObjectId

from runtime.backends.space_documents.values import CODEC, json_value
from runtime.documents.errors import OBJECT_TOO_LARGE, DatabaseError
from runtime.messages import CommandBounds, DocumentAnswer
from runtime.threads import run_to_end

_IN_PLACE_BYTES = 64 * 1024
"""What is read in the event loop; more would hold up others for milliseconds."""


class Batches(Protocol):
    """A cursor whose items are documents as the server sent them, one after the other in bytes."""

    def __aiter__(self) -> Batches: ...

    async def __anext__(self) -> bytes: ...

    async def close(self) -> None: ...


async def read_documents(cursor: Batches, bounds: CommandBounds, what: str) -> list[Any]:
    """All documents as JSON values; the cursor is closed. Raises DatabaseError when they are more than the
    bounds allow: a part of them would be taken for the whole."""
    documents: list[Any] = []
    size = 0
    try:
        async for batch in cursor:
            size += len(batch)
            if size > bounds.answer_bytes:
                raise too_large(what, bounds)
            documents += await _in_turn(_read_batch, batch, len(batch))
            if len(documents) > bounds.documents:
                raise too_many(what, bounds)
    finally:
        await cursor.close()
    return documents


async def read_value(value: Any, bounds: CommandBounds, what: str, note: str = "") -> Any:
    """Of one answered value. `note` says what was done nevertheless when it is too large."""
    if value is None:
        return None
    size = len(bson.encode({"": value}, codec_options=CODEC))
    if size > bounds.answer_bytes:
        raise too_large(what, bounds, note)
    return await _in_turn(json_value, value, size)


def too_large(what: str, bounds: CommandBounds, note: str = "") -> DatabaseError:
    """`note` instead of the advice to ask for less."""
    return DatabaseError(
        OBJECT_TOO_LARGE,
        f"{what}: the answer has more than {bounds.answer_bytes} bytes"
        f" (YUNHAN_DATABASE_ANSWER_MAX_BYTES){note or '; ask for less with limit or projection'}",
    )


def too_many(what: str, bounds: CommandBounds) -> DatabaseError:
    """For what has no limit of its own that could cut it."""
    return DatabaseError(
        OBJECT_TOO_LARGE,
        f"{what}: the answer has more than {bounds.documents} items"
        " (YUNHAN_DATABASE_DOCUMENTS_MAX); add a $limit or a narrower filter",
    )


def of_found(document: Any) -> DocumentAnswer:
    """A document or None."""
    return DocumentAnswer(affected=0 if document is None else 1, result=document)


def of_list(values: list[Any]) -> DocumentAnswer:
    """Documents or values."""
    return DocumentAnswer(affected=len(values), result=values)


def of_inserted(inserted_id: Any) -> DocumentAnswer:
    """One document."""
    return DocumentAnswer(
        affected=1, result={"insertedId": json_value(inserted_id), "ok": 1, "n": 1}
    )


def of_many_inserted(inserted_ids: Sequence[Any]) -> DocumentAnswer:
    """`insertedIds` beside the result is what the seed guide's sample reads."""
    ids = [json_value(each) for each in inserted_ids]
    return DocumentAnswer(
        affected=len(ids),
        result={str(index): each for index, each in enumerate(ids)},
        extra={"insertedIds": ids},
    )


def of_updated(modified: int, upserted: Sequence[Any]) -> DocumentAnswer:
    """`upserted` holds the id of a document that was made because none matched: it counts as changed."""
    return DocumentAnswer(
        affected=modified + len(upserted),
        result={"upsertedId": json_value(upserted[0])} if upserted else None,
    )


def with_id(document: dict[str, Any]) -> dict[str, Any]:
    """With an `_id`, which comes first."""
    return document if "_id" in document else {"_id": ObjectId(), **document}


def _read_batch(batch: bytes) -> list[Any]:
    return [json_value(each) for each in bson.decode_all(batch, CODEC)]


async def _in_turn(work: Any, value: Any, size: int) -> Any:
    return work(value) if size <= _IN_PLACE_BYTES else await run_to_end(work, value)
