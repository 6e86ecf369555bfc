"""One job: lease a sandbox, run it, make the outcome and the record.

Once a job is here, every path ends in exactly one Outcome and one InvocationRecord; our own failures
become outcomes with our blame. Only cancellation (the worker stops without grace) is re-raised, after
the record was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from runtime.billing import Spent, make_bill
from runtime.errors import OursError
from runtime.jobs.attempt import RunStop
from runtime.jobs.endings import WORKER_STOPPED
from runtime.messages import CallKind, InvocationRecord, Job, Outcome, Principal, Provider
from runtime.pool import Lease, PoolFullError, SandboxPool
from runtime.pool_state import Content, SandboxClass, SandboxKey
from runtime.ports import Clock, HttpTraffic, RecordSink
from runtime.services.methods import kind_of
from runtime.services.sealed_env import digest_of
from runtime.slots import Slot
from sandbox.api import (
    Ending,
    Fault,
    Invocation,
    LogLevel,
    LogLine,
    OutcomeKind,
    SandboxError,
    WechatUser,
)
from sandbox.node_runtimes import nearest, parse_runtime

_log = structlog.get_logger(__name__)

_TOLD_MAX = 10_000
_NOTES_MAX = 20
"""Lines of ours in one invocation's log."""


class ServiceCalls(Protocol):
    """Answers `ctx.mpserverless` (`runtime.services.calls`)."""

    async def answer_function(
        self,
        job: Job,
        slot: Slot,
        method: str,
        params: bytes,
        *,
        user_id: str | None,
        note: Callable[[str], None],
        traffic: HttpTraffic,
    ) -> bytes:
        """The JSON text of an envelope; never raises but for cancellation. `note` writes into the log of the
        invocation that called, what its author should know whatever the code does with the answer; `traffic`
        counts what the worker sends for it."""


class _JobHost:
    """What one invocation reaches outside its sandbox; collects its log lines, counts its calls."""

    __slots__ = (
        "_calls",
        "_clock",
        "_job",
        "_notes_left",
        "_slot",
        "counts",
        "cut",
        "lines",
        "traffic",
    )

    def __init__(self, job: Job, slot: Slot, calls: ServiceCalls, clock: Clock) -> None:
        self._clock = clock
        self._notes_left = _NOTES_MAX
        self._job = job
        self._slot = slot
        self._calls = calls
        self.counts: dict[CallKind, int] = {}
        self.traffic = HttpTraffic()
        self.lines: list[LogLine] = []
        self.cut = False

    def on_log(self, lines: Sequence[LogLine], *, cut: bool) -> None:
        self.lines.extend(lines)
        self.cut = self.cut or cut

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        kind = kind_of(method)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return await self._calls.answer_function(
            self._job,
            self._slot,
            method,
            params,
            user_id=user_id,
            note=self.note,
            traffic=self.traffic,
        )

    def note(self, text: str) -> None:
        """A line of ours; the rest of too many is dropped."""
        if self._notes_left > 0:
            self._notes_left -= 1
            self.lines.append(LogLine(level=LogLevel.WARN, time_ms=self._clock.now_ms(), text=text))


@dataclass(slots=True)
class _Run:
    """When one job was taken (wall clock, monotonic) and began to run (monotonic; None = it did not)."""

    queue_ms: float
    started_ms: int
    taken: float
    began: float | None = None


