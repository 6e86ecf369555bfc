"""Where jobs wait that were set aside (`rabbitmq.aside`): lanes, by how many of their space are there.

    lane 0    the first 16 jobs of a space
    lane 1    the next 128
    lane 2    the next 1024
    lane 3    all further ones

So a space with few jobs is not behind one with thousands there either: before its n-th job are at most some
10 n of each other space that a worker set aside. How many are there is what this worker set aside less what
it got back. Workers give and take about alike, so that is about its part; it decides about an order and about
nothing else, and what is wrong in it fades. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate

WIDTHS = (16, 128, 1024)
LANES = len(WIDTHS) + 1
HALVED_AFTER_S = 60.0
"""A count is, so that one that other workers made wrong does not stay so."""
_ENDS = tuple(accumulate(WIDTHS))
_SPACES_MAX = 1000


@dataclass(slots=True)
class _Count:
    jobs: int
    since_s: float
    """When it was halved."""


class LaneCounts:
    """What one worker knows of the jobs in the lanes. Times: seconds, monotonic."""

    def __init__(self) -> None:
        self._spaces: OrderedDict[str, _Count] = OrderedDict()
        """The space that entered last is the last one."""

    def has(self, space_id: str, now_s: float) -> bool:
        """Whether one of that space is there."""
        known = self._spaces.get(space_id)
        return known is not None and self._now(known, now_s).jobs > 0

    def enter(self, space_id: str, now_s: float) -> int:
        """The lane of the next job of a space; it is counted."""
        known = self._now(self._spaces.setdefault(space_id, _Count(0, now_s)), now_s)
        self._spaces.move_to_end(space_id)
        if len(self._spaces) > _SPACES_MAX:
            self._spaces.popitem(last=False)
        known.jobs += 1
        return next((lane for lane, end in enumerate(_ENDS) if known.jobs <= end), LANES - 1)

    def leave(self, space_id: str) -> None:
        """One of them was delivered to this worker."""
        known = self._spaces.get(space_id)
        if known is not None and known.jobs > 0:
            known.jobs -= 1

    def _now(self, known: _Count, now_s: float) -> _Count:
        while known.jobs and now_s - known.since_s >= HALVED_AFTER_S:
            known.jobs //= 2
            known.since_s += HALVED_AFTER_S
        if not known.jobs:
            known.since_s = now_s
        return known
