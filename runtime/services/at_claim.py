"""What a claimed asynchronous job is checked for right before and after it runs.

It may have waited for hours. Code, limits and environment are those of its acceptance, its network is not:
rules that were taken back since hold for it. A job whose space or function was deleted meanwhile is not run,
it ends `cancelled`; one of a paused space is not even begun.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from runtime.errors import NotFoundError, OursError
from runtime.jobs.attempt import AsyncExecutor, RunStop
from runtime.messages import Job, Outcome, SpaceStatus
from runtime.ports import Clock, RecordSink
from runtime.services.directory import SpaceDirectory
from runtime.services.egress_rules import rules_of
from runtime.services.unstarted import record_unstarted
from runtime.slots import Slot
from sandbox.api import Fault, OutcomeKind

_log = structlog.get_logger(__name__)


class AtClaim:
    """An `AsyncExecutor` around another one."""

    def __init__(
        self,
        *,
        executor: AsyncExecutor,
        directory: SpaceDirectory,
        records: RecordSink,
        clock: Clock,
        result_max_bytes: int,
    ) -> None:
        """`result_max_bytes`: what the ledger keeps of a job's result."""
        self._executor = executor
        self._directory = directory
        self._records = records
        self._clock = clock
        self._result_max_bytes = result_max_bytes

    async def may_start(self, job: Job) -> bool:
        """False while its space is paused: its jobs wait, as long as their terms keep them."""
        try:
            space = await self._directory.get(job.space_id)
        except NotFoundError:
            return True  # to be cancelled
        return space.status is SpaceStatus.RUNNING

    async def run(self, job: Job, slot: Slot, *, queue_ms: float, stop: RunStop) -> Outcome:
        """See `AsyncExecutor`."""
        try:
            current = await self._current(job)
        except OursError as error:  # the ledger answered a moment ago; the next attempt knows more
            _log.warning("egress_rules_not_known", job_id=job.job_id, error=str(error))
            current = job
        if current is None:
            return self._gone(job)
        outcome = await self._executor.run(current, slot, queue_ms=queue_ms, stop=stop)
        return self._bounded(outcome)

    async def _current(self, job: Job) -> Job | None:
        """The job with the rules of now; None when there is nothing left to run for it."""
        try:
            space = await self._directory.get(job.space_id)
        except NotFoundError:
            return None
        function = space.functions.get(job.function)
        if function is None:
            return None
        egress = rules_of(space.egress, function.egress)
        return job if egress == job.egress else replace(job, egress=egress)

    def _gone(self, job: Job) -> Outcome:
        fault = Fault(
            name="FunctionGone",
            message=f"function {job.function} or its space was deleted before the job could run",
            code="FunctionNotFound",
        )
        outcome = Outcome(request_id=job.request_id, kind=OutcomeKind.CANCELLED, fault=fault)
        record_unstarted(self._records, job, outcome, self._clock)
        return outcome

    def _bounded(self, outcome: Outcome) -> Outcome:
        """The invocation's record says how it ran; that its result is too long is the job's end."""
        size = len(outcome.value or b"")
        if size <= self._result_max_bytes:
            return outcome
        fault = Fault(
            name="ResultTooLarge",
            message=f"the result has {size} bytes; of an asynchronous job at most"
            f" {self._result_max_bytes} are kept (YUNHAN_ASYNC_RESULT_MAX_BYTES): store it and return"
            " where it is",
            code="FunctionResultTooLarge",
        )
        return Outcome(
            request_id=outcome.request_id,
            kind=OutcomeKind.RESULT_TOO_LARGE,
            fault=fault,
            bill=outcome.bill,
        )
