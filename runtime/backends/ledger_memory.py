"""The ledger in memory: for tests, and as the model of what the port means. Nothing survives the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from runtime.backends.ledger.claims import lost_one, repeated_claim
from runtime.backends.ledger.codec import (
    EARLY_MS,
    KEY_HOLDS_MS,
    idempotency_of,
    look_again_ms,
    unseen_job,
)
from runtime.backends.ledger.quota import over_quota
from runtime.errors import ConflictError
from runtime.messages import AsyncTerms, Attempt, Job, JobState, LedgerEntry, Outcome
from runtime.ports import Claim, Ledger, LedgerQuery, NotClaimed, Quota


@dataclass(slots=True)
class _Kept:
    """An entry and what belongs to it, but is nobody's business outside."""

    entry: LedgerEntry
    accepted_ms: int
    due_ms: int
    """When somebody must look at it; meaningless once it is over."""
    looks: int = 0
    key: str | None = None
    unseen: bool = False
    """Cancelled before any worker brought the job."""
    dropped: bool = False


class LedgerMemory(Ledger):
    """See `Ledger`. Unbounded but for `prune`."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    async def accept(self, job: Job, *, now_ms: int) -> LedgerEntry:
        there = await self.accepted(job, now_ms=now_ms)
        if there is not None:
            return there
        key = idempotency_of(job)
        for kept in self._kept.values():
            if key is not None and kept.key == key:
                kept.key = None
        return self._add(job, now_ms, key=key).entry

    async def accepted(self, job: Job, *, now_ms: int) -> LedgerEntry | None:
        there = self._kept.get(job.job_id)
        if there is not None:
            if there.dropped:
                raise ConflictError("AlreadyExists", f"job {job.job_id} is over and was dropped")
            return there.entry
        key = idempotency_of(job)
        for kept in self._kept.values():
            if key is not None and kept.key == key and now_ms - kept.accepted_ms < KEY_HOLDS_MS:
                return _rest(kept) if kept.dropped else kept.entry
        return None

    async def confirmed(self, job_id: str, *, attempts: int, look_ms: int) -> None:
        kept = self._kept.get(job_id)
        if kept is None or kept.entry.state is not JobState.QUEUED:
            return
        if len(kept.entry.attempts) == attempts:
            kept.due_ms = max(kept.due_ms, look_ms)

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
        kept = self._kept.get(job.job_id)
        answer: Claim | NotClaimed | None = None
        if kept is not None:
            answer = await self._known_answer(
                kept, job, request_id, lease_ms=lease_ms, now_ms=now_ms
            )
        answer = answer or self._over_quota(job, quota, now_ms)
        if answer is not None:
            return answer
        if kept is None:
            kept = self._add(job, now_ms)
        lost = lost_one(kept.entry.attempts)
        attempt = Attempt(
            number=len(kept.entry.attempts) + 1,
            worker_id=worker_id,
            request_id=request_id,
            started_ms=now_ms,
        )
        self._change(
            kept,
            now_ms,
            due_ms=now_ms + lease_ms,
            state=JobState.RUNNING,
            attempts=(*kept.entry.attempts, attempt),
            leased_until_ms=now_ms + lease_ms,
            not_before_ms=None,
        )
        return Claim(job_id=job.job_id, attempt=attempt, lost=lost)

    async def renew(self, claim: Claim, *, lease_ms: int, now_ms: int) -> bool:
        kept = self._held(claim)
        if kept is None:
            return False
        until_ms = now_ms + lease_ms
        self._change(kept, now_ms, due_ms=until_ms, leased_until_ms=until_ms)
        return True

    async def finish(self, claim: Claim, state: JobState, outcome: Outcome, *, now_ms: int) -> bool:
        kept = self._held(claim)
        if kept is None:
            return self._ended_as(claim, state)
        self._change(kept, now_ms, attempts=_ended(kept.entry, outcome, now_ms), outcome=outcome)
        self._end(kept, state, now_ms)
        return True

    async def requeue(
        self, claim: Claim, outcome: Outcome, *, not_before_ms: int, now_ms: int
    ) -> bool:
        kept = self._held(claim)
        if kept is None:
            return self._ended_as(claim, JobState.QUEUED)
        self._change(
            kept,
            now_ms,
            due_ms=not_before_ms,
            state=JobState.QUEUED,
            attempts=_ended(kept.entry, outcome, now_ms),
            outcome=outcome,
            leased_until_ms=None,
            not_before_ms=not_before_ms,
        )
        return True

    async def cancel(self, job_id: str, space_id: str, *, now_ms: int) -> LedgerEntry | None:
        kept = self._kept.get(job_id)
        if kept is None:
            kept = self._add(unseen_job(job_id, space_id, now_ms), now_ms)
            kept.unseen = True
        if kept.entry.job.space_id != space_id or kept.dropped:
            return None
        if not kept.entry.state.terminal:
            self._end(kept, JobState.CANCELLED, now_ms)
        return kept.entry

    async def expire(self, job: Job, *, now_ms: int) -> bool:
        kept = self._kept.get(job.job_id) or self._add(job, now_ms)
        if kept.entry.state is not JobState.QUEUED:
            return False
        self._end(kept, JobState.EXPIRED, now_ms)
        return True

    async def read(self, job_id: str) -> LedgerEntry | None:
        kept = self._kept.get(job_id)
        return None if kept is None or kept.dropped else kept.entry

    async def find(
        self, query: LedgerQuery, *, offset: int, limit: int, brief: bool = False
    ) -> tuple[Sequence[LedgerEntry], int]:
        found = [kept for kept in self._kept.values() if _matches(kept, query)]
        found.sort(key=lambda kept: (kept.accepted_ms, kept.entry.job.job_id), reverse=True)
        page = [kept.entry for kept in found[offset : offset + max(0, limit)]]
        return [_brief(entry) for entry in page] if brief else page, len(found)

    async def known(self, job_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(
            job_id for job_id in job_ids if job_id in self._kept and not self._kept[job_id].dropped
        )

    async def count(self, query: LedgerQuery) -> Mapping[JobState, int]:
        return Counter(kept.entry.state for kept in self._kept.values() if _matches(kept, query))

    async def overdue(self, *, now_ms: int, grace_ms: int, limit: int) -> Sequence[LedgerEntry]:
        due = [
            kept
            for kept in self._kept.values()
            if not kept.entry.state.terminal
            and kept.due_ms <= now_ms - (0 if kept.entry.state is JobState.RUNNING else grace_ms)
        ]
        due.sort(key=lambda kept: (kept.entry.state is not JobState.RUNNING, kept.due_ms))
        for kept in due[: max(0, limit)]:
            kept.due_ms = look_again_ms(kept.entry.state, kept.looks, now_ms, grace_ms)
            kept.looks += 1
        return [kept.entry for kept in due[: max(0, limit)]]

    async def bury(self, job_id: str, outcome: Outcome, *, now_ms: int) -> bool:
        kept = self._kept.get(job_id)
        if (
            kept is None
            or kept.entry.state.terminal
            or _leased(kept.entry, now_ms)
            or len(kept.entry.attempts) < _terms(kept.entry.job).attempts_max
        ):
            return False
        self._change(kept, now_ms, outcome=outcome)
        self._end(kept, JobState.DEAD, now_ms)
        return True

    async def drop(self, job_id: str) -> bool:
        kept = self._kept.get(job_id)
        if kept is None or kept.dropped or not kept.entry.state.terminal:
            return False
        kept.dropped = True
        return True

    async def dropped(self, job_id: str) -> bool:
        kept = self._kept.get(job_id)
        return kept is not None and kept.dropped

    async def prune(self, *, before_ms: int) -> int:
        old = [
            job_id
            for job_id, kept in self._kept.items()
            if kept.entry.ended_ms is not None and kept.entry.ended_ms < before_ms
        ]
        for job_id in old:
            del self._kept[job_id]
        return len(old)

    async def delete_space(self, space_id: str) -> None:
        self._kept = {k: v for k, v in self._kept.items() if v.entry.job.space_id != space_id}

    def _add(self, job: Job, now_ms: int, *, key: str | None = None) -> _Kept:
        accepted_ms = _terms(job).accepted_ms
        entry = LedgerEntry(job=job, state=JobState.QUEUED, changed_ms=now_ms)
        kept = _Kept(entry=entry, accepted_ms=accepted_ms, due_ms=accepted_ms, key=key)
        self._kept[job.job_id] = kept
        return kept

    def _fill_in(self, kept: _Kept, job: Job) -> None:
        kept.unseen = False
        kept.accepted_ms = _terms(job).accepted_ms
        kept.entry = replace(kept.entry, job=job)

    def _change(
        self, kept: _Kept, now_ms: int, *, due_ms: int | None = None, **changes: object
    ) -> None:
        kept.entry = replace(kept.entry, changed_ms=now_ms, **changes)  # type: ignore[arg-type]
        if due_ms is not None:
            kept.due_ms, kept.looks = due_ms, 0

    def _end(self, kept: _Kept, state: JobState, now_ms: int) -> None:
        self._change(
            kept,
            now_ms,
            state=state,
            leased_until_ms=None,
            not_before_ms=None,
            ended_ms=now_ms,
            ends=kept.entry.ends + 1,
        )

    async def _known_answer(
        self, kept: _Kept, job: Job, request_id: str, *, lease_ms: int, now_ms: int
    ) -> Claim | NotClaimed | None:
        """None: by its entry the job may begin an attempt."""
        entry = kept.entry
        if kept.unseen and entry.job.space_id == job.space_id:
            self._fill_in(kept, job)
        if entry.state.terminal:
            return NotClaimed.OVER
        again = repeated_claim(job.job_id, entry.state, entry.attempts, request_id)
        if again is not None:
            if isinstance(again, Claim):
                await self.renew(again, lease_ms=lease_ms, now_ms=now_ms)
            return again
        if _leased(entry, now_ms):
            return NotClaimed.RUNNING
        if len(entry.attempts) >= _terms(entry.job).attempts_max:
            return NotClaimed.USED_UP
        if (entry.not_before_ms or 0) > now_ms + EARLY_MS:
            return NotClaimed.TOO_EARLY
        return None

    def _held(self, claim: Claim) -> _Kept | None:
        """Where this claim is the one that runs."""
        kept = self._kept.get(claim.job_id)
        if kept is None or kept.entry.state is not JobState.RUNNING:
            return None
        last = kept.entry.attempts[-1]
        return kept if _same(last, claim.attempt) else None

    def _ended_as(self, claim: Claim, state: JobState) -> bool:
        kept = self._kept.get(claim.job_id)
        if kept is None or kept.dropped or kept.entry.state is not state:
            return False
        attempts = kept.entry.attempts
        return (
            bool(attempts) and _same(attempts[-1], claim.attempt) and attempts[-1].kind is not None
        )

    def _over_quota(self, job: Job, quota: Quota, now_ms: int) -> NotClaimed | None:
        running = Counter(
            kept.entry.job.function
            for kept in self._kept.values()
            if kept.entry.job.space_id == job.space_id and _leased(kept.entry, now_ms)
        )
        return over_quota(running, job, quota)


def _same(one: Attempt, other: Attempt) -> bool:
    return (one.number, one.request_id) == (other.number, other.request_id)


def _ended(entry: LedgerEntry, outcome: Outcome, now_ms: int) -> tuple[Attempt, ...]:
    last = replace(entry.attempts[-1], ended_ms=now_ms, kind=outcome.kind)
    return (*entry.attempts[:-1], last)


def _rest(kept: _Kept) -> LedgerEntry:
    """What is left of an entry that was dropped."""
    job = unseen_job(kept.entry.job.job_id, kept.entry.job.space_id, kept.accepted_ms)
    return replace(kept.entry, job=job, state=JobState.DEAD, outcome=None)


def _brief(entry: LedgerEntry) -> LedgerEntry:
    outcome = entry.outcome and replace(entry.outcome, value=None)
    return replace(entry, job=replace(entry.job, args=b"", env_sealed=b""), outcome=outcome)


def _leased(entry: LedgerEntry, now_ms: int) -> bool:
    return entry.leased_until_ms is not None and entry.leased_until_ms > now_ms


def _terms(job: Job) -> AsyncTerms:
    if job.terms is None:
        raise ValueError(f"job {job.job_id} is synchronous: the ledger is not for it")
    return job.terms


def _matches(kept: _Kept, query: LedgerQuery) -> bool:
    job = kept.entry.job
    return (
        not kept.dropped
        and query.space_id in {None, job.space_id}
        and query.function in {None, job.function}
        and (query.states is None or kept.entry.state in query.states)
        and (query.from_ms is None or kept.accepted_ms >= query.from_ms)
        and (query.to_ms is None or kept.accepted_ms < query.to_ms)
    )
