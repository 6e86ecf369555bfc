"""Blocking work in a thread, with cancellation that leaves no thread behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

FILE_WRITERS = ThreadPoolExecutor(16, "file-writer")
"""For bytes on their way to a disk of this machine: uploads as they come, and their syncs, which take seconds
on a slow disk. They wait for the disk and not for a core, hence more than cores; in the default executor (6
threads on 2 cores) they would keep look-ups of names and all others waiting."""
FILE_READERS = ThreadPoolExecutor(8, "file-reader")
"""For downloads from such a disk, chunk by chunk: short work that must not stand behind syncs. Threads of
both begin when they are needed; all work in them is waited for by `run_to_end`."""


async def run_to_end(
    work: Callable[..., T], /, *args: object, executor: Executor | None = None
) -> T:
    """Run `work(*args)` in a thread of `executor`, None: the default one, and return its result.

    A thread cannot be stopped. When this is cancelled it therefore waits for the work's end, drops
    its result or error and re-raises: the caller may then delete what the work used.
    """
    future = asyncio.get_running_loop().run_in_executor(executor, work, *args)
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
