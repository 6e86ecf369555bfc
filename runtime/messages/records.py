"""What is kept of an invocation."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.messages.jobs import Bill, Job, Outcome, Source
from sandbox.api import Fault, LogLine, OutcomeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationRecord:
    """One document per invocation: outcome, bill and log lines. Kept, queried and deleted as one."""

    request_id: str
    job_id: str
    space_id: str
    function: str
    deployment_id: str
    source: Source
    started_ms: int
    """Wall clock, ms since 1970, when the worker took the job."""
    kind: OutcomeKind
    fault: Fault | None
    bill: Bill
    lines: tuple[LogLine, ...]
    lines_cut: bool
    parent_request_id: str | None = None

    @classmethod
    def of(
        cls,
        job: Job,
        outcome: Outcome,
        *,
        started_ms: int,
        lines: tuple[LogLine, ...],
        lines_cut: bool = False,
    ) -> InvocationRecord:
        """The record of a job that ended like this."""
        return cls(
            request_id=job.request_id,
            job_id=job.job_id,
            space_id=job.space_id,
            function=job.function,
            deployment_id=job.code.deployment_id,
            source=job.source,
            started_ms=started_ms,
            kind=outcome.kind,
            fault=outcome.fault,
            bill=outcome.bill,
            lines=lines,
            lines_cut=lines_cut,
            parent_request_id=job.parent_request_id,
        )
