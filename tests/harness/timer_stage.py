"""Several gateways that run timers: everything real but the queue, the stores in memory and the time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from runtime.backends.control_memory import ControlMemory
from runtime.backends.lease_memory import LeasesMemory
from runtime.backends.ledger_memory import LedgerMemory
from runtime.backends.timers_memory import TimersMemory
from runtime.errors import OverloadedError, UnavailableError
from runtime.job_ids import JobIds
from runtime.jobs.submit import Accepted, AsyncSubmitter
from runtime.messages import Function, InvocationRecord, Job, Source, Space
from runtime.ports import (
    Clock,
    ControlStore,
    LeaseMark,
    LeaseStore,
    Ledger,
    Sleep,
    TimerKey,
    TimerState,
    TimerStore,
)
from runtime.sealing import SecretBox
from runtime.services.async_calls import AsyncCalls
from runtime.services.async_terms import AsyncDefaults
from runtime.services.directory import SpaceDirectory
from runtime.services.interfaces import AsyncInvoker
from runtime.services.invoke import JobFactory
from runtime.services.space_keys import seal_new_client_secret
from runtime.services.timer_calls import TimerCalls
from runtime.timers.lease import SoleLease
from runtime.timers.timers import TimerLimits, Timers
from tests.harness.async_jobs import ListQueue

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
BOX = SecretBox(b"m" * 32)
LEASE_S = 10.0


class _Forget:
    def append(self, record: InvocationRecord) -> None: ...


def timed(name: str, cron: str, *, set_ms: int = START_MS, **changes: object) -> Function:
    """A deployed function with a timer."""
    settings: dict[str, object] = {
        "timer_payload": f"for {name}",
        "live_deployment_id": "dep-1",
        "live_digest": "0" * 64,
        **changes,
    }
    return Function(name=name, timer_cron=cron, timer_set_ms=set_ms, **settings)  # type: ignore[arg-type]


def space_of(space_id: str, *functions: Function, revision: int = 1) -> Space:
    return Space(
        space_id=space_id,
        name="timed",
        client_secret_sealed=seal_new_client_secret(BOX, space_id),
        private_key_sealed=b"",
        public_key_pem="",
        created_ms=START_MS,
        modified_ms=START_MS,
        revision=revision,
        functions={each.name: each for each in functions},
    )


@dataclass
class Faults:
    """What goes wrong around one gateway; parts of 1. Everything takes a moment."""

    dice: random.Random
    refused: float = 0.0
    unanswered: float = 0.0
    """The job was accepted, the gateway does not learn it."""
    unstored: float = 0.0
    longest_s: float = 0.0
    dead: bool = False
    """Nothing of it reaches anything any more."""

    async def before(self) -> None:
        if self.dead:
            raise UnavailableError("the gateway is dead")
        if self.longest_s:
            await asyncio.sleep(self.dice.uniform(0, self.longest_s))

    def happens(self, part: float) -> bool:
        return self.dice.random() < part


class FaultyCalls:
    """Implements `AsyncInvoker` around another one."""

    def __init__(self, calls: AsyncInvoker, faults: Faults) -> None:
        self._calls = calls
        self._faults = faults

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
        await self._faults.before()
        if self._faults.happens(self._faults.refused):
            raise OverloadedError("full")
        accepted = await self._calls.submit(
            space_id,
            function,
            args,
            source=source,
            request_id=request_id,
            idempotency_key=idempotency_key,
        )
        await self._faults.before()
        if self._faults.happens(self._faults.unanswered):
            raise UnavailableError("no answer")
        return accepted


class FaultyStates(TimerStore):
    """A store that may fail before and after a change."""

    def __init__(self, states: TimerStore, faults: Faults) -> None:
        self._states = states
        self._faults = faults

    async def states(self, space_id: str | None = None) -> dict[TimerKey, TimerState]:
        await self._faults.before()
        return dict(await self._states.states(space_id))

    async def replace(self, key: TimerKey, before: TimerState | None, after: TimerState) -> bool:
        await self._faults.before()
        self._fail()
        done = await self._states.replace(key, before, after)
        self._fail()
        return done

    async def forget(self, key: TimerKey, state: TimerState) -> None:
        await self._faults.before()
        await self._states.forget(key, state)

    def _fail(self) -> None:
        if self._faults.happens(self._faults.unstored / 2):
            raise UnavailableError("not stored")


class FaultyLeases(LeaseStore):
    """Reached only by the living."""

    def __init__(self, leases: LeaseStore, faults: Faults) -> None:
        self._leases = leases
        self._faults = faults

    async def read(self, name: str) -> LeaseMark | None:
        await self._faults.before()
        return await self._leases.read(name)

    async def change(self, name: str, before: LeaseMark | None, holder: str) -> LeaseMark | None:
        await self._faults.before()
        return await self._leases.change(name, before, holder)


class HeadlessLease(SoleLease):
    """Never notices that it lost: two gateways are active at once."""

    @property
    def holds(self) -> bool:
        return True

    @property
    def renew_in_s(self) -> float:
        return LEASE_S

    async def hold(self) -> bool:
        return True


@dataclass
class Stage:
    """What all gateways share."""

    control: ControlStore = field(default_factory=ControlMemory)
    leases: LeaseStore = field(default_factory=LeasesMemory)
    states: TimerStore = field(default_factory=TimersMemory)
    queue: ListQueue = field(default_factory=ListQueue)
    ledger: Ledger = field(default_factory=LedgerMemory)
    limits: TimerLimits = field(default_factory=TimerLimits)
    gateways: int = 0

    def gateway(
        self,
        clock: Clock,
        faults: Faults | None = None,
        *,
        lease: type[SoleLease] = SoleLease,
        sleep: Sleep = asyncio.sleep,
    ) -> Timers:
        """A new one; `run` is not called."""
        faults = faults or Faults(random.Random(0))
        self.gateways += 1
        directory = SpaceDirectory(
            store=self.control, box=BOX, clock=clock, max_age_s=5, poll_s=2, max_spaces=100
        )
        calls = AsyncCalls(
            directory=directory,
            jobs=JobFactory(
                args_max_bytes=1 << 20,
                timeout_sync_max_s=60,
                timeout_async_max_s=7200,
                queue_wait_s=30,
            ),
            submitter=AsyncSubmitter(ledger=self.ledger, queue=self.queue, clock=clock),
            ids=JobIds(b"k" * 32),
            records=_Forget(),
            clock=clock,
            defaults=AsyncDefaults(),
            depth_max=3,
        )
        return Timers(
            source=self.control,
            states=FaultyStates(self.states, faults),
            lease=lease(
                FaultyLeases(self.leases, faults),
                clock,
                name="timers",
                holder=f"gateway {self.gateways}",
                lease_s=LEASE_S,
            ),
            fire=TimerCalls(directory=directory, calls=FaultyCalls(calls, faults)),
            clock=clock,
            limits=self.limits,
            sleep=sleep,
        )

    @property
    def jobs(self) -> list[Job]:
        return [job for job, _ in self.queue.jobs]

    def job_keys(self) -> list[tuple[str, str]]:
        """Space and idempotency key of each job, in order."""
        return [
            (job.space_id, (job.terms.idempotency_key if job.terms else None) or "")
            for job in self.jobs
        ]

    async def state(self, space_id: str, function: str) -> TimerState | None:
        return (await self.states.states()).get((space_id, function))