class Executor:
    """Runs jobs in the pool's sandboxes."""

    def __init__(
        self,
        *,
        pool: SandboxPool,
        calls: ServiceCalls,
        records: RecordSink,
        clock: Clock,
        node_majors: Sequence[int],
        catch_up: Callable[[str, int], Awaitable[None]] | None = None,
    ) -> None:
        """`catch_up` is told of each job's space and its revision before the job gets a sandbox."""
        self._catch_up = catch_up
        self._pool = pool
        self._calls = calls
        self._records = records
        self._clock = clock
        self._node_majors = tuple(node_majors)
        self._told: set[str] = set()
        """Deployments whose substituted runtime was logged."""

    async def run(
        self, job: Job, slot: Slot, *, queue_ms: float, stop: RunStop | None = None
    ) -> Outcome:
        """See the module. `slot` is held by the caller and may be lent to children meanwhile. When this is
        cancelled, the record says `stop.kind`, or `worker_lost` without `stop`."""
        host = _JobHost(job, slot, self._calls, self._clock)
        lease: Lease | None = None
        run = _Run(queue_ms, self._clock.now_ms(), self._clock.monotonic())
        try:
            if self._catch_up is not None and job.space_revision:
                await self._catch_up(job.space_id, job.space_revision)
            lease = await self._pool.lease(self._key(job), job, host)
            if lease.failed is not None:
                ending = lease.failed
            else:
                run.began = self._clock.monotonic()
                ending = await self._invoke(lease, job, host)
        except PoolFullError as error:
            ending = _our_ending(OutcomeKind.REFUSED, error.code, str(error))
        except OursError as error:
            ending = _our_ending(OutcomeKind.SANDBOX_LOST, error.code, str(error))
            _log.error(
                "sandbox_not_bound", function=job.function, space=job.space_id, error=str(error)
            )
        except SandboxError as error:
            ending = _our_ending(OutcomeKind.SANDBOX_LOST, "SandboxError", str(error))
            _log.error(
                "sandbox_failed", function=job.function, space=job.space_id, error=str(error)
            )
        except asyncio.CancelledError:
            kind = OutcomeKind.WORKER_LOST if stop is None else stop.kind
            ending = Ending(kind=kind, fault=_STOPPED[kind], reusable=False)
            self._finish(job, host, ending, lease=lease, run=run)
            raise
        except Exception as error:  # noqa: BLE001 - every path ends in one outcome
            _log.exception("execute_failed", function=job.function, request_id=job.request_id)
            ending = _our_ending(OutcomeKind.SANDBOX_LOST, "InternalError", type(error).__name__)
        return self._finish(job, host, ending, lease=lease, run=run)

    def _key(self, job: Job) -> SandboxKey:
        wanted = parse_runtime(job.code.runtime)
        return SandboxKey(
            job.space_id,
            Content(job.code.deployment_id, digest_of(job.env_sealed), job.egress),
            SandboxClass(nearest(self._node_majors, wanted), job.limits.memory_mb),
            job.limits.concurrency,
        )

    async def _invoke(self, lease: Lease, job: Job, host: _JobHost) -> Ending:
        if lease.cold:
            self._tell_substitution(job)
        reusable = False
        try:
            ending = await lease.sandbox.run(
                Invocation(
                    request_id=job.request_id,
                    args=job.args,
                    env=job.function_env(),
                    timeout_s=job.limits.timeout_s,
                    trigger_path=job.trigger_path,
                    user=_wechat_user(job.principal),
                ),
                host,
            )
            reusable = ending.reusable
            return ending
        finally:
            self._pool.release(lease, reusable=reusable)

    def _tell_substitution(self, job: Job) -> None:
        wanted = parse_runtime(job.code.runtime)
        used = nearest(self._node_majors, wanted)
        if used != wanted and job.code.deployment_id not in self._told:
            if len(self._told) >= _TOLD_MAX:
                self._told.clear()
            self._told.add(job.code.deployment_id)
            _log.info(
                "runtime_substituted",
                space=job.space_id,
                function=job.function,
                asked=job.code.runtime,
                runs_on=f"Node.js {used}",
            )

    def _finish(
        self,
        job: Job,
        host: _JobHost,
        ending: Ending,
        *,
        lease: Lease | None,
        run: _Run,
    ) -> Outcome:
        now = self._clock.monotonic()
        bill = make_bill(
            Spent(
                queue_ms=run.queue_ms,
                cold=lease.cold if lease else False,
                start_ms=lease.start_ms if lease else (now - run.taken) * 1000,
                load=lease.load if lease else None,
                run=None if run.began is None else ending.usage,
                run_ms=0.0 if run.began is None else (now - run.began) * 1000,
                calls=host.counts,
                proxied=host.traffic,
            )
        )
        lines = list(host.lines)
        if ending.fault is not None:
            lines.append(_fault_line(ending, self._clock.now_ms()))
        outcome = Outcome(
            request_id=job.request_id,
            kind=ending.kind,
            value=ending.value,
            fault=ending.fault,
            bill=bill,
        )
        self._records.append(
            InvocationRecord.of(
                job,
                outcome,
                started_ms=run.started_ms,
                lines=tuple(lines),
                lines_cut=host.cut,
            )
        )
        return outcome


_STOPPED = {
    OutcomeKind.WORKER_LOST: WORKER_STOPPED,
    OutcomeKind.CANCELLED: Fault(name="Cancelled", message="the job was cancelled while it ran"),
}
"""By how a run was stopped (`RunStop`)."""


def _wechat_user(principal: Principal) -> WechatUser | None:
    """Whom functions in the form of WeChat's find in their event; None for everybody else."""
    if principal.provider != Provider.WECHAT or not principal.open_id or not principal.app_id:
        return None
    return WechatUser(open_id=principal.open_id, app_id=principal.app_id)


def _our_ending(kind: OutcomeKind, name: str, message: str) -> Ending:
    return Ending(kind=kind, fault=Fault(name=name, message=message, code=name), reusable=False)


def _fault_line(ending: Ending, now_ms: int) -> LogLine:
    """The last line of a failed invocation's log: what its author has to know."""
    fault = ending.fault
    assert fault is not None
    text = fault.stack or f"{fault.name}: {fault.message}"
    return LogLine(level=LogLevel.ERROR, time_ms=now_ms, text=f"[{ending.kind.value}] {text}")
