"""The timers of a space as their owner sees them: next ticks, the last one, what was missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from runtime.messages import Function
from runtime.ports import Clock, TimerState, TimerStore
from runtime.services.space_editor import SpaceEditor
from runtime.timers.cron_text import CronTextError
from runtime.timers.schedule import read_schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerView:
    """One function's timer."""

    function: Function
    state: TimerState | None
    """None: no tick was decided upon since it was set."""
    next_ms: Sequence[int]
    """Its next ticks; none when this version of the program cannot read it."""


class TimerService:
    """Reads only; `FunctionService` sets timers."""

    def __init__(self, *, editor: SpaceEditor, states: TimerStore, clock: Clock) -> None:
        self._editor = editor
        self._states = states
        self._clock = clock

    async def timers(self, space_id: str, *, next_count: int) -> Sequence[TimerView]:
        """By function name. Raises NotFoundError."""
        space = await self._editor.read(space_id)
        states = await self._states.states(space_id)
        found = []
        for name in sorted(space.functions):
            function = space.functions[name]
            if not function.timer_cron:
                continue
            state = states.get((space_id, name))
            if state is not None and state.set_ms != function.timer_set_ms:
                state = None  # of the timer that was there before
            found.append(
                TimerView(function=function, state=state, next_ms=self._next(function, next_count))
            )
        return found

    def _next(self, function: Function, count: int) -> Sequence[int]:
        try:
            schedule = read_schedule(function.timer_cron)
        except CronTextError:  # set by another version of this program
            return ()
        return tuple(islice(schedule.ticks(self._clock.now_ms()), count))
