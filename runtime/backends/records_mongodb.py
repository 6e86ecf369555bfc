"""Invocation records in a document database: collection `records`.

Everything goes through narrow windows of time (`record_windows`), so that neither a page nor a count nor a
deletion occupies the embedded server for long; a real MongoDB does not mind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import bson
import structlog
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, PyMongoError

from runtime.backends.documents_mongodb import PASSING_CODES, Document, translated
from runtime.backends.record_codec import clean, record_from_document, record_to_document
from runtime.backends.record_counts import RecordCounts
from runtime.backends.record_windows import SLOT_MS, Window, plan, slot_of
from runtime.errors import UnavailableError
from runtime.messages import InvocationRecord
from runtime.ports import RecordQuery, RecordStore
from sandbox.api import OutcomeKind

_log = structlog.get_logger(__name__)

_RECORDS_PER_WINDOW = 1000
_DOCUMENT_MAX_BYTES = 12 * 1024 * 1024
"""Below the server's 16 MiB; a larger record loses its lines."""
_DUPLICATE_KEY = 11000


class RecordsMongodb(RecordStore):
    """See `RecordStore`. Call `ensure_indexes` once per program start.

    A record that cannot be stored is logged and left out; the others of its batch are stored.

    `find`: the total is exact up to `count_max` matches or `count_s` seconds of counting, whichever is
    reached first; beyond, it is a lower bound that still covers the page. A page that is not filled after
    `find_s` seconds (a rare match in very many records) raises UnavailableError.

    `prune`: records of the same millisecond as the oldest one that is kept are kept too.
    """

    def __init__(
        self,
        database: AsyncDatabase[Document],
        *,
        count_max: int = 5000,
        count_s: float = 1.0,
        find_s: float = 20.0,
    ) -> None:
        self._raw = database["records"].with_options(bson.CodecOptions(RawBSONDocument))
        self._records = database["records"]
        self._counts = RecordCounts(database)
        self._count_max = count_max
        self._count_s = count_s
        self._find_s = find_s

    async def ensure_indexes(self) -> None:
        """Make what is missing. Idempotent. Raises UnavailableError."""
        with translated("make indexes of the invocation records"):
            await self._records.create_indexes(
                [
                    IndexModel([("s", ASCENDING), ("t", ASCENDING)]),
                    IndexModel([("s", ASCENDING), ("f", ASCENDING), ("t", ASCENDING)]),
                ]
            )
            await self._counts.ensure_indexes()

    async def insert(self, records: Sequence[InvocationRecord]) -> None:
        storable = [
            (record, document) for record in records if (document := _encode(record)) is not None
        ]
        documents = [document for _, document in storable]
        if not documents:
            return
        with translated(f"insert {len(documents)} invocation records"):
            await self._counts.announce((each.space_id, each.started_ms) for each, _ in storable)
            left_out: set[int] = set()
            try:
                await self._raw.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                left_out = _left_out(error, documents)
            stored = [record for i, (record, _) in enumerate(storable) if i not in left_out]
            try:
                await self._counts.add((each.space_id, each.started_ms) for each in stored)
            except PyMongoError as error:  # hints: the records are stored, so this is no failure
                self._counts.doubt()
                _log.warning("record_counts_behind", records=len(stored), error=str(error)[:200])

    async def find(
        self, query: RecordQuery, *, offset: int, limit: int, newest_first: bool = True
    ) -> tuple[Sequence[InvocationRecord], int]:
        if query.request_id is not None:
            return await self._find_by_id(query, offset=offset, limit=limit)
        span = Window(from_ms=query.from_ms, to_ms=query.to_ms)
        with translated(f"find invocation records of space {query.space_id}"):
            counts = await self._counts.of_space(query.space_id, span)
            windows = plan(counts, span=span, records_per_window=_RECORDS_PER_WINDOW)
            if not newest_first:
                windows = windows[::-1]
            walk = _Walk(offset=offset, limit=max(0, limit), newest_first=newest_first)
            now = asyncio.get_running_loop().time
            started = now()
            for left, window in zip(range(len(windows) - 1, -1, -1), windows, strict=True):
                await walk.visit(self._records, _matches(query, window))
                spent_s = now() - started
                if walk.full and (walk.total >= self._count_max or spent_s >= self._count_s):
                    break
                if left and not walk.full and spent_s >= self._find_s:
                    raise UnavailableError(
                        f"only {walk.total} records of space {query.space_id} matched within"
                        f" {spent_s:.0f} s of searching; ask for a shorter time or for one function"
                    )
        return _decode_all(walk.found), walk.total

    async def prune(self, *, before_ms: int, keep_per_space: int) -> int:
        gone = 0
        with translated("delete old invocation records"):
            for space_id, counts in (await self._counts.of_all()).items():
                cut_ms = before_ms
                if sum(counts.values()) > keep_per_space:
                    cut_ms = max(cut_ms, await self._cut_by_count(space_id, counts, keep_per_space))
                if any(slot < cut_ms for slot in counts):
                    gone += await self._delete_before(space_id, counts, cut_ms)
                uncounted = {"s": space_id, "t": {"$lt": before_ms}}
                gone += (await self._records.delete_many(uncounted)).deleted_count
                await self._counts.drop_empty(space_id, before_ms=max(cut_ms, before_ms))
        return gone

    async def delete_space(self, space_id: str) -> None:
        with translated(f"delete invocation records of space {space_id}"):
            counts = await self._counts.of_space(space_id)
            await self._delete_in(space_id, counts, Window(None, None))
            await self._counts.drop_space(space_id)

    async def _find_by_id(
        self, query: RecordQuery, *, offset: int, limit: int
    ) -> tuple[Sequence[InvocationRecord], int]:
        conditions = {
            "_id": query.request_id
        }  # first: the embedded server uses the first that it can
        for each in _matches(query, Window(query.from_ms, query.to_ms)):
            conditions |= each["$match"]
        with translated(f"find the invocation record {query.request_id}"):
            document = await self._records.find_one(conditions)
        if document is None:
            return [], 0
        return (_decode_all([document]) if offset < 1 <= limit else []), 1

    async def _cut_by_count(self, space_id: str, counts: Mapping[int, int], keep: int) -> int:
        """The time before which a space has more than its newest `keep` records; 0 when nowhere."""
        for slot in sorted(counts, reverse=True):
            if counts[slot] <= keep:
                keep -= counts[slot]
                continue
            if keep <= 0:
                return slot + SLOT_MS
            span = Window(slot, slot + SLOT_MS)
            for window in plan(counts, span=span, records_per_window=_RECORDS_PER_WINDOW):
                condition = {"s": space_id, "t": _range(window)}
                here = await self._records.count_documents(condition)
                if here < keep:
                    keep -= here
                    continue
                newest = self._records.find(condition, {"t": 1}).sort("t", DESCENDING)
                oldest_kept = await newest.skip(keep - 1).limit(1).to_list()
                return int(oldest_kept[0]["t"]) if oldest_kept else 0
        return 0

    async def _delete_before(self, space_id: str, counts: Mapping[int, int], cut_ms: int) -> int:
        """Delete a space's records before a time and take them off the counts."""
        edge = slot_of(cut_ms)
        gone = await self._delete_in(space_id, counts, Window(None, edge))
        await self._counts.drop(space_id, [slot for slot in counts if slot < edge])
        if edge < cut_ms:
            at_edge = await self._delete_in(space_id, counts, Window(edge, cut_ms))
            if at_edge:
                await self._counts.take_off(space_id, edge, at_edge)
            gone += at_edge
        return gone

    async def _delete_in(self, space_id: str, counts: Mapping[int, int], span: Window) -> int:
        gone = 0
        for window in plan(counts, span=span, records_per_window=_RECORDS_PER_WINDOW):
            condition: Document = {"s": space_id} | _time_condition(window)
            gone += (await self._records.delete_many(condition)).deleted_count
        return gone


