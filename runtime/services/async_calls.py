"""From "run this function some time" to an accepted asynchronous job: one way for all that ask.

| asked by | `ctx.env.MP_SOURCE` | user | idempotency keys |
| --- | --- | --- | --- |
| management API, command line, AMQP | `server` | nobody | the space's |
| a function (`{async: true}`) | `server` | nobody, or whom `setUserId` named | the space's |
| an HTTP trigger | `http` | nobody | those of its strangers |
| a timer | `timing` | nobody | its own |

A job outlives the call that asked for it: the user behind that call is not behind the job, as a token that
was revoked meanwhile would still act. A key belongs to one function of one space; a repeated key returns the
first job, or is refused when the arguments are others.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.errors import CallerError, OverloadedError, UnavailableError
from runtime.job_ids import JobIds
from runtime.jobs.submit import Accepted, AsyncSubmitter, asynchronous
from runtime.messages import Job, Outcome, Principal, Source
from runtime.ports import Clock, RecordSink
from runtime.services.async_terms import AsyncDefaults, terms_for, trigger_key
from runtime.services.directory import SpaceDirectory, SpaceView
from runtime.services.invoke import JobFactory
from runtime.services.unstarted import record_unstarted
from runtime.trigger.paths import TriggerMatch
from sandbox.api import Fault, OutcomeKind

_NOBODY = Principal()


class AsyncCalls:
    """All methods raise CallerError for what cannot be run (unknown, no code, paused, too large),
    OverloadedError when the job was refused and will not run, UnavailableError when that is not known."""

    def __init__(
        self,
        *,
        directory: SpaceDirectory,
        jobs: JobFactory,
        submitter: AsyncSubmitter,
        ids: JobIds,
        records: RecordSink,
        clock: Clock,
        defaults: AsyncDefaults,
        depth_max: int,
    ) -> None:
        self._directory = directory
        self._jobs = jobs
        self._submitter = submitter
        self._ids = ids
        self._records = records
        self._clock = clock
        self._defaults = defaults
        self._depth_max = depth_max
        self.accepting = True
        """False: the program is stopping, calls from outside are refused at once. Functions that still run
        may go on to enqueue."""

    async def submit(
        self,
        space_id: str,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """A call without a user. `args` is JSON text."""
        self._require_accepting()
        space = await self._directory.get(space_id)
        job = self._jobs.make(
            space, function, args, source=source, request_id=request_id, unhurried=True
        )
        return await self._submit(space, job, idempotency_key)

    async def submit_trigger(
        self,
        space: SpaceView,
        match: TriggerMatch,
        args: bytes,
        *,
        request_id: str,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """A request to an HTTP trigger whose function allows it."""
        self._require_accepting()
        job = self._jobs.make(
            space,
            match.function,
            args,
            source=Source.HTTP,
            request_id=request_id,
            trigger_path=match.path,
            unhurried=True,
        )
        return await self._submit(space, job, trigger_key(idempotency_key))

    async def submit_from(
        self,
        parent: Job,
        function: str,
        args: bytes,
        *,
        request_id: str,
        user_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """A running function asked for it; `user_id` is the one that it named itself.

        Chains are bounded like those of synchronous calls, else a function that enqueues itself would never
        end: raises CallerError when the chain is too long."""
        require_depth(parent, self._depth_max)
        space = await self._directory.get(parent.space_id)
        job = self._jobs.make(
            space,
            function,
            args,
            source=Source.SERVER,
            request_id=request_id,
            principal=_NOBODY if user_id is None else Principal(user_id=user_id),
            depth=parent.depth + 1,
            parent_request_id=parent.request_id,
            unhurried=True,
        )
        return await self._submit(space, job, idempotency_key)

    async def refresh(self, job: Job) -> Job:
        """The same call with the live code, limits, environment and rules of its function, for a replay.

        Its terms are not touched. Raises CallerError when there is no such function any more."""
        self._require_accepting()
        space = await self._directory.get(job.space_id)
        fresh = self._jobs.make(
            space,
            job.function,
            job.args,
            source=job.source,
            request_id=job.request_id,
            trigger_path=job.trigger_path,
            principal=job.principal,
            client_ip=job.client_ip,
            user_agent=job.user_agent,
            depth=job.depth,
            parent_request_id=job.parent_request_id,
            unhurried=True,
        )
        return replace(fresh, terms=job.terms)

    async def _submit(self, space: SpaceView, job: Job, key: str | None) -> Accepted:
        terms = terms_for(
            space.functions[job.function].asynchronous,
            self._defaults,
            accepted_ms=self._clock.now_ms(),
            idempotency_key=key,
        )
        job = asynchronous(job, self._ids, terms)
        try:
            return await self._submitter.submit(job)
        except OverloadedError as error:
            fault = Fault(name="Refused", message=error.message, code=error.code)
            refused = Outcome(request_id=job.request_id, kind=OutcomeKind.REFUSED, fault=fault)
            record_unstarted(self._records, job, refused, self._clock)
            raise

    def _require_accepting(self) -> None:
        if not self.accepting:
            raise UnavailableError("the program is stopping; try again")


def require_depth(parent: Job, depth_max: int) -> None:
    """Raises CallerError when a call by `parent` would be too deep."""
    if parent.depth >= depth_max:
        raise CallerError(
            "FunctionCallDepth.Exceeded",
            f"{parent.function} is call number {parent.depth + 1} in a chain of functions that call"
            f" functions; at most {depth_max} calls deep are allowed",
        )
