"""Finds the entries of the ledger that are due, and takes them one sweeper at a time.

A range of due times is read in short pieces, from where the last search got to: the embedded server reads all
that a range holds, whatever limit it is given, and thousands of jobs may wait in it.
"""

from __future__ import annotations

from collections import defaultdict

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from runtime.backends.documents_mongodb import Document
from runtime.backends.ledger.codec import look_again_ms
from runtime.ids import new_request_id
from runtime.messages import JobState

_WIDTH_FIRST_MS = 100


class DueEntries:
    """Of one collection. Raises the driver's errors."""

    def __init__(self, jobs: AsyncCollection[Document]) -> None:
        self._jobs = jobs
        self._reached: int | None = None
        """Up to here few queued ones are due: what is there came since the last search."""
        self._width_ms = _WIDTH_FIRST_MS

    async def take(
        self, state: JobState, *, due_ms: int, now_ms: int, grace_ms: int, limit: int
    ) -> list[Document]:
        """At most `limit` that are due at `due_ms`, oldest first; whoever asks meanwhile gets others."""
        found = await self._find(state, due_ms, limit)
        by_looks: dict[int, list[str]] = defaultdict(list)
        for each in found:
            by_looks[each["k"]].append(each["_id"])
        token = new_request_id()
        matched = 0
        for looks, ids in by_looks.items():
            again_ms = look_again_ms(state, looks, now_ms, grace_ms)
            result = await self._jobs.update_many(
                # what another sweeper took, or what got on, is not due any more
                {"_id": {"$in": ids}, "st": state.value, "k": looks, "d": {"$lte": due_ms}},
                {"$set": {"d": again_ms, "k": looks + 1, "w": token}},
            )
            matched += result.matched_count
        if matched == len(found):
            return found
        ids = [each["_id"] for each in found]
        mine = self._jobs.find({"_id": {"$in": ids}, "w": token}, {"_id": 1})
        taken = {each["_id"] for each in await mine.to_list()}
        return [each for each in found if each["_id"] in taken]

    async def _find(self, state: JobState, due_ms: int, limit: int) -> list[Document]:
        if state is not JobState.QUEUED:  # bounded by quotas
            return await self._piece(state, None, due_ms, limit)
        found: list[Document] = []
        after: int | None = None
        # the first search of a program reads all; so does one for a time before the last
        until = min(self._reached if self._reached is not None else due_ms, due_ms)
        width_ms = self._width_ms
        while True:
            wanted = limit - len(found)
            piece = await self._piece(state, after, until, wanted)
            found += piece
            if len(piece) >= wanted:
                self._reached = int(found[-1]["d"])
                if after is not None:  # so that the next piece holds about what is wanted
                    per_document_ms = (self._reached - after) / len(piece)
                    self._width_ms = max(1, round(per_document_ms * limit))
                return found
            self._reached = until
            if until >= due_ms:
                return found
            after, until = until, min(until + width_ms, due_ms)
            width_ms *= 2

    async def _piece(
        self, state: JobState, after: int | None, until: int, limit: int
    ) -> list[Document]:
        times = {"$lte": until} if after is None else {"$gt": after, "$lte": until}
        wanted = self._jobs.find({"st": state.value, "d": times})
        return await wanted.sort("d", ASCENDING).limit(limit).to_list()
