"""Records of jobs that were accepted or asked for, but never ran (expired, refused, cancelled), and of
attempts that nobody else can tell of, because their worker was lost."""

from __future__ import annotations

from dataclasses import replace

from runtime.jobs.endings import lost_outcome
from runtime.messages import Attempt, InvocationRecord, Job, Outcome
from runtime.ports import Clock, RecordSink
from sandbox.api import LogLevel, LogLine


def record_unstarted(records: RecordSink, job: Job, outcome: Outcome, clock: Clock) -> None:
    """So that every request id that a caller saw is found, whatever became of it."""
    now_ms = clock.now_ms()
    lines = (_line(outcome, now_ms),)
    records.append(InvocationRecord.of(job, outcome, started_ms=now_ms, lines=lines))


def record_lost(records: RecordSink, job: Job, attempt: Attempt, clock: Clock) -> None:
    """Records are one per request id: if the worker wrote its own before it was lost, that stays."""
    outcome = lost_outcome(attempt)
    text = f"attempt {attempt.number} of job {job.job_id}: worker {attempt.worker_id} was lost"
    lines = (_line(outcome, clock.now_ms(), text),)
    attempted = replace(job, request_id=attempt.request_id)
    records.append(
        InvocationRecord.of(attempted, outcome, started_ms=attempt.started_ms, lines=lines)
    )


def _line(outcome: Outcome, time_ms: int, text: str | None = None) -> LogLine:
    text = text or (outcome.fault.message if outcome.fault else "")
    return LogLine(level=LogLevel.ERROR, time_ms=time_ms, text=f"[{outcome.kind.value}] {text}")
