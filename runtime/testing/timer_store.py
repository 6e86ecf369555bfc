"""What every `TimerStore` adapter must keep."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from runtime.ports import TimerState, TimerStore

KEY = ("mp-1", "hello")
STATE = TimerState(set_ms=1_700_000_000_000, seen_ms=1_700_000_060_000)


class TimerStoreContract:
    """Give `timers`, an empty store, and `rivals`, several over the same data."""

    @pytest.fixture
    def timers(self) -> TimerStore:
        raise NotImplementedError

    @pytest.fixture
    def rivals(self, timers: TimerStore) -> Sequence[TimerStore]:
        return [timers] * 4

    async def test_state_comes_back_equal(self, timers: TimerStore) -> None:
        assert await timers.states() == {}
        full = replace(STATE, fired=3, missed=2, skipped=1, fired_ms=9, job_id="job-1")
        assert await timers.replace(KEY, None, STATE)
        assert await timers.states() == {KEY: STATE}
        assert await timers.replace(KEY, STATE, full)
        assert await timers.states() == {KEY: full}

    async def test_states_of_one_space_are_found(self, timers: TimerStore) -> None:
        keys = [("mp-1", "a"), ("mp-1", "b"), ("mp-2", "a"), ("mp-11", "a")]
        for key in keys:
            assert await timers.replace(key, None, STATE)
        assert set(await timers.states("mp-1")) == set(keys[:2])
        assert set(await timers.states()) == set(keys)
        assert await timers.states("mp") == {}

    async def test_who_saw_something_older_changes_nothing(self, timers: TimerStore) -> None:
        later = replace(STATE, seen_ms=STATE.seen_ms + 60_000)
        counted = replace(STATE, missed=1)
        anew = replace(STATE, set_ms=STATE.set_ms + 1)
        assert not await timers.replace(KEY, STATE, later)
        assert await timers.states() == {}
        assert await timers.replace(KEY, None, STATE)
        for other in (None, later, counted, anew):
            assert not await timers.replace(KEY, other, later)
            if other is not None:
                await timers.forget(KEY, other)
        assert await timers.states() == {KEY: STATE}

    async def test_time_may_go_back_and_a_timer_be_set_anew(self, timers: TimerStore) -> None:
        assert await timers.replace(KEY, None, STATE)
        back = replace(STATE, seen_ms=STATE.seen_ms - 3_600_000, fired=1)
        assert await timers.replace(KEY, STATE, back)
        anew = TimerState(set_ms=STATE.set_ms + 5, seen_ms=STATE.seen_ms)
        assert await timers.replace(KEY, back, anew)
        assert await timers.states() == {KEY: anew}

    async def test_forgetting_is_idempotent(self, timers: TimerStore) -> None:
        await timers.forget(KEY, STATE)
        assert await timers.replace(KEY, None, STATE)
        assert await timers.replace(("mp-1", "other"), None, STATE)
        for _ in range(2):
            await timers.forget(KEY, STATE)
            assert set(await timers.states()) == {("mp-1", "other")}
        assert await timers.replace(KEY, None, STATE)

    async def test_one_of_many_at_once_gets_on(
        self, timers: TimerStore, rivals: Sequence[TimerStore]
    ) -> None:
        before: TimerState | None = None
        for _ in range(5):
            base = before or STATE
            afters = [
                replace(base, seen_ms=base.seen_ms + 60_000, job_id=f"job-{i}")
                for i in range(len(rivals))
            ]
            done = await asyncio.gather(
                *(
                    each.replace(KEY, before, after)
                    for each, after in zip(rivals, afters, strict=True)
                )
            )
            (won,) = [after for after, ok in zip(afters, done, strict=True) if ok]
            assert await timers.states() == {KEY: won}
            before = won
