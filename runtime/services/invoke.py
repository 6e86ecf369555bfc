"""From "run this function" to a job, and through the queue to its outcome."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import InvalidParameterError, NotFoundError, OverloadedError, UnavailableError
from runtime.ids import new_job_id
from runtime.messages import (
    Code,
    Function,
    FunctionLimits,
    Job,
    Outcome,
    Principal,
    Source,
)
from runtime.ports import Clock, Queue, RecordSink
from runtime.services.directory import SpaceDirectory, SpaceView
from runtime.services.egress_rules import rules_of
from runtime.services.space_status import require_running
from runtime.services.unstarted import record_unstarted
from runtime.trigger.paths import TriggerMatch
from sandbox.api import Fault, OutcomeKind

_NOBODY = Principal()


class JobFactory:
    """Makes jobs: finds the function and its live code, checks sizes, fixes the limits."""

    def __init__(
        self,
        *,
        args_max_bytes: int,
        timeout_sync_max_s: int,
        timeout_async_max_s: int,
        queue_wait_s: float,
    ) -> None:
        self._args_max_bytes = args_max_bytes
        self._timeout_sync_max_s = timeout_sync_max_s
        self._timeout_async_max_s = timeout_async_max_s
        self._wait_ms = int(queue_wait_s * 1000)

    def make(
        self,
        space: SpaceView,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
        trigger_path: str | None = None,
        principal: Principal = _NOBODY,
        client_ip: str | None = None,
        user_agent: str | None = None,
        timeout_cap_s: float | None = None,
        depth: int = 0,
        parent_request_id: str | None = None,
        unhurried: bool = False,
    ) -> Job:
        """A synchronous job. `args` is JSON text; `timeout_cap_s` shortens the function's own limit.
        `unhurried`: as long as asynchronous jobs may run (`services.async_calls` makes one of it).

        Raises a CallerError for an unknown or undeployed function, a paused space or too large arguments.
        A trigger's arguments are bounded by the bounds of HTTP requests: escaped, they may be longer.
        """
        require_running(space)
        if trigger_path is None and len(args) > self._args_max_bytes:
            raise InvalidParameterError(
                "functionArgs",
                f"the arguments for {function} have {len(args)} bytes,"
                f" at most {self._args_max_bytes} are allowed",
                code="RequestContentLength.Exceeded",
            )
        settings = space.functions.get(function)
        if settings is None:
            raise NotFoundError(
                "FunctionNotFound", f"there is no function {function} in space {space.space_id}"
            )
        longest_s = self._timeout_async_max_s if unhurried else self._timeout_sync_max_s
        cap_s = min(longest_s, timeout_cap_s or longest_s)
        return Job(
            job_id=new_job_id(),
            request_id=request_id,
            space_id=space.space_id,
            function=function,
            code=_live_code(settings),
            limits=FunctionLimits(
                timeout_s=min(settings.timeout_s, cap_s),
                memory_mb=settings.memory_mb,
                concurrency=settings.concurrency,
            ),
            args=args,
            env_sealed=settings.env_sealed,
            egress=rules_of(space.egress, settings.egress),
            space_revision=space.revision,
            source=source,
            trigger_path=trigger_path,
            principal=principal,
            client_ip=client_ip,
            user_agent=user_agent,
            depth=depth,
            parent_request_id=parent_request_id,
            wait_ms=self._wait_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndUser:
    """Who calls from outside, and from where."""

    principal: Principal
    client_ip: str | None
    user_agent: str | None


class InvokeService:
    """Calls from outside: the job goes through the queue."""

    def __init__(
        self,
        *,
        directory: SpaceDirectory,
        queue: Queue,
        jobs: JobFactory,
        records: RecordSink,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._records = records
        self._clock = clock
        self._queue = queue
        self._jobs = jobs
        self.accepting = True
        """False: the program is stopping, calls are refused at once."""

    async def invoke(
        self,
        space_id: str,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
        timeout_cap_s: float | None = None,
    ) -> Outcome:
        """Implements `services.interfaces.Invoker`: a call of the management side, without a user."""
        space = await self._directory.get(space_id)
        job = self._jobs.make(
            space,
            function,
            args,
            source=source,
            request_id=request_id,
            timeout_cap_s=timeout_cap_s,
        )
        return await self._call(job)

    async def invoke_for(
        self,
        user: EndUser,
        space: SpaceView,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
    ) -> Outcome:
        """A call by a client, or by a backend for a user. Raises YunhanError when it was not run."""
        job = self._jobs.make(
            space,
            function,
            args,
            source=source,
            request_id=request_id,
            principal=user.principal,
            client_ip=user.client_ip,
            user_agent=user.user_agent,
        )
        return await self._call(job)

    async def invoke_trigger(
        self, space: SpaceView, match: TriggerMatch, args: bytes, *, request_id: str
    ) -> Outcome:
        """A request to an HTTP trigger; it has no user. Raises YunhanError when it was not run."""
        job = self._jobs.make(
            space,
            match.function,
            args,
            source=Source.HTTP,
            request_id=request_id,
            trigger_path=match.path,
        )
        return await self._call(job)

    async def _call(self, job: Job) -> Outcome:
        if not self.accepting:
            raise UnavailableError("the program is stopping; try again")
        try:
            outcome = await self._queue.call(job)
        except OverloadedError as error:
            fault = Fault(name="Refused", message=error.message, code=error.code)
            refused = Outcome(request_id=job.request_id, kind=OutcomeKind.REFUSED, fault=fault)
            record_unstarted(self._records, job, refused, self._clock)
            raise
        if outcome.kind is OutcomeKind.EXPIRED:
            record_unstarted(self._records, job, outcome, self._clock)
        return outcome


def _live_code(function: Function) -> Code:
    if function.live_deployment_id is None or function.live_digest is None:
        raise NotFoundError(
            "FunctionNotDeployed",
            f"function {function.name} has no code yet; deploy some (yunhan deploy)",
        )
    return Code(
        deployment_id=function.live_deployment_id,
        digest=function.live_digest,
        runtime=function.runtime,
    )
