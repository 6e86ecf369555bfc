"""Blocking work in a thread, with cancellation that leaves no thread behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_to_end(work: Callable[..., T], /, *args: object) -> T:
    """Run `work(*args)` in the default executor and return its result.

    A thread cannot be stopped. When this is cancelled it therefore waits for the work's end, drops
    its result or error and re-raises: the caller may then delete what the work used.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue  # cancelled again: the first cancellation is re-raised below
        if not future.cancelled():
            future.exception()
        raise
