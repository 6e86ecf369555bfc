"""Asynchronous contexts for tests that are not: entered and left in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_STEP_TIMEOUT_S = 30.0


@contextmanager
def in_background(context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What `context` gives. Its tasks run until it is left; touch from here only what threads may share."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="background loop of a test")

    def carry_out(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(_STEP_TIMEOUT_S)

    thread.start()
    try:
        value: T = carry_out(_entered(context))
        try:
            yield value
        finally:
            carry_out(_left(context))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _entered(context: AbstractAsyncContextManager[T]) -> T:
    return await context.__aenter__()


async def _left(context: AbstractAsyncContextManager[Any]) -> None:
    await context.__aexit__(None, None, None)
