"""Waiting for what no event tells: `poll` for other processes, `until` for others on the same loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def poll(
    answer: Callable[[], T | None],
    seconds: float = 20.0,
    *,
    every_s: float = 0.05,
    told: Callable[[], object] | None = None,
) -> T:
    """The first true answer. Raises AssertionError with what `told` says when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := answer()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {told() if told else answer}")
        time.sleep(every_s)
    return found


async def until(
    true: Callable[[], Awaitable[bool] | bool],
    what: str = "",
    *,
    seconds: float = 20.0,
    every_s: float = 0.001,
) -> None:
    """Until it is. Raises AssertionError that says `what` when it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = true()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(every_s)