class _Walk:
    """Fills one page from window after window, and counts what matches."""

    def __init__(self, *, offset: int, limit: int, newest_first: bool) -> None:
        self.found: list[Document] = []
        self.total = 0
        self._skip = offset
        self._limit = limit
        direction = DESCENDING if newest_first else ASCENDING
        self._order = {"t": direction, "_id": direction}

    @property
    def full(self) -> bool:
        return len(self.found) >= self._limit

    async def visit(self, records: AsyncCollection[Document], matches: Sequence[Document]) -> None:
        """The next window: a pipeline of its conditions."""
        counted = await (await records.aggregate([*matches, {"$count": "n"}])).to_list()
        count = int(counted[0]["n"]) if counted else 0
        self.total += count
        if self.full or count <= self._skip:
            self._skip = max(0, self._skip - count)
            return
        page: list[Document] = [
            {"$sort": self._order},
            {"$skip": self._skip},
            {"$limit": self._limit - len(self.found)},
        ]
        self.found += await (await records.aggregate([*matches, *page])).to_list()
        self._skip = 0


def _matches(query: RecordQuery, window: Window) -> Sequence[Document]:
    """The stages of a pipeline that select what a query asks for.

    Two, because the embedded server uses an index only for conditions that the index covers completely;
    the rest follows in a stage of its own. MongoDB joins the two.
    """
    covered: Document = {"s": query.space_id}
    if query.function is not None:
        covered["f"] = query.function
    covered |= _time_condition(window)
    rest: Document = {}
    if query.succeeded is not None:
        ok = OutcomeKind.OK.value
        rest["k"] = ok if query.succeeded else {"$ne": ok}
    if query.level is not None:
        rest["v"] = query.level.value
    return [{"$match": each} for each in (covered, rest) if each]


