"""How fast jobs of one space are accepted."""

from __future__ import annotations

import pytest

from runtime.errors import RateExceededError
from runtime.jobs.accept_rate import AcceptRate
from runtime.jobs.submit import AsyncSubmitter
from runtime.ports import LedgerQuery
from tests.harness.async_jobs import Stage, job_now
from tests.harness.clock import FakeClock


def taken(rate: AcceptRate, space_id: str, count: int) -> int:
    """How many of so many jobs it let through."""
    through = 0
    for _ in range(count):
        try:
            rate.take(space_id)
        except RateExceededError:
            continue
        through += 1
    return through


def test_a_burst_then_the_rate() -> None:
    clock = FakeClock()
    rate = AcceptRate(per_s=10, burst=50, clock=clock)
    assert taken(rate, "a", 100) == 50
    clock.advance(1)
    assert taken(rate, "a", 100) == 10
    clock.advance(3600)
    assert taken(rate, "a", 100) == 50
    assert rate.refused == 190


def test_spaces_do_not_see_each_other() -> None:
    rate = AcceptRate(per_s=1, burst=5, clock=FakeClock())
    assert taken(rate, "a", 100) == 5
    assert taken(rate, "b", 5) == 5


def test_a_refusal_says_how_long_to_wait_and_costs_nothing() -> None:
    clock = FakeClock()
    rate = AcceptRate(per_s=0.1, burst=1, clock=clock)
    rate.take("a")
    with pytest.raises(RateExceededError, match="space a") as refused:
        rate.take("a")
    assert refused.value.retry_after_s == 10
    clock.advance(10)
    rate.take("a")


def test_nothing_is_bounded_by_0() -> None:
    assert taken(AcceptRate(per_s=0, burst=1, clock=FakeClock()), "a", 1000) == 1000


def test_strangers_do_not_fill_the_memory() -> None:
    """Whoever was pushed out begins with a full bucket."""
    rate = AcceptRate(per_s=1, burst=1, clock=FakeClock(), spaces_max=2)
    for space_id in ("a", "b", "a", "c"):
        taken(rate, space_id, 1)
    assert taken(rate, "b", 1) == 1, "used less recently than a"
    assert taken(rate, "c", 1) == 0


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_job_that_comes_too_fast_is_refused_before_anything_is_written(
    key: str | None,
) -> None:
    stage = Stage()
    submitter = AsyncSubmitter(
        ledger=stage.ledger,
        queue=stage.queue,
        clock=stage.clock,
        rate=AcceptRate(per_s=1, burst=1, clock=stage.clock),
    )
    await submitter.submit(job_now(stage.clock))
    with pytest.raises(RateExceededError):
        await submitter.submit(job_now(stage.clock, idempotency_key=key))
    assert len(stage.queue.jobs) == 1
    assert await stage.ledger.count(LedgerQuery()) == {}
