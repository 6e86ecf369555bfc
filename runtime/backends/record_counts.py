"""How many records a space has in each slot of time: collection `record_days`.

One small document per space and day, so that one read tells how a space's records lie. It is there before
the first record of its day, so whoever goes through all of them finds every space that has records. The
counts follow the records with a second write and are hints: they fall behind when a program dies between the
two. Pruning by count then keeps too much rather than too little.

    _id  space id / day    s  space id    d  days since 1970    n  {number of the slot in its day: records}
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pymongo import IndexModel, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_mongodb import Document
from runtime.backends.record_windows import SLOT_MS, Window, slot_of

_DAY_MS = 86_400_000
_ANNOUNCED_MAX = 10_000


class RecordCounts:
    """Reads and changes the counts. Errors of the driver pass through."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._days = database["record_days"]
        self._announced: set[tuple[str, int]] = set()
        """Space and day whose document was there when we looked."""

    async def ensure_indexes(self) -> None:
        """Idempotent."""
        await self._days.create_indexes([IndexModel([("s", 1), ("d", 1)])])

    async def announce(self, records: Iterable[tuple[str, int]]) -> None:
        """Before records are written: pairs of space id and start time in ms. Idempotent."""
        days = {(space_id, started_ms // _DAY_MS) for space_id, started_ms in records}
        unknown = days - self._announced
        if not unknown:
            return
        await self._days.bulk_write(
            [
                UpdateOne(
                    {"_id": _id(space_id, day)},
                    {"$setOnInsert": {"s": space_id, "d": day, "n": {}}},
                    upsert=True,
                )
                for space_id, day in unknown
            ],
            ordered=False,
        )
        if len(self._announced) + len(unknown) > _ANNOUNCED_MAX:
            self._announced.clear()
        self._announced |= unknown

    def doubt(self) -> None:
        """Records may be without a count: look again whether the documents of their days are there."""
        self._announced.clear()

    async def add(self, records: Iterable[tuple[str, int]]) -> None:
        """Count records: pairs of space id and start time in ms."""
        slots = Counter((space_id, slot_of(started_ms)) for space_id, started_ms in records)
        changes: defaultdict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        for (space_id, slot), count in slots.items():
            changes[space_id, slot // _DAY_MS][_key(slot)] = count
        if changes:
            await self._days.bulk_write(
                [
                    UpdateOne(
                        {"_id": _id(space_id, day)},
                        {"$inc": increments, "$setOnInsert": {"s": space_id, "d": day}},
                        upsert=True,
                    )
                    for (space_id, day), increments in changes.items()
                ],
                ordered=False,
            )

    async def of_space(self, space_id: str, span: Window | None = None) -> Mapping[int, int]:
        """Counts by start of slot, of the days that `span` touches."""
        days: dict[str, int] = {}
        if span is not None and span.from_ms is not None:
            days["$gte"] = span.from_ms // _DAY_MS
        if span is not None and span.to_ms is not None:
            days["$lte"] = span.to_ms // _DAY_MS
        wanted: Document = {"s": space_id} | ({"d": days} if days else {})
        found: dict[int, int] = {}
        async for document in self._days.find(wanted):
            found |= _slots(document)
        return found

    async def of_all(self) -> Mapping[str, Mapping[int, int]]:
        """Counts by space and start of slot."""
        found: defaultdict[str, dict[int, int]] = defaultdict(dict)
        async for document in self._days.find():
            found[document["s"]] |= _slots(document)
        return found

    async def drop(self, space_id: str, slots: Collection[int]) -> None:
        """Forget slots whose records are gone. Idempotent."""
        by_day: defaultdict[int, dict[str, str]] = defaultdict(dict)
        for slot in slots:
            by_day[slot // _DAY_MS][_key(slot)] = ""
        for day, keys in by_day.items():
            await self._days.update_one({"_id": _id(space_id, day)}, {"$unset": keys})

    async def drop_empty(self, space_id: str, *, before_ms: int) -> None:
        """Forget days before this time that count nothing. Idempotent."""
        before = {"s": space_id, "d": {"$lt": before_ms // _DAY_MS}}
        await self._days.delete_many({**before, "n": {}})

    async def take_off(self, space_id: str, slot: int, count: int) -> None:
        """Count fewer records in one slot."""
        which = {"_id": _id(space_id, slot // _DAY_MS)}
        await self._days.update_one(which, {"$inc": {_key(slot): -count}})

    async def drop_space(self, space_id: str) -> None:
        """Forget everything of a space. Idempotent."""
        self._announced = {each for each in self._announced if each[0] != space_id}
        await self._days.delete_many({"s": space_id})


def _id(space_id: str, day: int) -> str:
    return f"{space_id}/{day}"


def _key(slot: int) -> str:
    return f"n.{slot % _DAY_MS // SLOT_MS}"


def _slots(document: Mapping[str, Any]) -> dict[int, int]:
    start: int = document["d"] * _DAY_MS
    counts = document.get("n", {})
    return {start + int(number) * SLOT_MS: int(count) for number, count in counts.items()}
