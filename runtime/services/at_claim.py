"""What a claimed asynchronous job is checked for right before it runs, and where its arguments come from.

It may have waited for hours. Code, limits and environment are those of its acceptance, its network is not:
rules that were taken back since hold for it. A job whose space or function was deleted meanwhile is not run,
it ends `cancelled`; one of a paused space is not even begun.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from runtime.errors import NotFoundError, OursError
from runtime.jobs.attempt import AsyncExecutor, RunStop
from runtime.jobs.files import JobFiles
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
        files: JobFiles,
    ) -> None:
        self._executor = executor
        self._directory = directory
        self._records = records
        self._clock = clock
        self._files = files

    async def may_start(self, job: Job) -> bool:
        """False while its space is paused: its jobs wait, as long as their terms keep them. Raises
        UnavailableError while the file store that has its arguments does not answer, too."""
        try:
            space = await self._directory.get(job.space_id)
        except NotFoundError:
            return True  # to be cancelled
        if space.status is not SpaceStatus.RUNNING:
            return False
        await self._files.reach(job)
        return True

    async def run(self, job: Job, slot: Slot, *, queue_ms: float, stop: RunStop) -> Outcome:
        """See `AsyncExecutor`."""
        try:
            current = await self._current(job)
        except OursError as error:  # the ledger answered a moment ago; the next attempt knows more
            _log.warning("egress_rules_not_known", job_id=job.job_id, error=str(error))
            current = job
        if current is None:
            return self._gone(job)
        try:
            current = await self._files.with_args(current)
        except OursError as error:
            return self._without_args(job, error)
        return await self._executor.run(current, slot, queue_ms=queue_ms, stop=stop)

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

    def _without_args(self, job: Job, error: OursError) -> Outcome:
        _log.error("job_arguments_not_read", job_id=job.job_id, error=str(error))
        fault = Fault(name="JobArgumentsNotRead", message=error.message, code=error.code)
        outcome = Outcome(request_id=job.request_id, kind=OutcomeKind.SANDBOX_LOST, fault=fault)
        record_unstarted(self._records, job, outcome, self._clock)
        return outcome
