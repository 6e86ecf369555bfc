"""How many messages of the intake may wait in the hands of a gateway, and how many of them of one space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class IntakePlaces:
    """Half of the hands may hold a message that waits, a quarter one of the same space: the others are for
    messages of which jobs can be made."""

    def __init__(self, in_hand_max: int) -> None:
        self._all_max = in_hand_max // 2
        self._space_max = in_hand_max // 4
        self._held: Counter[str] = Counter()

    @contextmanager
    def of(self, space_id: str) -> Iterator[bool]:
        """Whether there is a place for a message of that space; it is free again at the end."""
        free = self._held[space_id] < self._space_max and self._held.total() < self._all_max
        if not free:
            yield False
            return
        self._held[space_id] += 1
        try:
            yield True
        finally:
            self._held[space_id] -= 1
            if not self._held[space_id]:
                del self._held[space_id]
