"""What all processes of one sandbox use together, and one attempt's part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from sandbox.api import Usage

_MS = 1000.0


class Meter:
    """Nothing is known. Rungs that count override what they know. Reading takes a few microseconds."""

    booked_within_ms: ClassVar[float] = 10.0
    """How late processor time may be booked: the kernel does it at the end of a process's turn or at a tick.
    A smaller difference from what Node says may be the tail of the call before; children take longer."""

    def begin(self) -> None:
        """An invocation begins and nothing else is under way: peak and kills count from here."""

    def cpu_ms(self) -> float | None:
        """Processor time since the sandbox was made."""
        return None

    def peak_mb(self, told: float | None) -> float | None:
        """The most memory since `begin`, in MiB. `told` is what Node says of its own process."""
        return told

    def out_of_memory(self) -> bool:
        """Whether the memory limit has ended a process since `begin`."""
        return False


NO_METER = Meter()


class Measurement:
    """From an attempt's begin to its end.

    Attempts under way at the same time share a sandbox, and what it uses is counted for each of them.
    """

    __slots__ = ("_began", "_clock", "_cpu_ms", "_meter")

    def __init__(self, meter: Meter, clock: Callable[[], float], *, alone: bool) -> None:
        """`clock` gives seconds; `alone` is True when nothing else is under way."""
        if alone:
            meter.begin()
        self._meter = meter
        self._clock = clock
        self._began = clock()
        self._cpu_ms = meter.cpu_ms()

    def complete(self, told: Usage) -> Usage:
        """`told` is what the sandbox says of itself, nothing when it died."""
        run_ms = (self._clock() - self._began) * _MS if told.run_ms is None else told.run_ms
        return replace(
            told,
            run_ms=run_ms,
            cpu_ms=self._cpu(told.cpu_ms),
            peak_memory_mb=self._meter.peak_mb(told.peak_memory_mb),
        )

    def _cpu(self, told: float | None) -> float | None:
        """Node's own is exact but knows no child process."""
        now_ms = self._meter.cpu_ms()
        if now_ms is None or self._cpu_ms is None:
            return told
        counted = max(now_ms - self._cpu_ms, 0.0)
        return counted if told is None or counted > told + self._meter.booked_within_ms else told
