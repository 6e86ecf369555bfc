"""How far timers got, and who runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.ports.control import TimerKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerState:
    """How far one timer got. Times are ms since 1970; counts are since the timer was set."""

    set_ms: int
    """Which timer this is about: `Timer.set_ms`."""
    seen_ms: int
    """Its last tick that was decided upon, whatever was decided."""
    fired: int = 0
    """Ticks that became a job."""
    missed: int = 0
    """Ticks that did not, because nobody ran the timers or no job could be made in time."""
    skipped: int = 0
    """Ticks while the space was paused or the function had no code."""
    fired_ms: int | None = None
    """The last tick that became a job, and that job."""
    job_id: str | None = None


class TimerStore(ABC):
    """Keeps the state of timers."""

    @abstractmethod
    async def states(self, space_id: str | None = None) -> Mapping[TimerKey, TimerState]:
        """Of all timers, or of those of one space; also of timers that are no more."""

    @abstractmethod
    async def replace(self, key: TimerKey, before: TimerState | None, after: TimerState) -> bool:
        """Compare-and-set: stores `after` when `before` is what is stored (None: nothing is). False:
        somebody else was here, nothing was changed."""

    @abstractmethod
    async def forget(self, key: TimerKey, state: TimerState) -> None:
        """Delete it when it is still this one. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseMark:
    """Who holds a lease. Each change, also each renewal, has the next number."""

    holder: str
    """Empty: nobody, it was given back."""
    number: int


class LeaseStore(ABC):
    """Leases of parts of which one shall be active in the whole installation.

    It knows no time, because clocks of machines differ: a holder that is alive changes its mark, and who
    sees a mark unchanged for so long as the lease lasts, by a clock of its own, takes the lease over."""

    @abstractmethod
    async def read(self, name: str) -> LeaseMark | None:
        """None: nobody held it ever."""

    @abstractmethod
    async def change(self, name: str, before: LeaseMark | None, holder: str) -> LeaseMark | None:
        """Compare-and-set: take, renew or (`holder` empty) give back the lease when `before` is what is
        stored. Returns the new mark, None when it was not `before`."""
