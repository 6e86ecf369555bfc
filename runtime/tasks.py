"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_S = 0.5


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them and wait until each has ended; what they return or raise is for who reads their result.

    Before Python 3.12 `asyncio.wait_for`, which the database's driver uses for every command, loses a
    cancellation that meets the answer. Such a task goes on as if nothing had been said, so it is said
    again. Safe to cancel: the tasks are then cancelled, but may not have ended.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
