"""States of timers in memory: for tests, and as the model of what the port means."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.ports import TimerKey, TimerState, TimerStore


class TimersMemory(TimerStore):
    """See `TimerStore`. Nothing awaits, so every method is one step."""

    def __init__(self) -> None:
        self._states: dict[TimerKey, TimerState] = {}

    async def states(self, space_id: str | None = None) -> Mapping[TimerKey, TimerState]:
        return {k: state for k, state in self._states.items() if space_id in {None, k[0]}}

    async def replace(self, key: TimerKey, before: TimerState | None, after: TimerState) -> bool:
        if self._states.get(key) != before:
            return False
        self._states[key] = after
        return True

    async def forget(self, key: TimerKey, state: TimerState) -> None:
        if self._states.get(key) == state:
            del self._states[key]
