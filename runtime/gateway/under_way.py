"""How much of one kind may be under way at the same time, in all and for each of those who share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from runtime.errors import OverloadedError
from runtime.ports import Clock, SystemClock

LOG_EVERY_S = 60.0
"""Whoever is refused can ask again a thousand times: of one bound, so often is enough for the log."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the room, for all that have the same `of`. `setting` is what bounds it, for messages."""

    of: tuple[str, ...]
    at_once_max: int
    setting: str


class UnderWay:
    """Counts; refuses at once what would be too much. `what` and `setting` are for messages and the log."""

    def __init__(
        self, at_once_max: int, *, what: str, setting: str, clock: Clock | None = None
    ) -> None:
        self._whole = Share((), at_once_max, setting)
        self._what = what
        self._clock = clock or SystemClock()
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._logged_at: dict[str, float] = {}
        """By setting, of which there are few."""

    @property
    def count(self) -> int:
        """How many there are now."""
        return self._counts[()]

    @contextmanager
    def one(self, *shares: Share) -> Iterator[None]:
        """Room for one in the whole and in every share, as long as the context lasts. The shares differ in
        `of`. Raises OverloadedError, and then holds none."""
        wanted = (*shares, self._whole)
        for share in wanted:
            if self._counts[share.of] >= share.at_once_max:
                raise self._refusal(share)
        self._counts.update(share.of for share in wanted)
        try:
            yield
        finally:
            for share in wanted:
                self._counts[share.of] -= 1
                if not self._counts[share.of]:
                    del self._counts[share.of]

    def _refusal(self, share: Share) -> OverloadedError:
        reason = f"{share.at_once_max} {self._what} are under way, no more are taken now"
        now = self._clock.monotonic()
        logged_at = self._logged_at.get(share.setting)
        if logged_at is None or now - logged_at >= LOG_EVERY_S:
            self._logged_at[share.setting] = now
            _log.warning("no_room", reason=reason, setting=share.setting, of=" ".join(share.of))
        return OverloadedError(f"{reason} ({share.setting}); try again")
