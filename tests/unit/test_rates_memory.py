"""Rates in memory: time turned by hand, and floods of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.rates_memory import RatesMemory
from runtime.ports.rates import RateRule
from tests.harness.clock import FakeClock

RULE = RateRule(name="r", limit=2, window_s=10, block_s=30)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rates(clock: FakeClock) -> RatesMemory:
    return RatesMemory(clock=clock, keys_max=100)


async def test_a_window_begins_with_its_first_hit(rates: RatesMemory, clock: FakeClock) -> None:
    assert await rates.hit("a", RULE) == 0
    clock.advance(9.5)
    assert await rates.hit("a", RULE) == 0
    clock.advance(0.5)
    assert [await rates.hit("a", RULE) for _ in range(3)] == [0, 0, 30]
    clock.advance(29)
    assert await rates.hit("a", RULE) == 1
    clock.advance(1)
    assert await rates.hit("a", RULE) == 0


async def test_a_flood_of_keys_pushes_out_no_blocked_one(rates: RatesMemory) -> None:
    for _ in range(3):
        await rates.hit("blocked", RULE)
    for number in range(10_000):
        await rates.hit(f"k{number}", RULE)
    assert len(rates) == 101
    assert await rates.hit("blocked", RULE) == 30


async def test_a_flood_of_blocked_keys_is_bounded_and_ends_the_oldest(
    rates: RatesMemory, clock: FakeClock
) -> None:
    for number in range(150):
        for _ in range(3):
            await rates.hit(f"k{number}", RULE)
    assert len(rates) == 100
    assert await rates.hit("k149", RULE) > 0
    assert await rates.hit("k0", RULE) == 0
    clock.advance(31)
    for _ in range(3):
        await rates.hit("new", RULE)
    assert len(rates) == 1


async def test_keys_whose_window_is_over_make_room(rates: RatesMemory, clock: FakeClock) -> None:
    for number in range(60):
        await rates.hit(f"k{number}", RULE)
    clock.advance(11)
    for number in range(30):
        await rates.hit(f"later{number}", RULE)
    assert len(rates) == 30


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 12)),
        max_size=60,
    )
)
def test_it_agrees_with_the_plain_rule(hits: list[tuple[str, int]]) -> None:
    """A model that remembers every hit of the present window."""
    clock = FakeClock()
    rates = RatesMemory(clock=clock, keys_max=100)
    windows: dict[str, list[float]] = {}
    blocked: dict[str, float] = {}
    for key, pause_s in hits:
        clock.advance(pause_s)
        now = clock.monotonic()
        if now < blocked.get(key, 0):
            expected = blocked[key] - now
        else:
            seen = windows.setdefault(key, [])
            if seen and now - seen[0] >= RULE.window_s:
                seen.clear()
            seen.append(now)
            expected = 0.0
            if len(seen) > RULE.limit:
                seen.clear()
                blocked[key], expected = now + RULE.block_s, RULE.block_s
        coroutine = rates.hit(key, RULE)
        with pytest.raises(StopIteration) as ended:
            coroutine.send(None)
        assert ended.value.value == expected
