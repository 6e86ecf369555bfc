"""Counts of one sandbox's egress, and how many refusals are told one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OnRefused = Callable[[str, int | None, str], None]
"""Told of a refusal: the host as the sandbox wrote it, the port (None when it is no port) and the
reason, all ASCII. Must not block or raise."""


def tell_nobody(host: str, port: int | None, reason: str) -> None:
    """An `OnRefused` that drops everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressCounts:
    """Since the gate was opened; the difference of two is what happened between them."""

    connections: int = 0
    """Connections that were made."""
    refused: int = 0
    """Requests against the policy or beyond a bound."""
    failed: int = 0
    """Requests whose host could not be reached, or that were malformed."""
    bytes_up: int = 0
    """From the sandbox."""
    bytes_down: int = 0
    """To the sandbox."""

    def __sub__(self, earlier: EgressCounts) -> EgressCounts:
        return EgressCounts(
            connections=self.connections - earlier.connections,
            refused=self.refused - earlier.refused,
            failed=self.failed - earlier.failed,
            bytes_up=self.bytes_up - earlier.bytes_up,
            bytes_down=self.bytes_down - earlier.bytes_down,
        )


@dataclass(slots=True, kw_only=True)
class Tally:
    """The numbers while they grow; used in the loop's thread only."""

    connections: int = 0
    refused: int = 0
    failed: int = 0
    bytes_up: int = 0
    bytes_down: int = 0

    def counts(self) -> EgressCounts:
        """The numbers now."""
        return EgressCounts(
            connections=self.connections,
            refused=self.refused,
            failed=self.failed,
            bytes_up=self.bytes_up,
            bytes_down=self.bytes_down,
        )


class Refusals:
    """Tells of the first refusals and counts the rest, so that no function floods its own log."""

    def __init__(self, on_refused: OnRefused, told_max: int) -> None:
        self._on_refused = on_refused
        self._told_max = told_max
        self._left = told_max
        self._untold = 0

    def tell(self, host: str, port: int | None, reason: str) -> None:
        """Tell of one refusal, or count it."""
        if self._left > 0:
            self._left -= 1
            self._on_refused(host, port, reason)
        else:
            self._untold += 1

    def take_untold(self) -> int:
        """How many were only counted since the last call; then tells one by one again."""
        untold, self._untold, self._left = self._untold, 0, self._told_max
        return untold
