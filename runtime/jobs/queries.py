"""What people ask about asynchronous jobs, and do to them: show, cancel, list, replay, drop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from runtime.errors import ConflictError, NotFoundError, OursError
from runtime.ids import new_request_id
from runtime.job_ids import JobIds
from runtime.jobs.audit import LedgerReport, check_ledger
from runtime.jobs.endings import terms_of
from runtime.jobs.files import EVERYTHING_INLINE, JobFiles
from runtime.jobs.submit import Accepted, AsyncSubmitter, asynchronous
from runtime.jobs.waiting import WaitingJobs
from runtime.messages import Job, JobState, LedgerEntry
from runtime.ports import Clock, Ledger, LedgerQuery, Sleep

Refresh = Callable[[Job], Awaitable[Job]]
"""The same job with the live code, limits and environment of its function; raises CallerError when there is
none any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as far as it is known. `entry` None: it waits in the queue, no worker has seen it."""

    job_id: str
    state: JobState
    entry: LedgerEntry | None
    result_problem: str | None = None
    """Why a result that the file store has is not in the entry's outcome."""


class JobQueries:
    """All of one space at a time: a job of another space does not exist. Raise NotFoundError, and
    UnavailableError when the ledger does not answer."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        submitter: AsyncSubmitter,
        ids: JobIds,
        clock: Clock,
        refresh: Refresh,
        keep_s: float,
        files: JobFiles = EVERYTHING_INLINE,
        backlog: Callable[[], Awaitable[int]],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`keep_s`: the longest time that a job may wait in the queue, `AsyncTerms.keep_s`. `backlog`:
        `Queue.async_backlog`."""
        self._backlog = backlog
        self._sleep = sleep
        self._ledger = ledger
        self._submitter = submitter
        self._ids = ids
        self._clock = clock
        self._refresh = refresh
        self._keep_ms = keep_s * 1000
        self._files = files

    async def show(self, space_id: str, job_id: str) -> JobView:
        """State, attempts, times, last outcome with its result."""
        entry = await self._entry(space_id, job_id)
        if entry is None:
            return JobView(job_id=job_id, state=JobState.QUEUED, entry=None)
        problem = None
        if entry.outcome is not None and entry.outcome.value_stored is not None:
            try:
                outcome = await self._files.with_result(entry.outcome)
            except OursError as error:  # all else is known
                problem = error.message
            else:
                entry = replace(entry, outcome=outcome)
        return JobView(job_id=job_id, state=entry.state, entry=entry, result_problem=problem)

    async def cancel(self, space_id: str, job_id: str) -> JobView:
        """A job that is over stays as it is: the state in the answer tells. One that runs is stopped by its
        worker within a third of the lease."""
        await self._entry(space_id, job_id)
        entry = await self._ledger.cancel(job_id, space_id, now_ms=self._clock.now_ms())
        if entry is None:
            raise _unknown(space_id, job_id)
        return JobView(job_id=job_id, state=entry.state, entry=entry)

    async def find(
        self, query: LedgerQuery, *, offset: int, limit: int
    ) -> tuple[Sequence[LedgerEntry], int]:
        """One page of jobs that the ledger knows, newest first, and the total; without arguments, environment
        and results."""
        return await self._ledger.find(query, offset=offset, limit=limit, brief=True)

    async def space_of(self, job_id: str, spaces: AsyncIterator[str]) -> str:
        """The space of a job; among `spaces` when only its id can tell. Raises NotFoundError."""
        entry = await self._ledger.read(job_id)
        if entry is not None:
            return entry.job.space_id
        async for space_id in spaces:
            if self._ids.valid(job_id, space_id):
                return space_id
        raise NotFoundError(
            "JobNotFound", f"there is no job {job_id[:64]}, or it was over long ago"
        )

    async def check(
        self,
        query: LedgerQuery,
        *,
        accepted: Iterable[str],
        tolerance_s: int,
        spaces: AsyncIterator[str],
    ) -> LedgerReport:
        """See `check_ledger`. `spaces`: those that the accepted jobs may belong to."""

        async def ours(job_ids: Iterable[str]) -> frozenset[str]:
            return await self._waiting(job_ids, spaces)

        return await check_ledger(
            self._ledger,
            query,
            accepted=accepted,
            now_ms=self._clock.now_ms(),
            tolerance_ms=tolerance_s * 1000,
            waiting=WaitingJobs(backlog=self._backlog, ours=ours, sleep=self._sleep),
        )

    async def replay(self, space_id: str, job_id: str, *, once: bool = False) -> Accepted:
        """A new job with the arguments and the user of one that is over, and the function's code as it is
        now: what was dead is repeated after its reason was mended. Each call makes another job; with `once`
        all that say so within 24 hours give the same."""
        entry = await self._known(space_id, job_id)
        if not entry.state.terminal:
            raise ConflictError(
                "JobNotOver", f"job {job_id} is {entry.state.value}; cancel it first"
            )
        if not entry.job.function:
            raise ConflictError(
                "JobNotReplayable",
                f"job {job_id} was cancelled before any worker saw it: its arguments are not known",
            )
        job = await self._files.with_args(entry.job)
        fresh = await self._refresh(replace(job, request_id=new_request_id()))
        terms = terms_of(entry.job)
        again = replace(
            terms,
            accepted_ms=self._clock.now_ms(),
            idempotency_key=f"replay {job_id}" if once else None,  # with a space: no caller's key
            replay_of=job_id,
        )
        return await self._submitter.submit(asynchronous(fresh, self._ids, again))

    async def drop(self, space_id: str, job_id: str) -> None:
        """Forget a job that is over."""
        await self._known(space_id, job_id)
        if not await self._ledger.drop(job_id):
            raise ConflictError("JobNotOver", f"job {job_id} is not over yet; cancel it first")
        await self._files.remove_job(space_id, job_id)

    async def _waiting(self, job_ids: Iterable[str], spaces: AsyncIterator[str]) -> frozenset[str]:
        """Those of these ids that are of a job which may still wait in the queue."""
        oldest_ms = self._clock.now_ms() - self._keep_ms
        left, found = set(job_ids), set[str]()
        async for space_id in spaces:
            mine = {job_id for job_id in left if self._ids.valid(job_id, space_id)}
            left -= mine
            found |= {job_id for job_id in mine if self._ids.made_ms(job_id) >= oldest_ms}
            if not left:
                break
            await asyncio.sleep(0)  # with many ids each space takes a moment
        return frozenset(found)

    async def _known(self, space_id: str, job_id: str) -> LedgerEntry:
        entry = await self._entry(space_id, job_id)
        if entry is None:
            raise ConflictError("JobNotOver", f"job {job_id} is still queued; cancel it first")
        return entry

    async def _entry(self, space_id: str, job_id: str) -> LedgerEntry | None:
        """None: a job that still waits in the queue. Raises NotFoundError for every other id."""
        entry = await self._ledger.read(job_id)
        if entry is not None:
            if entry.job.space_id != space_id:
                raise _unknown(space_id, job_id)
            return entry
        if not self._ids.valid(job_id, space_id):
            raise _unknown(space_id, job_id)
        age_ms = self._clock.now_ms() - self._ids.made_ms(job_id)
        if age_ms > self._keep_ms or await self._ledger.dropped(job_id):
            raise _unknown(space_id, job_id)
        return None


def _unknown(space_id: str, job_id: str) -> NotFoundError:
    return NotFoundError(
        "JobNotFound", f"there is no job {job_id} in space {space_id}, or it was over long ago"
    )
