"""Time, injected so that tests need not sleep."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

Sleep = Callable[[float], Awaitable[None]]
"""`asyncio.sleep`, injected for the same reason. Seconds."""


class Clock(Protocol):
    """Time, injected so that tests need not sleep."""

    def now_ms(self) -> int:
        """Wall clock, ms since 1970. May jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start. Never jumps back."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