def _time_condition(window: Window) -> Document:
    limits = _range(window)
    return {"t": limits} if limits else {}


def _range(window: Window) -> dict[str, int]:
    limits = {"$gte": window.from_ms, "$lt": window.to_ms}
    return {operator: limit for operator, limit in limits.items() if limit is not None}


def _encode(record: InvocationRecord) -> RawBSONDocument | None:
    """None for a record that cannot be stored; it was logged."""
    try:
        encoded = bson.encode(record_to_document(record))
        if len(encoded) > _DOCUMENT_MAX_BYTES:
            encoded = bson.encode(record_to_document(record, with_lines=False))
    except (BSONError, TypeError, ValueError, OverflowError, AttributeError) as error:
        _log.error(
            "record_not_storable",
            request_id=clean(str(record.request_id)),
            error=f"{type(error).__name__}: {error}"[:200],
        )
        return None
    return RawBSONDocument(encoded)


def _left_out(error: BulkWriteError, documents: Sequence[RawBSONDocument]) -> set[int]:
    """Positions that were not stored now. Duplicates are there already; others are logged."""
    details = error.details or {}
    if details.get("writeConcernErrors"):
        raise UnavailableError(
            "document database did not confirm invocation records:"
            f" {details['writeConcernErrors'][0].get('errmsg')}"
        ) from error
    failed = details.get("writeErrors", [])
    if any(each.get("code") in PASSING_CODES for each in failed):
        raise UnavailableError(
            f"document database did not take all invocation records now: {failed[0].get('errmsg')}"
        ) from error
    for each in failed:
        if each.get("code") != _DUPLICATE_KEY:
            _log.error(
                "record_not_storable",
                request_id=documents[each["index"]]["_id"],
                error=str(each.get("errmsg"))[:200],
            )
    return {each["index"] for each in failed}


def _decode_all(documents: Sequence[Document]) -> list[InvocationRecord]:
    records = []
    for document in documents:
        try:
            records.append(record_from_document(document))
        except (KeyError, TypeError, ValueError) as error:
            _log.warning(
                "record_unreadable",
                request_id=str(document.get("_id")),
                error=f"{type(error).__name__}: {error}"[:200],
            )
    return records
