"""Jobs, claims and times for tests of ledgers."""

from __future__ import annotations

from runtime.ids import new_job_id, new_request_id
from runtime.messages import (
    AsyncTerms,
    Code,
    FunctionLimits,
    Job,
    JobState,
    LedgerEntry,
    Outcome,
    Source,
)
from runtime.ports import Claim, Ledger, NotClaimed, Quota
from sandbox.api import Fault, OutcomeKind

NOW = 1_700_000_000_000
LEASE = 30_000
GRACE = 10_000
HOUR = 3_600_000
WIDE = Quota(per_space=1000, per_function=1000)


def ledger_job(
    space_id: str = "mp-1", function: str = "hello", *, at_ms: int = NOW, **terms: object
) -> Job:
    """A valid asynchronous job, accepted at a time."""
    return Job(
        job_id=new_job_id(),
        request_id=new_request_id(),
        space_id=space_id,
        function=function,
        code=Code(deployment_id="dep-000000000000000000000001", digest="0" * 64),
        limits=FunctionLimits(),
        args='{"text":"字"}'.encode(),
        source=Source.SERVER,
        env_sealed=b"\x00\xff sealed",
        terms=AsyncTerms(accepted_ms=at_ms, **terms),  # type: ignore[arg-type]
    )


def outcome_of(claim: Claim, kind: OutcomeKind = OutcomeKind.OK) -> Outcome:
    """How the attempt of a claim ended."""
    request_id = claim.attempt.request_id
    if kind is OutcomeKind.OK:
        return Outcome(request_id=request_id, kind=kind, value=b'{"a":1}')
    fault = Fault(name="Error", message="boom", code="E", stack="at x")
    return Outcome(request_id=request_id, kind=kind, fault=fault)


async def ask(
    ledger: Ledger,
    job: Job,
    *,
    at_ms: int = NOW,
    worker: str = "w1",
    quota: Quota = WIDE,
    request_id: str | None = None,
) -> Claim | NotClaimed:
    """Try to claim."""
    return await ledger.claim(
        job,
        worker_id=worker,
        request_id=request_id or new_request_id(),
        lease_ms=LEASE,
        quota=quota,
        now_ms=at_ms,
    )


async def claimed(ledger: Ledger, job: Job, *, at_ms: int = NOW, worker: str = "w1") -> Claim:
    """Claim a job that can be claimed."""
    claim = await ask(ledger, job, at_ms=at_ms, worker=worker)
    assert isinstance(claim, Claim), claim
    return claim


async def entry_of(ledger: Ledger, job: Job) -> LedgerEntry:
    """The entry of a job that has one."""
    entry = await ledger.read(job.job_id)
    assert entry is not None
    return entry


async def ended(ledger: Ledger, job: Job, state: JobState, kind: OutcomeKind, at_ms: int) -> None:
    """Claim a job and end it."""
    claim = await claimed(ledger, job, at_ms=at_ms)
    assert await ledger.finish(claim, state, outcome_of(claim, kind), now_ms=at_ms)


async def overdue(ledger: Ledger, at_ms: int, limit: int = 100) -> set[str]:
    """Ids of the entries that somebody must see to."""
    entries = await ledger.overdue(now_ms=at_ms, grace_ms=GRACE, limit=limit)
    return {entry.job.job_id for entry in entries}
