"""Export and import of a collection as lines of canonical extended JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import bson
from bson import ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions
from pymongo import ReplaceOne
from pymongo.asynchronous.cursor import AsyncRawBatchCursor
from pymongo.errors import CursorNotFound

from runtime.backends.documents_mongodb import Document
from runtime.backends.space_documents.database import SpaceDatabase
from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.errors import UnavailableError
from runtime.threads import run_to_end

_AS_STORED: Final[CodecOptions[Document]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_CANONICAL: Final = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_BATCH: Final = 200
"""Documents in memory for one reader; the server sends fewer when they are large."""

_BATCH_TIME_S: Final = 60.0

_ORDER: Final[Sequence[Sequence[int]]] = (
    (-1,),  # MinKey
    (10,),  # null
    (1, 16, 18, 19),  # numbers
    (2, 14),  # texts
    (3,),  # objects
    (4,),  # arrays
    (5,),  # binary data
    (7,),  # ObjectIds
    (8,),  # booleans
    (9,),  # dates
    (17,),  # timestamps
    (11,),  # regular expressions
    (127,),  # MaxKey
)
"""Numbers of the types in the order of ids. `$gt` finds values of the same group only."""


class _CursorLostError(Exception):
    """The server forgot it, as when the reader was slow."""


async def export_lines(
    database: SpaceDatabase, collection: str, after: str | None
) -> AsyncIterator[bytes]:
    """See `SpaceDocuments.export`. A lost cursor is opened again after the last document that it gave."""
    condition = {} if after is None else _later(_id_of(after))
    documents = database.database.get_collection(collection, codec_options=_AS_STORED)
    while True:
        went_on = False
        cursor = documents.find_raw_batches(condition, sort=[("_id", 1)], batch_size=_BATCH)
        try:
            while (batch := await _next_batch(database, cursor, collection)) is not None:
                if not batch:
                    continue
                lines, last = await run_to_end(_lines_of, batch)
                condition = _later(last)
                went_on = True
                for line in lines:
                    yield line
        except _CursorLostError:
            if not went_on:
                raise UnavailableError(
                    f"document database loses the cursor of an export (collection {collection})"
                ) from None
        else:
            return
        finally:
            await cursor.close()


async def load_lines(database: SpaceDatabase, collection: str, lines: Sequence[bytes]) -> int:
    """See `SpaceDocuments.load`. In the order given, up to the first that is refused."""
    if not lines:
        return 0
    writes = await run_to_end(_writes_of, lines)
    documents = database.database.get_collection(collection, codec_options=_AS_STORED)
    async with database.answers(f"import into collection {collection}", _BATCH_TIME_S):
        await documents.bulk_write(writes, ordered=True)
    return len(lines)


async def _next_batch(
    database: SpaceDatabase, cursor: AsyncRawBatchCursor[Any], collection: str
) -> bytes | None:
    async with database.answers(f"export of collection {collection}", _BATCH_TIME_S):
        try:
            batch: bytes | None = await anext(cursor, None)
        except CursorNotFound as error:
            raise _CursorLostError from error
    return batch


def _lines_of(batch: bytes) -> tuple[list[bytes], Any]:
    """And the last id."""
    documents = bson.decode_all(batch, _AS_STORED)
    return (
        [json_util.dumps(each, json_options=_CANONICAL).encode() + b"\n" for each in documents],
        documents[-1]["_id"],
    )


def _writes_of(lines: Sequence[bytes]) -> list[ReplaceOne[Document]]:
    documents = [_document_of(line, number) for number, line in enumerate(lines, 1)]
    return [ReplaceOne({"_id": _exactly(each["_id"])}, each, upsert=True) for each in documents]


def _exactly(document_id: Any) -> Any:
    """An id that is no condition. The embedded server finds it by its index without an operator only."""
    is_plain = isinstance(document_id, str | int | float | ObjectId)
    return document_id if is_plain else {"$eq": document_id}


def _document_of(line: bytes, number: int) -> Document:
    document = _parsed(line, f"line {number}")
    if not isinstance(document, dict):
        raise DatabaseError(BAD_VALUE, f"line {number} is no document in extended JSON")
    if "_id" not in document:
        raise DatabaseError(BAD_VALUE, f"line {number} is a document without _id")
    for key in document:
        if key.startswith("$"):
            raise DatabaseError(BAD_VALUE, f"line {number} has a key with $ in front")
    return document


def _id_of(text: str) -> Any:
    return _parsed(text, "the id to go on after")


def _parsed(text: bytes | str, what: str) -> Any:
    try:
        return json_util.loads(text, json_options=_CANONICAL)
    except (
        ArithmeticError,
        AttributeError,
        BSONError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise DatabaseError(
            BAD_VALUE, f"{what} is no extended JSON ({type(error).__name__}: {str(error)[:200]})"
        ) from None


def _later(last: Any) -> Mapping[str, Any]:
    """Everything that comes after `last` in the order of ids."""
    kind = bson.encode({"": last}, codec_options=_AS_STORED)[4]
    kind = -1 if kind == 255 else kind
    groups = [index for index, group in enumerate(_ORDER) if kind in group]
    after = [each for group in _ORDER[groups[0] + 1 :] for each in group] if groups else []
    conditions: list[Document] = [{"_id": {"$gt": last}}]
    if after:
        conditions.append({"_id": {"$type": after}})
    return {"$or": conditions}
