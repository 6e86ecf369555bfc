"""What one gateway does with ticks: in time, late, too late, refused, skipped, with wrong clocks."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from runtime.errors import UnavailableError
from runtime.messages import Function, Source, SpaceStatus
from runtime.ports import Timer
from runtime.timers.timers import TimerLimits, Timers
from tests.harness.clock import FakeClock
from tests.harness.timer_stage import (
    LEASE_S,
    START_MS,
    Faults,
    HeadlessLease,
    Stage,
    space_of,
    timed,
)

SPACE = "mp-1"
CRON = "0 * * * * *"


class Bench:
    """A stage, a clock turned by hand and one gateway; `pass_` is the time that the gateway sees."""

    def __init__(self, **limits: float) -> None:
        self.stage = Stage(limits=TimerLimits(**limits))  # type: ignore[arg-type]
        self.clock = FakeClock(START_MS)
        self.faults = Faults(random.Random(1))
        self.timers = self.new_gateway()

    def new_gateway(self, clock: FakeClock | None = None) -> Timers:
        return self.stage.gateway(clock or self.clock, self.faults)

    async def set(self, *functions: Function, **changes: object) -> None:
        stored = await self.stage.control.read_space(SPACE)
        if stored is None:
            await self.stage.control.create_space(space_of(SPACE, *functions))
        space = space_of(SPACE, *functions, revision=stored.revision + 1 if stored else 2)
        await self.stage.control.replace_space(replace(space, **changes))  # type: ignore[arg-type]

    async def pass_(self, seconds: float, timers: Timers | None = None) -> None:
        """Steps as `run` would make them."""
        left = seconds
        while True:
            wait_s = await (timers or self.timers).step()
            if wait_s > left:
                self.clock.advance(left)
                return
            self.clock.advance(wait_s)
            left -= wait_s

    def ticks(self) -> list[str]:
        return [key.split(" ")[2] for _, key in self.stage.job_keys()]

    async def counts(self, function: str = "f") -> tuple[int, int, int]:
        state = await self.stage.state(SPACE, function)
        return (state.fired, state.missed, state.skipped) if state else (0, 0, 0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_tick_becomes_a_job_with_what_the_function_gets(bench: Bench) -> None:
    await bench.set(timed("f", "cron:30 */2 * * * *", timer_payload="说 hi", timeout_s=600))
    await bench.pass_(200)
    assert bench.ticks() == ["2026-01-01T00:00:30Z", "2026-01-01T00:02:30Z"]
    job = bench.stage.jobs[1]
    assert json.loads(job.args) == {
        "userPayload": "说 hi",
        "triggerTime": "2026-01-01T00:02:30Z",
        "triggerName": "timer",
    }
    assert job.function_env()["MP_SOURCE"] == "timing"
    assert (job.source, job.principal.user_id, job.limits.timeout_s) == (Source.TIMING, None, 600)
    assert job.terms is not None
    assert job.terms.accepted_ms == START_MS + 150_000
    state = await bench.stage.state(SPACE, "f")
    assert state is not None
    assert (state.fired_ms, state.job_id) == (START_MS + 150_000, job.job_id)
    assert await bench.counts() == (2, 0, 0)


async def test_changes_are_followed_within_the_poll(bench: Bench) -> None:
    await bench.set(timed("f", CRON), timed("g", ""))
    await bench.pass_(57)
    await bench.set(timed("f", ""), timed("g", CRON, set_ms=bench.clock.now_ms()))
    await bench.pass_(10)
    assert [job.function for job in bench.stage.jobs] == ["g"]
    await bench.set(timed("g", "0 0 8 * * *", set_ms=bench.clock.now_ms()))
    await bench.pass_(120)
    assert len(bench.stage.jobs) == 1


async def test_ticks_before_a_timer_was_set_are_none_of_its_own(bench: Bench) -> None:
    await bench.pass_(3590)
    await bench.set(timed("f", "0 */30 * * * *", set_ms=bench.clock.now_ms()))
    await bench.pass_(20)
    assert bench.ticks() == ["2026-01-01T01:00:00Z"]
    assert await bench.counts() == (1, 0, 0)
    # Set anew: its counts begin again, what was before is not looked at.
    await bench.set(timed("f", CRON, set_ms=bench.clock.now_ms()))
    await bench.pass_(60)
    assert await bench.counts() == (1, 0, 0)
    assert len(bench.ticks()) == 2


@pytest.mark.parametrize(("stopped_s", "late", "missed"), [(30, 0, 0), (75, 1, 0), (3600, 1, 59)])
async def test_after_a_stop_a_late_tick_is_run_and_older_ones_are_counted(
    bench: Bench, stopped_s: int, late: int, missed: int
) -> None:
    await bench.set(timed("f", CRON))
    await bench.pass_(61)
    await bench.timers._give_back()
    bench.clock.advance(stopped_s)
    again = bench.new_gateway()
    await again.step()
    await again.step()
    fired, counted, _ = await bench.counts()
    assert (fired - 1, counted) == (late, missed)
    assert len(bench.ticks()) == fired


async def test_counting_of_missed_ticks_is_bounded() -> None:
    bench = Bench(missed_count_max=100)
    await bench.set(timed("f", CRON))
    bench.clock.advance(86_400 * 365 + 30)
    await bench.pass_(0.5)
    assert await bench.counts() == (1, 100, 0)
    assert bench.ticks() == ["2027-01-01T00:00:00Z"]


async def test_refused_tick_is_tried_again_until_it_is_too_late(bench: Bench) -> None:
    await bench.set(timed("f", "0 0 * * * *"))
    await bench.pass_(3590)
    bench.faults.refused = 1.0
    await bench.pass_(40)
    assert bench.stage.jobs == []
    bench.faults.refused = 0.0
    await bench.pass_(10)
    assert bench.ticks() == ["2026-01-01T01:00:00Z"]
    bench.faults.refused = 1.0
    await bench.pass_(3600 + 120)
    bench.faults.refused = 0.0
    await bench.pass_(600)
    assert await bench.counts() == (1, 1, 0)
    assert len(bench.stage.jobs) == 1


async def test_unanswered_tick_is_still_one_job(bench: Bench) -> None:
    await bench.set(timed("f", "0 0 * * * *"))
    bench.faults.unanswered = 1.0
    await bench.pass_(3610)
    bench.faults.unanswered = 0.0
    await bench.pass_(30)
    assert len(bench.stage.jobs) == 1
    assert await bench.counts() == (1, 0, 0)


async def test_tick_whose_state_is_not_stored_is_still_one_job(bench: Bench) -> None:
    await bench.set(timed("f", "0 0 * * * *"))
    await bench.pass_(3590)
    bench.faults.unstored = 2.0
    for _ in range(5):
        bench.clock.advance(2.2)
        try:
            await bench.timers.step()
        except UnavailableError:
            continue
    bench.faults.unstored = 0.0
    await bench.pass_(30)
    assert len(bench.stage.jobs) == 1
    assert await bench.counts() == (1, 0, 0)


@pytest.mark.parametrize("why", ["paused", "no code"])
async def test_what_cannot_run_is_skipped_and_counted(bench: Bench, why: str) -> None:
    if why == "paused":
        await bench.set(timed("f", CRON), status=SpaceStatus.PAUSED)
    else:
        await bench.set(timed("f", CRON, live_deployment_id=None, live_digest=None))
    await bench.pass_(200)
    assert await bench.counts() == (0, 0, 3)
    await bench.set(timed("f", CRON))
    await bench.pass_(60)
    assert await bench.counts() == (1, 0, 3)


async def test_deleted_space_leaves_nothing_behind(bench: Bench) -> None:
    await bench.set(timed("f", CRON))
    await bench.pass_(70)
    await bench.stage.control.delete_space(SPACE)
    await bench.pass_(3700)
    assert len(bench.stage.jobs) == 1
    assert await bench.stage.states.states() == {}


async def test_unreadable_timer_does_not_stop_the_others(bench: Bench) -> None:
    await bench.set(timed("f", "every minute"), timed("g", CRON))
    await bench.pass_(70)
    assert [job.function for job in bench.stage.jobs] == ["g"]


async def test_clock_that_was_ahead_for_a_while_neither_stops_nor_doubles_ticks(
    bench: Bench,
) -> None:
    await bench.set(timed("f", CRON))
    await bench.pass_(61)
    bench.clock._now_ms += 30 * 86_400_000
    await bench.pass_(60)
    bench.clock._now_ms -= 30 * 86_400_000
    await bench.pass_(180)
    ticks = bench.ticks()
    assert len(set(ticks)) == len(ticks)
    for minute in (1, 2, 3, 4, 5):
        assert f"2026-01-01T00:0{minute}:00Z" in ticks


async def test_gateway_ahead_of_the_other_does_not_double_ticks(bench: Bench) -> None:
    ahead = FakeClock(START_MS + 300_000)
    early = bench.new_gateway(ahead)
    await bench.set(timed("f", CRON))
    await early.step()
    for _ in range(4):
        ahead.advance(60)
        await early.step()
    await early._give_back()
    made = set(bench.ticks())
    await bench.pass_(15 * 60)
    assert len(bench.ticks()) == len(set(bench.ticks()))
    assert made <= set(bench.ticks())
    assert "2026-01-01T00:14:00Z" in bench.ticks()


async def test_gateway_whose_timer_another_one_moved_goes_on_from_there(bench: Bench) -> None:
    await bench.set(timed("f", CRON))
    await bench.pass_(115)
    other = bench.stage.gateway(bench.clock, bench.faults, lease=HeadlessLease)
    bench.clock.advance(6)
    await other.step()
    assert await bench.counts() == (2, 0, 0)
    await bench.pass_(60)
    assert await bench.counts() == (3, 0, 0)
    assert len(bench.stage.jobs) == 3


async def test_timer_that_was_switched_off_a_moment_ago_is_not_run() -> None:
    bench = Bench(poll_s=50)
    await bench.set(timed("f", CRON))
    await bench.pass_(55)
    await bench.set(timed("f", ""))
    await bench.pass_(70)
    assert bench.stage.jobs == []
    assert bench.timers.gauges()["timers"] == 0
    assert await bench.counts() == (0, 0, 0)


async def test_gateway_that_stops_gives_the_lease_away_and_fires_no_more(bench: Bench) -> None:
    await bench.set(timed("f", CRON))
    await bench.pass_(30)
    assert bench.timers.active
    assert bench.timers.gauges()["timers"] == 1
    bench.timers.accepting = False
    await bench.pass_(2)
    assert bench.timers.gauges()["timers_active"] == 0
    other = bench.new_gateway()
    await bench.pass_(40, other)
    assert other.active
    assert len(bench.ticks()) == 1
    assert bench.timers.gauges()["timer_ticks_fired_total"] == 0


async def test_run_ends_only_when_cancelled_and_gives_the_lease_back(bench: Bench) -> None:
    await bench.set(timed("f", CRON))
    waits: asyncio.Queue[float] = asyncio.Queue()
    go = asyncio.Event()

    def sleeping(clock: FakeClock) -> Callable[[float], Awaitable[None]]:
        async def sleep(seconds: float) -> None:
            clock.advance(seconds)
            await waits.put(seconds)
            go.clear()
            await go.wait()

        return sleep

    timers = bench.stage.gateway(bench.clock, bench.faults, sleep=sleeping(bench.clock))
    task = asyncio.create_task(timers.run())
    await waits.get()
    bench.faults.dead = True  # the database is away
    for _ in range(5):
        go.set()
        await waits.get()
    assert not task.done()
    bench.faults.dead = False
    go.set()
    await waits.get()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    mark = await bench.stage.leases.read("timers")
    assert mark is not None
    assert mark.holder == ""


async def test_thousands_at_once_are_bounded_and_the_lease_is_kept(bench: Bench) -> None:
    bench = Bench(concurrency=8)
    await bench.set(*(timed(f"f{i}", "0 0 * * * *") for i in range(500)))
    await bench.pass_(3599)
    under_way = most = 0
    fire = bench.timers._fire

    async def counted(timer: Timer, tick_ms: int) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        bench.clock.advance(LEASE_S / 200)
        under_way -= 1
        return await fire(timer, tick_ms)

    bench.timers._fire = counted
    rival = bench.new_gateway()
    for _ in range(100):
        bench.clock.advance(await bench.timers.step())
        await rival.step()
        assert not rival.active
    assert most == 8
    assert len(set(bench.ticks())) == 1
    assert len({job.function for job in bench.stage.jobs}) == 500
