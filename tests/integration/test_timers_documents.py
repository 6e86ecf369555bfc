"""Gateways that share a real document database: lease, states and ledger as they are in a program."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.backends.control_mongodb import ControlMongodb
from runtime.backends.documents_embedded import EmbeddedDocuments
from runtime.backends.documents_mongodb import Client, connect
from runtime.backends.lease_mongodb import LeasesMongodb
from runtime.backends.ledger_mongodb import LedgerMongodb
from runtime.backends.timers_mongodb import TimersMongodb
from runtime.timers.schedule import read_schedule, utc_text
from tests.harness.clock import FakeClock
from tests.harness.timer_stage import START_MS, HeadlessLease, Stage, space_of, timed

pytestmark = pytest.mark.integration

CRONS = {"every": "0 * * * * *", "half": "30 */2 * * * *", "quarter": "15 */15 * * * *"}
MINUTES = 20


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with EmbeddedDocuments(tmp_path, "data") as documents:
        client = connect(documents.url, timeout_s=20)
        async with client:
            yield client


async def stage_on(client: Client) -> Stage:
    control, states = ControlMongodb(client["control"]), TimersMongodb(client["control"])
    ledger = LedgerMongodb(client["jobs"])
    await control.ensure_indexes()
    await states.ensure_indexes()
    await ledger.ensure_indexes()
    return Stage(
        control=control, leases=LeasesMongodb(client["control"]), states=states, ledger=ledger
    )


async def test_two_active_gateways_make_each_tick_one_job(client: Client) -> None:
    """Both believe that they hold the lease, with clocks some seconds apart; one is replaced now and then."""
    stage = await stage_on(client)
    functions = [timed(name, cron) for name, cron in CRONS.items()]
    await stage.control.create_space(space_of("mp-1", *functions))
    dice = random.Random(7)
    clocks = [FakeClock(START_MS), FakeClock(START_MS + 7_000)]
    gateways = [stage.gateway(clock, lease=HeadlessLease) for clock in clocks]
    for _ in range(MINUTES * 6):
        for clock in clocks:
            clock.advance(10)
        await asyncio.gather(*(gateway.step() for gateway in gateways))
        if dice.random() < 0.1:
            chosen = dice.randrange(2)
            gateways[chosen] = stage.gateway(clocks[chosen], lease=HeadlessLease)
    for clock in clocks:
        clock.advance(30)
    for _ in range(4):
        for gateway in gateways:
            await gateway.step()
    end_ms = START_MS + MINUTES * 60_000
    expected = set()
    for name, cron in CRONS.items():
        for tick_ms in read_schedule(cron).ticks(START_MS):
            if tick_ms > end_ms:
                break
            expected.add(("mp-1", f"timer {name} {utc_text(tick_ms)}"))
    jobs = Counter(stage.job_keys())
    assert {key: n for key, n in jobs.items() if n != 1} == {}
    assert expected <= set(jobs)
    states = await stage.states.states("mp-1")
    assert {key: state.missed for key, state in states.items()} == {
        ("mp-1", name): 0 for name in CRONS
    }
    assert sum(state.fired for state in states.values()) == len(jobs)


async def test_another_gateway_takes_over_and_goes_on_where_the_first_one_was(
    client: Client,
) -> None:
    stage = await stage_on(client)
    await stage.control.create_space(space_of("mp-1", timed("every", CRONS["every"])))
    clock = FakeClock(START_MS)
    first, second = stage.gateway(clock), stage.gateway(clock)
    for _ in range(61):
        await first.step()
        await second.step()
        clock.advance(1)
    assert (first.active, second.active) == (True, False)
    # The first one is gone without a word.
    for _ in range(120):
        await second.step()
        clock.advance(1)
    assert second.active
    keys = [key for _, key in stage.job_keys()]
    assert keys == [f"timer every 2026-01-01T00:0{n}:00Z" for n in (1, 2, 3)]
    await first.step()
    assert not first.active
