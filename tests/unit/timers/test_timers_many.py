"""Two gateways for 1,000 minutes, stopped, killed, skewed and robbed of their lease: each tick is one job."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from runtime.timers.lease import SoleLease
from runtime.timers.schedule import read_schedule, utc_text
from runtime.timers.timers import Timers
from tests.harness.timer_stage import (
    START_MS,
    Faults,
    HeadlessLease,
    Stage,
    space_of,
    timed,
)
from tests.harness.virtual_time import LoopClock, run_virtual

MINUTES = 1000
CRONS = {
    "minutely": "0 * * * * *",
    "half": "30 * * * * ?",
    "fives": "cron:5 */5 * * * * *",
    "hourly": "0 0 * * * *",
    "office": "59 */20 9-17 ? * MON-FRI",
}
SPACE = "mp-1"
SKEW_S = 8.0


@dataclass
class Gateway:
    """One that is started, stopped and killed again and again."""

    stage: Stage
    dice: random.Random
    outages: list[tuple[float, float]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    faults: Faults | None = None

    def start(self, *, headless: bool = False) -> None:
        self.faults = Faults(self.dice, refused=0.05, unanswered=0.05, unstored=0.05, longest_s=0.3)
        clock = LoopClock(START_MS, skew_s=self.dice.uniform(-SKEW_S, SKEW_S))
        timers: Timers = self.stage.gateway(
            clock, self.faults, lease=HeadlessLease if headless else SoleLease
        )
        self.task = asyncio.create_task(timers.run())

    async def end(self, *, killed: bool) -> None:
        assert self.task is not None
        assert self.faults is not None
        self.faults.dead = killed
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled(), self.task.exception()
        self.task = None


async def rob(stage: Stage, dice: random.Random) -> None:
    """Somebody takes the lease who runs nothing."""
    while True:
        await asyncio.sleep(dice.uniform(60, 600))
        mark = await stage.leases.read("timers")
        await stage.leases.change("timers", mark, "nobody")


def ticks_until(end_ms: int) -> dict[tuple[str, str], int]:
    """Space and idempotency key of each tick."""
    found = {}
    for name, cron in CRONS.items():
        for tick_ms in read_schedule(cron).ticks(START_MS):
            if tick_ms > end_ms:
                break
            found[SPACE, f"timer {name} {utc_text(tick_ms)}"] = tick_ms
    return found


async def play(stage: Stage, dice: random.Random, *, outages: bool) -> list[tuple[float, float]]:
    """Returns when no gateway ran, in seconds from the start."""
    gateways = [Gateway(stage, dice), Gateway(stage, dice)]
    robber = asyncio.create_task(rob(stage, dice))
    loop = asyncio.get_running_loop()
    dark: list[tuple[float, float]] = []
    for gateway in gateways:
        gateway.start()
    while loop.time() < MINUTES * 60:
        await asyncio.sleep(dice.uniform(5, 300))
        chosen = dice.choice(gateways)
        await chosen.end(killed=dice.random() < 0.5)
        if outages and dice.random() < 0.2:
            other = gateways[1 - gateways.index(chosen)]
            await other.end(killed=dice.random() < 0.5)
            began = loop.time()
            await asyncio.sleep(dice.uniform(1, 1200))
            dark.append((began, loop.time()))
            other.start()
        await asyncio.sleep(dice.uniform(0, 30))
        chosen.start(headless=dice.random() < 0.3)
    for gateway in gateways:
        await gateway.end(killed=False)
    robber.cancel()
    # A last one settles what is open.
    last = Gateway(stage, dice)
    last.start()
    await asyncio.sleep(120)
    await last.end(killed=False)
    return dark


async def stage_with_timers() -> Stage:
    stage = Stage()
    functions = [timed(name, cron) for name, cron in CRONS.items()]
    await stage.control.create_space(space_of(SPACE, *functions))
    return stage


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_tick_is_exactly_one_job_while_any_gateway_runs(seed: int) -> None:
    async def main() -> None:
        stage = await stage_with_timers()
        await play(stage, random.Random(seed), outages=False)
        jobs = Counter(stage.job_keys())
        assert {key: n for key, n in jobs.items() if n != 1} == {}
        ticks = ticks_until(START_MS + MINUTES * 60_000)
        assert set(ticks) - set(jobs) == set()
        for key in set(jobs) - set(ticks):  # those of the minutes after
            assert key in ticks_until(START_MS + (MINUTES + 30) * 60_000)

    run_virtual(main())


@pytest.mark.parametrize("seed", [4, 5])
def test_ticks_of_an_outage_are_counted_not_caught_up(seed: int) -> None:
    async def main() -> None:
        stage = await stage_with_timers()
        dark = await play(stage, random.Random(seed), outages=True)
        assert len(dark) > 10
        jobs = Counter(stage.job_keys())
        assert {key: n for key, n in jobs.items() if n != 1} == {}
        ticks = ticks_until(START_MS + MINUTES * 60_000)
        lost = {key: ms for key, ms in ticks.items() if key not in jobs}
        assert len(lost) > 50
        for tick_ms in lost.values():
            second = (tick_ms - START_MS) / 1000
            assert any(began - 20 <= second <= ended for began, ended in dark), second
        for began, ended in dark:  # nothing older than the tolerance was run after it
            for job in stage.jobs:
                assert job.terms is not None
                key = job.terms.idempotency_key or ""
                tick_s = (ticks.get((SPACE, key), 0) - START_MS) / 1000
                accepted_s = (job.terms.accepted_ms - START_MS) / 1000
                if began <= tick_s <= ended:
                    assert accepted_s - tick_s <= 60 + 2 * SKEW_S + 5
        states = await stage.states.states()
        missed = sum(state.missed for state in states.values())
        # A job that was made just before the end of its gateway may count as missed besides.
        assert len(lost) <= missed <= len(lost) + len(CRONS) * len(dark)

    run_virtual(main())
