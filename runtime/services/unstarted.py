"""Records of jobs that were accepted or asked for, but never ran: expired, refused, cancelled."""

from __future__ import annotations

from runtime.messages import InvocationRecord, Job, Outcome
from runtime.ports import Clock, RecordSink
from sandbox.api import LogLevel, LogLine


def record_unstarted(records: RecordSink, job: Job, outcome: Outcome, clock: Clock) -> None:
    """So that every request id that a caller saw is found, whatever became of it."""
    now_ms = clock.now_ms()
    text = f"[{outcome.kind.value}] {outcome.fault.message if outcome.fault else ''}"
    line = LogLine(level=LogLevel.ERROR, time_ms=now_ms, text=text)
    records.append(InvocationRecord.of(job, outcome, started_ms=now_ms, lines=(line,)))
