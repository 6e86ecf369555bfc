"""What every `RateStore` adapter must keep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from runtime.ports.rates import RateRule, RateStore

RULE = RateRule(name="r", limit=3, window_s=600.0, block_s=300.0)
"""Nothing of it is over while a test runs."""
_PATIENCE_S = 20.0


async def _until(store: RateStore, key: str, rule: RateRule, *, allowed: bool) -> float:
    """Hit the key until it is allowed, or refused; the last answer."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        wait_s = await store.hit(key, rule)
        if (wait_s == 0) == allowed:
            return wait_s
        assert time.monotonic() < deadline, f"never {allowed=}"
        await asyncio.sleep(0.001)


class RateStoreContract:
    """Give `rates`, an empty store, and `rivals`, several over the same counts."""

    @pytest.fixture
    def rates(self) -> RateStore:
        raise NotImplementedError

    @pytest.fixture
    def rivals(self, rates: RateStore) -> Sequence[RateStore]:
        return [rates] * 4

    async def test_so_many_are_allowed_and_one_more_blocks(self, rates: RateStore) -> None:
        assert [await rates.hit("a", RULE) for _ in range(3)] == [0, 0, 0]
        assert 290 < await rates.hit("a", RULE) <= 300

    async def test_hits_of_a_blocked_key_do_not_prolong_its_block(self, rates: RateStore) -> None:
        waits = [await rates.hit("a", RULE) for _ in range(50)][3:]
        assert all(0 < wait_s <= 300 for wait_s in waits)
        assert waits == sorted(waits, reverse=True)

    async def test_keys_and_rules_are_counted_apart(self, rates: RateStore) -> None:
        other = replace(RULE, name="other", limit=1)
        for key in ("a", "b", "2001:db8::/64", "mp-1/üser 字", "\ud800", ""):
            assert [await rates.hit(key, RULE) == 0 for _ in range(4)] == [True] * 3 + [False]
            assert [await rates.hit(key, other) == 0 for _ in range(2)] == [True, False]

    async def test_without_a_block_it_is_refused_until_its_window_ends(
        self, rates: RateStore
    ) -> None:
        rule = replace(RULE, limit=1, block_s=0)
        assert await rates.hit("a", rule) == 0
        assert 590 < await rates.hit("a", rule) <= 600
        assert 590 < await rates.hit("a", rule) <= 600

    async def test_after_a_block_it_counts_anew(self, rates: RateStore) -> None:
        rule = replace(RULE, block_s=0.2)
        assert [await rates.hit("a", rule) == 0 for _ in range(4)] == [True] * 3 + [False]
        await _until(rates, "a", rule, allowed=True)
        assert [await rates.hit("a", rule) == 0 for _ in range(2)] == [True] * 2
        assert 0 < await rates.hit("a", rule) <= 0.2

    async def test_the_last_moment_of_a_block_is_no_opening(self, rates: RateStore) -> None:
        """Who may come once between two blocks is never allowed twice in a row."""
        rule = replace(RULE, limit=1, block_s=0.002)
        allowed = [await rates.hit("a", rule) == 0 for _ in range(2000)]
        assert (True, True) not in set(pairwise(allowed))

    async def test_after_a_window_it_counts_anew(self, rates: RateStore) -> None:
        rule = replace(RULE, limit=1, window_s=0.2, block_s=0)
        assert 0 < await _until(rates, "a", rule, allowed=False) <= 0.2
        await _until(rates, "a", rule, allowed=True)

    async def test_many_at_once_get_no_more_than_the_limit(
        self, rivals: Sequence[RateStore]
    ) -> None:
        rule = replace(RULE, limit=7)
        waits = await asyncio.gather(*(each.hit("a", rule) for each in rivals for _ in range(20)))
        assert waits.count(0) == 7
