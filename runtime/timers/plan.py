"""Which ticks of which timers are to be decided upon, and what is decided. Pure.

A tick is *missed* when it is older than the tolerance by the time somebody looks; every other tick up to
now is due, oldest first. What was decided is never looked at again: the state moves on with every tick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from runtime.ports import Timer, TimerKey, TimerState
from runtime.timers.cron_text import CronTextError
from runtime.timers.schedule import Schedule, read_schedule


@dataclass(slots=True)
class Planned:
    """One timer that is followed."""

    timer: Timer
    schedule: Schedule
    stored: TimerState | None
    """As it is in the store; None: nothing is."""
    seen_ms: int
    next_ms: int
    """The first tick after `seen_ms`."""
    try_ms: int
    """When to look at it: its next tick, or later when that has to be tried again."""
    tries: int = 0
    """How often its next tick was tried already."""

    @property
    def state(self) -> TimerState:
        """What is known of the timer as it is set now."""
        stored = self.stored
        if stored is None or stored.set_ms != self.timer.set_ms:
            return TimerState(set_ms=self.timer.set_ms, seen_ms=self.seen_ms)
        return stored

    def decided(self, stored: TimerState) -> None:
        """The store has this now."""
        self.stored = stored
        self.go_on_from(stored.seen_ms)

    def try_again(self, at_ms: int) -> None:
        self.try_ms = at_ms
        self.tries += 1

    def missed(self, now_ms: int, *, late_max_ms: int, count_max: int) -> TimerState | None:
        """The state after the ticks that are too late by now, at most `count_max` counted; None: there
        are none."""
        if self.next_ms >= now_ms - late_max_ms:
            return None
        count, last_ms = 0, self.seen_ms
        for tick_ms in self.schedule.ticks(self.seen_ms):
            if tick_ms >= now_ms - late_max_ms:
                break
            if count == count_max:
                last_ms = now_ms - late_max_ms - 1
                break
            count, last_ms = count + 1, tick_ms
        return replace(self.state, seen_ms=last_ms, missed=self.state.missed + count)

    def go_on_from(self, seen_ms: int) -> None:
        """Its next tick is the first one after that moment."""
        self.seen_ms = seen_ms
        self.next_ms = self.try_ms = self.schedule.after(seen_ms)
        self.tries = 0


@dataclass(slots=True)
class Plan:
    """All timers of the installation."""

    late_max_ms: int
    planned: dict[TimerKey, Planned] = field(default_factory=dict)
    unreadable: dict[Timer, str] = field(default_factory=dict)
    """Timers of another version of this program, and what is wrong with them."""

    def is_known(self, timer: Timer) -> bool:
        planned = self.planned.get(timer.key)
        return timer in self.unreadable or (planned is not None and planned.timer == timer)

    def follow(
        self, timers: Sequence[Timer], states: Mapping[TimerKey, TimerState], now_ms: int
    ) -> None:
        """`states` must have those of the timers that are not known yet."""
        known, self.planned = self.planned, {}
        unreadable, self.unreadable = self.unreadable, {}
        for timer in timers:
            before = known.get(timer.key)
            if before is not None and before.timer == timer:
                self._keep_from_waiting(before, now_ms)
                self.planned[timer.key] = before
            elif timer in unreadable:
                self.unreadable[timer] = unreadable[timer]
            else:
                self._add(timer, states.get(timer.key), now_ms)

    def due(self, now_ms: int) -> list[Planned]:
        """The longest waiting first."""
        due = [each for each in self.planned.values() if each.try_ms <= now_ms]
        return sorted(due, key=lambda each: each.try_ms)

    def next_ms(self) -> int | None:
        """When the next one is due."""
        return min((each.try_ms for each in self.planned.values()), default=None)

    def _add(self, timer: Timer, stored: TimerState | None, now_ms: int) -> None:
        try:
            schedule = read_schedule(timer.cron)
        except CronTextError as error:
            self.unreadable[timer] = str(error)
            return
        seen_ms = timer.set_ms
        if stored is not None and stored.set_ms == timer.set_ms:
            seen_ms = stored.seen_ms
        next_ms = schedule.after(seen_ms)
        planned = Planned(
            timer=timer,
            schedule=schedule,
            stored=stored,
            seen_ms=seen_ms,
            next_ms=next_ms,
            try_ms=next_ms,
        )
        self._keep_from_waiting(planned, now_ms)
        self.planned[timer.key] = planned

    def _keep_from_waiting(self, planned: Planned, now_ms: int) -> None:
        """A clock was ahead, ours or another program's: to wait for that time could take years. It goes
        on from the tolerance; ticks that became jobs already are known by their idempotency keys."""
        if planned.seen_ms > now_ms + self.late_max_ms:
            planned.go_on_from(now_ms - self.late_max_ms)
