"""The ledger of asynchronous jobs in a document database: collection `jobs`, one document per job.

Every change is one update of one document whose filter says what must still hold: the state, the number of
attempts begun, the lease. That is a compare-and-set on every server (tried with claims from several
clients at once). Queries are equalities or short ranges of indexed fields (see `control_mongodb`), and where
it matters nothing else: the embedded server reads a whole collection for an index with a condition beside it.

A claim is one operation when nothing is in its way: a new entry, or the change of one that waits for its
first attempt, whichever the claim before found. Else the entry is read first.

Quotas are counted, not kept, and a count is used for `quota_age_ms` (`ledger.quota`): a quota may be
exceeded by what the other workers claim for that space in such a moment, at most one filled quota for each
further worker. A lost worker's jobs stop counting when their lease ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pymongo import DESCENDING, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from runtime.backends.documents_mongodb import Document, durable, translated
from runtime.backends.ledger.claims import lost_one, repeated_claim
from runtime.backends.ledger.codec import (
    DROPPED,
    EARLY_MS,
    KEY_HOLDS_MS,
    TERMINAL,
    attempt_document,
    attempts_of,
    dropped_entry,
    entry_from_document,
    expired_document,
    idempotency_of,
    new_document,
    outcome_fields,
    readable_entries,
    unseen_document,
)
from runtime.backends.ledger.conditions import (
    HAS_KEY,
    INDEXES,
    RUNNING,
    SETTLED,
    attempt_end,
    condition_of,
    end_of,
    held,
    unchanged,
)
from runtime.backends.ledger.due import DueEntries
from runtime.backends.ledger.quota import RunningCounts, over_quota
from runtime.errors import ConflictError, UnavailableError
from runtime.messages import Attempt, Job, JobState, LedgerEntry, Outcome
from runtime.ports import Claim, Ledger, LedgerQuery, NotClaimed, Quota

_TRIES = 8
"""Of a compare-and-set that lost against another; each loss means that somebody else got on."""

_QUEUED = JobState.QUEUED.value
_OVER = frozenset(TERMINAL) | {DROPPED}

_HEADER = dict.fromkeys(("f", "st", "n", "m", "u", "v", "a"), 1)
_BULKY = dict.fromkeys(("p", "q"), 0)


class LedgerMongodb(Ledger):
    """See `Ledger`. Call `ensure_indexes` once per program start."""

    def __init__(self, database: AsyncDatabase[Document], *, quota_age_ms: int = 250) -> None:
        self._jobs = durable(database, "jobs")
        self._hints = self._jobs.with_options(write_concern=WriteConcern(w=1))
        self._counts = RunningCounts(quota_age_ms)
        self._due = DueEntries(self._jobs)
        self._waits_there = False
        """Whether the last job that was claimed had an entry before."""

    async def ensure_indexes(self) -> None:
        """Make what is missing. Idempotent. Raises UnavailableError."""
        with translated("make indexes of the ledger"):
            await self._jobs.create_indexes(list(INDEXES))

    async def accept(self, job: Job, *, now_ms: int) -> LedgerEntry:
        document = new_document(job, now_ms=now_ms)
        key = idempotency_of(job)
        if key is not None:
            document["i"] = key
        with translated(f"accept job {job.job_id}"):
            for _ in range(_TRIES):
                try:
                    await self._jobs.insert_one(document)
                except DuplicateKeyError:
                    there = await self.accepted(job, now_ms=now_ms)
                    if there is not None:
                        return there
                    await self._free_key(key, now_ms)
                else:
                    return entry_from_document(document)
        raise UnavailableError(
            f"job {job.job_id} was not accepted: its idempotency key is contended; try again"
        )

    async def accepted(self, job: Job, *, now_ms: int) -> LedgerEntry | None:
        key = idempotency_of(job)
        with translated(f"look for job {job.job_id}"):
            document = await self._jobs.find_one({"_id": job.job_id})
            if document is None and key is not None:
                document = await self._jobs.find_one({"i": {**HAS_KEY, "$eq": key}})
                if document is not None and now_ms - document["t"] >= KEY_HOLDS_MS:
                    return None
        if document is None or document["st"] != DROPPED:
            return entry_from_document(document) if document else None
        if document["_id"] == job.job_id:
            raise ConflictError("AlreadyExists", f"job {job.job_id} is over and was dropped")
        return dropped_entry(document)

    async def confirmed(self, job_id: str, *, attempts: int, look_ms: int) -> None:
        waits = {"_id": job_id, "st": _QUEUED, "n": attempts, "d": {"$lt": look_ms}}
        with translated(f"note that job {job_id} waits in the queue"):
            await self._hints.update_one(waits, {"$set": {"d": look_ms}})

    async def claim(
        self,
        job: Job,
        *,
        worker_id: str,
        request_id: str,
        lease_ms: int,
        quota: Quota,
        now_ms: int,
    ) -> Claim | NotClaimed:
        with translated(f"claim job {job.job_id}"):
            attempt = Attempt(
                number=1, worker_id=worker_id, request_id=request_id, started_ms=now_ms
            )
            if self._counts.has_room(job, quota, now_ms) and await self._begin_first(
                job, attempt, lease_ms=lease_ms, now_ms=now_ms
            ):
                self._counts.began(job)
                return Claim(job_id=job.job_id, attempt=attempt)
            for _ in range(_TRIES):
                found = await self._header(job.job_id)
                attempts = attempts_of(found or {})
                again = self._repeated(found, attempts, request_id)
                if isinstance(again, NotClaimed):
                    return again
                if again and not await self.renew(again, lease_ms=lease_ms, now_ms=now_ms):
                    continue
                if again:
                    return again
                refusal = await self._not_claimed(found, job, quota, now_ms)
                if refusal is not None:
                    return refusal
                attempt = replace(attempt, number=found["n"] + 1 if found else 1)
                if await self._begin(job, found, attempt, lease_ms=lease_ms, now_ms=now_ms):
                    self._counts.began(job)
                    self._waits_there = found is not None
                    return Claim(job_id=job.job_id, attempt=attempt, lost=lost_one(attempts))
        return NotClaimed.RUNNING  # others won every time

    async def renew(self, claim: Claim, *, lease_ms: int, now_ms: int) -> bool:
        until_ms = now_ms + lease_ms
        with translated(f"renew the lease of job {claim.job_id}"):
            result = await self._jobs.update_one(
                held(claim), {"$set": {"u": until_ms, "d": until_ms, "k": 0, "c": now_ms}}
            )
        return result.matched_count == 1

    async def finish(self, claim: Claim, state: JobState, outcome: Outcome, *, now_ms: int) -> bool:
        ended = attempt_end(claim, outcome, now_ms) | end_of(state, now_ms)
        change: Document = {"$set": ended, **SETTLED}
        with translated(f"finish job {claim.job_id}"):
            result = await self._jobs.update_one(held(claim), change)
            return result.matched_count == 1 or await self._ended_as(claim, state)

    async def requeue(
        self, claim: Claim, outcome: Outcome, *, not_before_ms: int, now_ms: int
    ) -> bool:
        ended = attempt_end(claim, outcome, now_ms)
        waits = {"st": _QUEUED, "v": not_before_ms, "d": not_before_ms, "k": 0}
        change: Document = {"$set": ended | waits, "$unset": {"u": ""}}
        with translated(f"requeue job {claim.job_id}"):
            result = await self._jobs.update_one(held(claim), change)
            return result.matched_count == 1 or await self._ended_as(claim, JobState.QUEUED)

    async def cancel(self, job_id: str, space_id: str, *, now_ms: int) -> LedgerEntry | None:
        with translated(f"cancel job {job_id}"):
            for _ in range(_TRIES):
                await self._jobs.update_one(
                    {"_id": job_id, "s": space_id, "st": {"$in": [_QUEUED, RUNNING]}},
                    {"$set": end_of(JobState.CANCELLED, now_ms), **SETTLED},
                )
                document = await self._jobs.find_one({"_id": job_id})
                if document is not None:
                    if document["s"] == space_id and document["st"] in {_QUEUED, RUNNING}:
                        continue  # claimed in this moment
                    visible = document["s"] == space_id and document["st"] != DROPPED
                    return entry_from_document(document) if visible else None
                try:
                    await self._jobs.insert_one(unseen_document(job_id, space_id, now_ms=now_ms))
                except DuplicateKeyError:
                    continue  # claimed in this moment
                return await self.read(job_id)
        raise UnavailableError(f"job {job_id} was not cancelled: it is changing; try again")

    async def expire(self, job: Job, *, now_ms: int) -> bool:
        change: Document = {"$set": end_of(JobState.EXPIRED, now_ms), **SETTLED}
        with translated(f"expire job {job.job_id}"):
            for _ in range(_TRIES):
                result = await self._jobs.update_one({"_id": job.job_id, "st": _QUEUED}, change)
                if result.matched_count:
                    return True
                document = expired_document(job, now_ms=now_ms)
                try:
                    await self._jobs.insert_one(document)
                except DuplicateKeyError:
                    if (await self._header(job.job_id) or {}).get("st") != _QUEUED:
                        return False
                else:
                    return True
        return False

    async def read(self, job_id: str) -> LedgerEntry | None:
        with translated(f"read job {job_id}"):
            document = await self._jobs.find_one({"_id": job_id})
        if document is None or document["st"] == DROPPED:
            return None
        return entry_from_document(document)

    async def find(
        self, query: LedgerQuery, *, offset: int, limit: int, brief: bool = False
    ) -> tuple[Sequence[LedgerEntry], int]:
        wanted = condition_of(query)
        with translated("find jobs"):
            total = await self._jobs.count_documents(wanted)
            if limit < 1:  # 0 means "no limit" to the driver
                return [], total
            order = [("t", DESCENDING), ("_id", DESCENDING)]
            fields = _BULKY if brief else None
            page = self._jobs.find(wanted, fields).sort(order).skip(offset).limit(limit)
            documents = await page.to_list()
        return readable_entries(documents, brief=brief), total

    async def known(self, job_ids: Sequence[str]) -> frozenset[str]:
        with translated("look for jobs"):
            found = self._jobs.find({"_id": {"$in": list(job_ids)}}, {"st": 1})
            return frozenset([each["_id"] async for each in found if each["st"] != DROPPED])

    async def count(self, query: LedgerQuery) -> Mapping[JobState, int]:
        with translated("count jobs"):
            groups = await self._jobs.aggregate(
                [{"$match": condition_of(query)}, {"$group": {"_id": "$st", "n": {"$sum": 1}}}]
            )
            return {JobState(each["_id"]): int(each["n"]) async for each in groups}

    async def overdue(self, *, now_ms: int, grace_ms: int, limit: int) -> Sequence[LedgerEntry]:
        taken: list[Document] = []
        with translated("find overdue jobs"):
            for state, due_ms in (
                (JobState.RUNNING, now_ms),
                (JobState.QUEUED, now_ms - grace_ms),
            ):
                if len(taken) < limit:
                    taken += await self._due.take(
                        state,
                        due_ms=due_ms,
                        now_ms=now_ms,
                        grace_ms=grace_ms,
                        limit=limit - len(taken),
                    )
        return readable_entries(taken)

    async def bury(self, job_id: str, outcome: Outcome, *, now_ms: int) -> bool:
        with translated(f"bury job {job_id}"):
            found = await self._header(job_id)
            if (
                found is None
                or found["st"] in _OVER
                or found.get("u", 0) > now_ms
                or found["n"] < found["m"]
            ):
                return False
            dead = end_of(JobState.DEAD, now_ms) | outcome_fields(outcome)
            result = await self._jobs.update_one(unchanged(found), {"$set": dead, **SETTLED})
        return result.matched_count == 1

    async def drop(self, job_id: str) -> bool:
        with translated(f"drop job {job_id}"):
            result = await self._jobs.update_one(
                {"_id": job_id, "st": {"$in": list(TERMINAL)}},
                {"$set": {"st": DROPPED}, "$unset": dict.fromkeys("bpoq", "")},
            )
        return result.matched_count == 1

    async def dropped(self, job_id: str) -> bool:
        with translated(f"read job {job_id}"):
            return await self._jobs.find_one({"_id": job_id, "st": DROPPED}, {"_id": 1}) is not None

    async def prune(self, *, before_ms: int) -> int:
        with translated("delete old jobs"):
            return (await self._jobs.delete_many({"e": {"$lt": before_ms}})).deleted_count

    async def delete_space(self, space_id: str) -> None:
        with translated(f"delete jobs of space {space_id}"):
            await self._jobs.delete_many({"s": space_id})

    async def _header(self, job_id: str) -> Document | None:
        """What decides about a claim, without the job itself."""
        return await self._jobs.find_one({"_id": job_id}, _HEADER)

    async def _free_key(self, key: str | None, now_ms: int) -> None:
        """A key that has held long enough belongs to its job no longer."""
        if key is not None:
            await self._jobs.update_one(
                {"i": {**HAS_KEY, "$eq": key}, "t": {"$lte": now_ms - KEY_HOLDS_MS}},
                {"$unset": {"i": ""}},
            )

    @staticmethod
    def _repeated(
        found: Document | None, attempts: Sequence[Attempt], request_id: str
    ) -> Claim | NotClaimed | None:
        if found and found["st"] not in _OVER:
            return repeated_claim(found["_id"], JobState(found["st"]), attempts, request_id)
        return None

    async def _not_claimed(
        self, found: Document | None, job: Job, quota: Quota, now_ms: int
    ) -> NotClaimed | None:
        if found is not None:
            if found["st"] in _OVER:
                if not found["f"]:
                    await self._fill_in(job)
                return NotClaimed.OVER
            if found.get("u", 0) > now_ms:
                return NotClaimed.RUNNING
            if found["n"] >= found["m"]:
                return NotClaimed.USED_UP
            if found.get("v", 0) > now_ms + EARLY_MS:
                return NotClaimed.TOO_EARLY
        return await self._over_quota(job, quota, now_ms)

    async def _over_quota(self, job: Job, quota: Quota, now_ms: int) -> NotClaimed | None:
        if self._counts.has_room(job, quota, now_ms):
            return None
        running = self._jobs.find({"s": job.space_id, "st": RUNNING}, {"f": 1, "u": 1, "_id": 0})
        counts = Counter([each["f"] async for each in running if each["u"] > now_ms])
        self._counts.counted(job.space_id, counts, now_ms)
        return over_quota(counts, job, quota)

    async def _begin_first(self, job: Job, attempt: Attempt, *, lease_ms: int, now_ms: int) -> bool:
        """The first attempt, without looking. False: it is not the first, or not allowed, or an entry is
        there, or none."""
        found = None
        if self._waits_there:
            found = {"_id": job.job_id, "st": _QUEUED, "n": 0}
        begun = await self._begin(job, found, attempt, lease_ms=lease_ms, now_ms=now_ms)
        if not begun:
            self._waits_there = not self._waits_there
        return begun

    async def _begin(
        self, job: Job, found: Document | None, attempt: Attempt, *, lease_ms: int, now_ms: int
    ) -> bool:
        until_ms = now_ms + lease_ms
        runs = {"st": RUNNING, "n": attempt.number, "u": until_ms, "d": until_ms, "k": 0}
        if found is None:
            document = new_document(job, now_ms=now_ms) | runs
            document["a"] = {str(attempt.number): attempt_document(attempt)}
            try:
                await self._jobs.insert_one(document)
            except DuplicateKeyError:
                return False
            return True
        begun = {f"a.{attempt.number}": attempt_document(attempt), "c": now_ms}
        result = await self._jobs.update_one(
            unchanged(found), {"$set": runs | begun, "$unset": {"v": ""}}
        )
        return result.matched_count == 1

    async def _fill_in(self, job: Job) -> None:
        """A job that was cancelled unseen arrived after all: keep what it was."""
        document = new_document(job, now_ms=0)
        await self._jobs.update_one(
            {"_id": job.job_id, "s": job.space_id, "f": "", "st": JobState.CANCELLED.value},
            {"$set": {name: document[name] for name in "ftmbp"}},
        )

    async def _ended_as(self, claim: Claim, state: JobState) -> bool:
        """Whether this very claim had ended so before: the answer to its first call was lost."""
        number = claim.attempt.number
        found = await self._jobs.find_one(
            {"_id": claim.job_id, "st": state.value, "n": number}, {"a": 1}
        )
        mine = found["a"][str(number)] if found else {}
        return mine.get("r") == claim.attempt.request_id and "k" in mine
