"""Windows of time: they cover everything, once, whatever the counts say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.record_windows import SLOT_MS, Window, plan, slot_of

slots = st.integers(-5, 500).map(lambda number: number * SLOT_MS)
counts = st.dictionaries(slots, st.integers(-3, 5000), max_size=30)
times = st.none() | st.integers(-10 * SLOT_MS, 510 * SLOT_MS)


@given(counts, times, times, st.integers(1, 2000))
def test_windows_are_adjacent_and_cover_the_span(
    counts: dict[int, int], from_ms: int | None, to_ms: int | None, most: int
) -> None:
    windows = plan(counts, span=Window(from_ms, to_ms), records_per_window=most)
    assert windows[0].to_ms == to_ms
    assert windows[-1].from_ms == from_ms
    for newer, older in pairwise(windows):
        assert newer.from_ms == older.to_ms
        assert newer.from_ms is not None
    if from_ms is None or to_ms is None or from_ms < to_ms:
        for window in windows:
            assert window.from_ms is None or window.to_ms is None or window.from_ms < window.to_ms


@given(st.dictionaries(slots, st.integers(1, 5000), max_size=30), st.integers(1, 2000))
def test_windows_hold_few_records_when_the_counts_are_right(
    counts: dict[int, int], most: int
) -> None:
    for window in plan(counts, span=Window(None, None), records_per_window=most):
        held = sum(count * _overlap(slot, window) for slot, count in counts.items())
        assert held <= 2 * most + 1


def _overlap(slot: int, window: Window) -> float:
    """Which part of a slot lies in a window."""
    start = slot if window.from_ms is None else max(slot, window.from_ms)
    end = slot + SLOT_MS if window.to_ms is None else min(slot + SLOT_MS, window.to_ms)
    return max(0, end - start) / SLOT_MS


@pytest.mark.parametrize(
    ("counts", "span", "expected"),
    [
        ({}, (None, None), [(None, None)]),
        ({}, (5, 9), [(5, 9)]),
        ({0: 10}, (None, None), [(None, None)]),
        ({0: 10, SLOT_MS: 10}, (None, None), [(SLOT_MS, None), (None, SLOT_MS)]),
        ({0: 5, SLOT_MS: 5}, (None, None), [(None, None)]),
        # a gap belongs to the newer window
        ({0: 10, 9 * SLOT_MS: 10}, (None, None), [(SLOT_MS, None), (None, SLOT_MS)]),
        ({0: 20}, (None, None), [(SLOT_MS // 2, None), (None, SLOT_MS // 2)]),
        ({0: 20}, (0, SLOT_MS // 2), [(0, SLOT_MS // 2)]),
    ],
)
def test_examples_with_ten_records_per_window(
    counts: dict[int, int],
    span: tuple[int | None, int | None],
    expected: list[tuple[int | None, int | None]],
) -> None:
    windows = plan(counts, span=Window(*span), records_per_window=10)
    assert [(window.from_ms, window.to_ms) for window in windows] == expected


@pytest.mark.parametrize(
    ("time_ms", "slot"), [(0, 0), (SLOT_MS - 1, 0), (SLOT_MS, SLOT_MS), (-1, -SLOT_MS)]
)
def test_slot_of(time_ms: int, slot: int) -> None:
    assert slot_of(time_ms) == slot
