"""Runs the timers of the installation: each tick becomes exactly one job.

Every gateway has one of these; a lease lets one of them be active. Should two be active for a moment all
the same, a tick is still one job: its idempotency key is the same for both. The lease spares the work,
the key is the promise.

What was decided about a tick is stored after it (`TimerStore`). Who becomes active goes on from there:
what nobody ran is run late within the tolerance, and counted as missed beyond it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from runtime.errors import CallerError, OursError
from runtime.ports import Clock, Sleep, Timer, TimerState, TimerStore
from runtime.timers.lease import SoleLease
from runtime.timers.plan import Plan, Planned
from runtime.timers.schedule import utc_text

_log = structlog.get_logger(__name__)

_RETRY_FIRST_MS = 1000
_RETRY_LONGEST_MS = 8000
_FORGET_EVERY_S = 3600.0
_SHORTEST_WAIT_S = 0.001
"""As fine as ticks are told; less would be a loop without a pause when clocks are rounded."""


class TimerSource(Protocol):
    """Part of `ControlStore`."""

    async def timers(self) -> Sequence[Timer]: ...


class NotYetKnownError(Exception):
    """This gateway's view of the space does not show the timer as it is set; a moment later it will."""


class Fire(Protocol):
    """Makes one tick a job and returns its id; for the same tick the same job, whoever asks.

    Raises CallerError when there is nothing to run (space paused, no code), OursError when it was
    refused or may not have been accepted, NotYetKnownError."""

    async def __call__(self, timer: Timer, tick_ms: int) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerLimits:
    """Seconds and counts; see the settings with these names."""

    poll_s: float = 2.0
    late_max_s: float = 60.0
    concurrency: int = 32
    missed_count_max: int = 10_000


