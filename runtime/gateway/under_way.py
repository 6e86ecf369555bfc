"""How much of one kind may be under way at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import OverloadedError


class UnderWay:
    """Counts; refuses at once what would be too much. `what` and `setting` are for the message."""

    def __init__(self, at_once_max: int, *, what: str, setting: str) -> None:
        self._at_once_max = at_once_max
        self._what = what
        self._setting = setting
        self._count = 0

    @property
    def count(self) -> int:
        """How many there are now."""
        return self._count

    @contextmanager
    def one(self) -> Iterator[None]:
        """Room for one, as long as the context lasts. Raises OverloadedError."""
        if self._count >= self._at_once_max:
            raise OverloadedError(
                f"{self._count} {self._what} are under way, no more are taken now"
                f" ({self._setting}); try again"
            )
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
