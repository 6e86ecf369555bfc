from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.backends.ledger_memory import LedgerMemory
from runtime.jobs import audit
from runtime.jobs.audit import check_ledger, flaws_of
from runtime.messages import Attempt, JobState, LedgerEntry
from runtime.ports import LedgerQuery
from runtime.testing.ledger_samples import NOW, ledger_job, outcome_of
from runtime.testing.ledger_samples import claimed as claimed_by
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import ends

JOB = ledger_job()
LATER = NOW + 1000


def attempt(number: int, kind: OutcomeKind | None) -> Attempt:
    return Attempt(
        number=number,
        worker_id="w",
        request_id=f"r{number}",
        started_ms=NOW,
        ended_ms=None if kind is None else NOW,
        kind=kind,
    )


LOST = attempt(1, None)
OK = attempt(1, OutcomeKind.OK)
QUEUED = LedgerEntry(job=JOB, state=JobState.QUEUED)
RUNNING = replace(QUEUED, state=JobState.RUNNING, attempts=(LOST,), leased_until_ms=LATER)
SUCCEEDED = LedgerEntry(
    job=JOB,
    state=JobState.SUCCEEDED,
    attempts=(LOST, attempt(2, OutcomeKind.OK)),
    outcome=ends(replace(JOB, request_id="r2"), OutcomeKind.OK),
    ended_ms=NOW,
    ends=1,
)
FAILED = replace(
    SUCCEEDED,
    state=JobState.FAILED,
    attempts=(attempt(1, OutcomeKind.EXITED),),
    outcome=ends(replace(JOB, request_id="r1"), OutcomeKind.EXITED),
)
DEAD = replace(
    FAILED, state=JobState.DEAD, attempts=(LOST,), outcome=ends(JOB, OutcomeKind.WORKER_LOST)
)
CANCELLED = replace(QUEUED, state=JobState.CANCELLED, ended_ms=NOW, ends=1)


@pytest.mark.parametrize(
    "entry",
    [
        QUEUED,
        replace(QUEUED, attempts=(attempt(1, OutcomeKind.SANDBOX_LOST),), not_before_ms=LATER),
        RUNNING,
        SUCCEEDED,
        FAILED,
        DEAD,
        CANCELLED,
        replace(CANCELLED, attempts=(LOST,)),
        replace(CANCELLED, state=JobState.EXPIRED),
    ],
)
def test_legal_histories(entry: LedgerEntry) -> None:
    assert flaws_of(entry, NOW, 0) == []


@pytest.mark.parametrize(
    ("entry", "flaw"),
    [
        (replace(RUNNING, leased_until_ms=None), "without a lease"),
        (replace(RUNNING, leased_until_ms=NOW - 60_000), "lease ended 60 s ago"),
        (replace(RUNNING, attempts=()), "no attempt"),
        (replace(RUNNING, attempts=(OK,)), "no attempt"),
        (replace(RUNNING, ended_ms=NOW), "has an end"),
        (replace(RUNNING, attempts=(OK, attempt(2, None))), "after one that succeeded"),
        (replace(RUNNING, attempts=(attempt(2, None),)), "numbered"),
        (replace(RUNNING, attempts=(LOST, replace(LOST, number=2))), "same request id"),
        (replace(RUNNING, attempts=tuple(attempt(i, None) for i in (1, 2, 3, 4))), "4 attempts"),
        (replace(QUEUED, leased_until_ms=LATER), "has a lease"),
        (replace(SUCCEEDED, ended_ms=None), "no time"),
        (replace(SUCCEEDED, leased_until_ms=LATER), "has a lease"),
        (replace(SUCCEEDED, attempts=(LOST,)), "ended never"),
        (replace(SUCCEEDED, outcome=None), "outcome is not"),
        (replace(SUCCEEDED, outcome=ends(JOB, OutcomeKind.OK)), "outcome is not"),
        (replace(FAILED, state=JobState.TIMED_OUT), "ended exited"),
        (replace(FAILED, attempts=(OK,), outcome=ends(JOB, OutcomeKind.OK)), "ended ok"),
        (replace(CANCELLED, attempts=(OK,)), "last attempt succeeded"),
        (replace(DEAD, outcome=None), "without a reason"),
    ],
)
def test_flaws(entry: LedgerEntry, flaw: str) -> None:
    assert any(flaw in each for each in flaws_of(entry, NOW, 1000))


async def test_report_compares_with_what_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PAGE", 3)
    ledger = LedgerMemory()
    jobs = [ledger_job(at_ms=NOW + i // 5) for i in range(12)]  # several at one time
    for job in jobs[:10]:
        claim = await claimed_by(ledger, job)
        await ledger.finish(claim, JobState.SUCCEEDED, outcome_of(claim), now_ms=NOW)
    await claimed_by(ledger, jobs[10])
    lines = [f"{job.job_id}\n" for job in jobs] + ["\n", jobs[0].job_id]
    report = await check_ledger(
        ledger, LedgerQuery(), accepted=lines, now_ms=NOW, tolerance_ms=1000
    )
    assert report.states == {JobState.SUCCEEDED: 10, JobState.RUNNING: 1}
    assert report.accepted == 12
    assert report.missing == (jobs[11].job_id,)
    assert report.double == (jobs[0].job_id,)
    assert report.unended == (jobs[10].job_id,)
    assert report.flaws == ()
    assert not report.sound


async def test_sound_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PAGE", 2)
    ledger = LedgerMemory()
    jobs = [ledger_job() for _ in range(7)]  # all at one time
    for job in jobs:
        await ledger.expire(job, now_ms=NOW)
    report = await check_ledger(
        ledger,
        LedgerQuery(),
        accepted=[job.job_id for job in jobs],
        now_ms=NOW,
        tolerance_ms=0,
    )
    assert report.states == {JobState.EXPIRED: 7}
    assert report.sound
    ledger._kept[jobs[0].job_id].entry = replace(RUNNING, job=jobs[0], leased_until_ms=None)
    flawed = await check_ledger(ledger, LedgerQuery(), now_ms=NOW, tolerance_ms=0)
    assert flawed.flaws_count == 1
    assert not flawed.sound
