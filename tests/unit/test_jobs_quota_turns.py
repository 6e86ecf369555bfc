"""Thousands of jobs over a quota are looked at a few times each, and the quota stays filled."""

from __future__ import annotations

import heapq
from random import Random

import pytest

from runtime.jobs.quota_turns import QuotaTurns

KEY = ("mp-1",)


def test_few_jobs_come_back_soon_and_none_later_than_the_longest() -> None:
    turns = QuotaTurns(first_s=5.0, longest_s=300.0)
    assert [turns.delay_s(KEY, 0.0) for _ in range(50)] == [5.0] * 50
    for _ in range(20_000):
        last = turns.delay_s(KEY, 0.0)
    assert last == 300.0
    assert turns.delay_s(("mp-2",), 0.0) == 5.0, "every space has its own turns"
    assert turns.delay_s(KEY, 301.0) == 5.0, "those that came back are not waited for"


@pytest.mark.parametrize(("quota", "run_s"), [(4, 0.1), (4, 1.0), (50, 10.0)])
def test_a_backlog_over_its_quota(quota: int, run_s: float) -> None:
    """One worker's looks at thousands of jobs of one space, in virtual time, spread as the runner does it."""
    jobs, random = 3000, Random(1)
    turns = QuotaTurns(first_s=5.0, longest_s=300.0)
    waiting = [0.0] * jobs
    running: list[float] = []
    looks, now_s = 0, 0.0
    while waiting:
        now_s = max(now_s, heapq.heappop(waiting)) + 0.002  # what a look costs
        while running and running[0] <= now_s:
            heapq.heappop(running)
        looks += 1
        if len(running) < quota:
            turns.began(KEY, now_s)
            heapq.heappush(running, now_s + run_s)
        else:
            delay_s = turns.delay_s(KEY, now_s) * (0.75 + 0.5 * random.random())
            heapq.heappush(waiting, now_s + delay_s)
    best_s = jobs * run_s / quota
    assert looks <= 8 * jobs, "every five seconds they would be dozens"
    assert now_s <= 1.2 * best_s + 60, "the quota is filled nearly all the time"
