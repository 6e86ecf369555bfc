"""Records of jobs that were accepted or asked for, but never ran: expired, refused, cancelled."""

from __future__ import annotations

from runtime.messages import Bill, InvocationRecord, Job, Outcome
from runtime.ports import Clock, RecordSink
from sandbox.api import LogLevel, LogLine


def record_unstarted(records: RecordSink, job: Job, outcome: Outcome, clock: Clock) -> None:
    """So that every request id that a caller saw is found, whatever became of it."""
    now_ms = clock.now_ms()
    text = f"[{outcome.kind.value}] {outcome.fault.message if outcome.fault else ''}"
    records.append(
        InvocationRecord(
            request_id=job.request_id,
            job_id=job.job_id,
            space_id=job.space_id,
            function=job.function,
            deployment_id=job.code.deployment_id,
            source=job.source,
            started_ms=now_ms,
            kind=outcome.kind,
            fault=outcome.fault,
            bill=Bill(),
            lines=(LogLine(level=LogLevel.ERROR, time_ms=now_ms, text=text),),
            lines_cut=False,
            parent_request_id=job.parent_request_id,
        )
    )
