"""Who has to wait a moment, because the queue just refused a job like theirs.

A space whose line is full waits alone; when the queue takes nothing from anybody, everybody waits. Each
further refusal of a space doubles its wait, so that a full line gets few jobs too many.
"""

from __future__ import annotations

from collections import OrderedDict

from runtime.errors import LineFullError, OursError, OverloadedError
from runtime.ports import Clock

_FIRST_S = 1.0
_LONGEST_S = 8.0
_SPACES_MAX = 10_000
"""Of more full spaces the one that was refused longest ago is asked again."""


class HoldOff:
    """Of one submitter."""

    def __init__(self, clock: Clock, *, spaces_max: int = _SPACES_MAX) -> None:
        self._clock = clock
        self._spaces_max = spaces_max
        self._everybody: tuple[float, str] | None = None
        """Until when, and what to tell."""
        self._spaces: OrderedDict[str, tuple[float, float, str]] = OrderedDict()
        """Until when, how long the wait was, what to tell."""

    def refusal(self, space_id: str) -> OverloadedError | None:
        """What to tell a job of the space that comes now; None when it may come."""
        now = self._clock.monotonic()
        if self._everybody is not None and now < self._everybody[0]:
            return OverloadedError(self._everybody[1])
        until, _, told = self._spaces.get(space_id, (now, 0.0, ""))
        return OverloadedError(told) if now < until else None

    def refused(self, space_id: str, error: OursError) -> None:
        """The queue refused a job of the space, or it is not known whether it took it."""
        now = self._clock.monotonic()
        told = f"the queue takes no jobs at the moment: {error.message}"
        if not isinstance(error, LineFullError):
            self._everybody = (now + _FIRST_S, told)
            return
        _, before_s, _ = self._spaces.pop(space_id, (0.0, 0.0, told))
        wait_s = min(max(before_s * 2, _FIRST_S), _LONGEST_S)
        self._spaces[space_id] = (now + wait_s, wait_s, told)
        if len(self._spaces) > self._spaces_max:
            self._spaces.popitem(last=False)

    def taken(self, space_id: str) -> None:
        """The queue took a job of the space."""
        self._spaces.pop(space_id, None)