class Timers:
    """`run` it as a task that somebody watches."""

    def __init__(
        self,
        *,
        source: TimerSource,
        states: TimerStore,
        lease: SoleLease,
        fire: Fire,
        clock: Clock,
        limits: TimerLimits,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._source = source
        self._states = states
        self._lease = lease
        self._fire = fire
        self._clock = clock
        self._limits = limits
        self._sleep = sleep
        self._late_max_ms = round(limits.late_max_s * 1000)
        self._plan: Plan | None = None
        self._outdated = False
        self._followed = 0.0
        self._forgot: float | None = None
        self._failure: OursError | None = None
        self.accepting = True
        """False: the program is stopping, another one shall run the timers."""
        self._fired = self._missed = self._skipped = 0

    @property
    def active(self) -> bool:
        """Whether this program runs the timers, as far as it knows."""
        return self._plan is not None and self._lease.holds

    def gauges(self) -> Mapping[str, float]:
        """For metrics; counts are of this program's time."""
        return {
            "timers_active": self.active,
            "timers": len(self._plan.planned) if self._plan else 0,
            "timer_ticks_fired_total": self._fired,
            "timer_ticks_missed_total": self._missed,
            "timer_ticks_skipped_total": self._skipped,
        }

    async def run(self) -> None:
        """Run timers until cancelled; then the lease is given back."""
        try:
            while True:
                try:
                    wait_s = await self.step()
                except OursError as error:
                    _log.warning("timers_not_run", error=str(error))
                    wait_s = self._limits.poll_s
                await self._sleep(wait_s)
        finally:
            await self._give_back()

    async def step(self) -> float:
        """What is to be done now; returns in how many seconds there may be more. Raises UnavailableError."""
        if not self.accepting:
            await self._give_back()
            return self._limits.poll_s
        if not await self._lease.hold():
            if self._plan is not None:
                _log.info("timers_inactive")
            self._plan = None
            return self._limits.poll_s
        plan = await self._follow()
        await self._decide_all(plan)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._outdated = True
            raise failure
        return self._wait_s(plan)

    async def _follow(self) -> Plan:
        """Learn which timers there are, when that is due."""
        now = self._clock.monotonic()
        plan = self._plan
        if plan is None or self._outdated:
            plan = Plan(late_max_ms=self._late_max_ms)
        elif now - self._followed < self._limits.poll_s:
            return plan
        timers = await self._source.timers()
        forget = self._forgot is None or now - self._forgot >= _FORGET_EVERY_S
        if forget or not all(map(plan.is_known, timers)):
            states = await self._states.states()
        else:
            states = {}
        told = set(plan.unreadable)
        plan.follow(timers, states, self._clock.now_ms())
        for timer, problem in plan.unreadable.items():
            if timer not in told:
                _log.error("timer_unreadable", **_ids(timer), cron=timer.cron, error=problem)
        if self._plan is None:
            _log.info("timers_active", timers=len(plan.planned))
        self._plan, self._outdated, self._followed = plan, False, now
        if forget:
            self._forgot = now
            present = {timer.key for timer in timers}
            for key, state in states.items():
                if key not in present:
                    await self._states.forget(key, state)
        return plan

    async def _decide_all(self, plan: Plan) -> None:
        """Everything that is due, so many at a time; ends early when the lease should be renewed."""
        due = plan.due(self._clock.now_ms())
        waiting = iter(due)

        async def decide_some() -> None:
            for planned in waiting:
                await self._decide(planned)
                if self._lease.renew_in_s <= 0 or self._interrupted():
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._limits.concurrency, len(due))):
                group.create_task(decide_some(), name="decide upon ticks of timers")

    async def _decide(self, planned: Planned) -> None:
        """What is too late of one timer, then one tick."""
        try:
            if await self._count_missed(planned) and planned.next_ms <= self._clock.now_ms():
                await self._decide_tick(planned, planned.next_ms)
        except OursError as error:  # of the store; what it does not know is decided again
            self._failure = error

    async def _count_missed(self, planned: Planned) -> bool:
        """False: somebody else decides upon this timer."""
        after = planned.missed(
            self._clock.now_ms(),
            late_max_ms=self._late_max_ms,
            count_max=self._limits.missed_count_max,
        )
        if after is None:
            return True
        count = after.missed - planned.state.missed
        if not await self._store(planned, after):
            return False
        self._missed += count
        _log.warning(
            "timer_ticks_missed", **_ids(planned.timer), count=count, last=utc_text(after.seen_ms)
        )
        return True

    async def _decide_tick(self, planned: Planned, tick_ms: int) -> None:
        state = planned.state
        try:
            job_id = await self._fire(planned.timer, tick_ms)
        except CallerError as error:
            after = replace(state, seen_ms=tick_ms, skipped=state.skipped + 1)
            if await self._store(planned, after):
                self._skipped += 1
                _log.info("timer_tick_skipped", **_ids(planned.timer), reason=error.message)
        except (OursError, NotYetKnownError) as error:
            # Beyond the tolerance it is counted as missed.
            wait_ms = min(_RETRY_FIRST_MS << min(planned.tries, 10), _RETRY_LONGEST_MS)
            planned.try_again(self._clock.now_ms() + wait_ms)
            _log.warning(
                "timer_tick_delayed",
                **_ids(planned.timer),
                tick=utc_text(tick_ms),
                error=str(error) or "its setting is not known here yet",
            )
        else:
            after = replace(
                state, seen_ms=tick_ms, fired=state.fired + 1, fired_ms=tick_ms, job_id=job_id
            )
            if await self._store(planned, after):
                self._fired += 1

    async def _store(self, planned: Planned, after: TimerState) -> bool:
        if await self._states.replace(planned.timer.key, planned.stored, after):
            planned.decided(after)
            return True
        self._outdated = True  # another program is active, or was a moment ago
        return False

    def _interrupted(self) -> bool:
        return self._outdated or self._failure is not None or not self.accepting

    def _wait_s(self, plan: Plan) -> float:
        now = self._clock.monotonic()
        if self._outdated:
            return 0.0
        wait_s = min(self._lease.renew_in_s, self._limits.poll_s - (now - self._followed))
        next_ms = plan.next_ms()
        if next_ms is not None:
            wait_s = min(wait_s, (next_ms - self._clock.now_ms()) / 1000)
        return max(wait_s, _SHORTEST_WAIT_S)

    async def _give_back(self) -> None:
        self._plan = None
        try:
            await self._lease.give_back()
        except OursError as error:  # another program waits for its end
            _log.warning("timer_lease_not_given_back", error=str(error))


def _ids(timer: Timer) -> dict[str, str]:
    return {"space": timer.space_id, "function": timer.function}
