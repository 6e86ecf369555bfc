"""An event loop whose time jumps to the next timer when nothing else is to be done: hours pass in no time.

Only for tasks that wait for each other and for the loop's own clock: what waits for the outside would be
overtaken.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Never waits."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("every task waits for something that never comes")
            self.now += max(timeout, 0.0)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0 s."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


class LoopClock:
    """Implements `runtime.ports.Clock` by the running loop; its wall clock is wrong by `skew_s`."""

    def __init__(self, start_ms: int, *, skew_s: float = 0.0) -> None:
        self._start_ms = start_ms
        self.skew_s = skew_s

    def now_ms(self) -> int:
        return self._start_ms + round((self.monotonic() + self.skew_s) * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
