"""Cuts a span of time into windows with few records each. Pure.

The embedded server reads everything that a query's range holds, whatever its `limit` is (about 30 ms for
1,000 records). So queries go through adjacent narrow ranges. How many records lie where is known from
counts per slot of time. The counts are hints: wrong ones make a window larger or smaller, but the windows
always cover the whole span, so nothing is ever missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SLOT_MS = 600_000


@dataclass(frozen=True, slots=True)
class Window:
    """`from_ms <= t < to_ms`; None = open."""

    from_ms: int | None
    to_ms: int | None


def slot_of(time_ms: int) -> int:
    """Start of the slot that a time lies in."""
    return time_ms - time_ms % SLOT_MS


def plan(counts: Mapping[int, int], *, span: Window, records_per_window: int) -> Sequence[Window]:
    """Adjacent windows, newest first, that cover `span` with about so many records each at most.

    `counts` maps starts of slots to numbers of records. Inside a slot records are taken to lie evenly.
    """
    edges: list[int | None] = [span.to_ms]
    for cut in _cuts(counts, records_per_window):
        below_top = edges[-1] is None or cut < edges[-1]
        if below_top and (span.from_ms is None or cut > span.from_ms):
            edges.append(cut)
    edges.append(span.from_ms)
    return [Window(from_ms=older, to_ms=newer) for newer, older in pairwise(edges)]


def _cuts(counts: Mapping[int, int], most: int) -> Iterator[int]:
    """Where windows end, newest first."""
    gathered = 0
    for slot in sorted(counts, reverse=True):
        count = max(0, counts[slot])
        if gathered and gathered + count > most:
            yield slot + SLOT_MS
            gathered = 0
        parts = min(-(-count // most), SLOT_MS)  # a slot has no more milliseconds to cut at
        for part in range(parts - 1, 0, -1):
            yield slot + SLOT_MS * part // parts
        gathered += count // parts if parts else 0
