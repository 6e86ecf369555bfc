"""How much of something spaces may have at once in one process. Pure.

Anybody can be as many anonymous users as they like, so a bound per user alone would not keep clients from
taking all there is: of every other bound they leave a part to functions and backends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomBounds:
    """All of them at least 1."""

    per_space: int
    total: int
    reserved_percent: int
    """Of `per_space` and of `total`: what clients leave free."""

    def for_clients(self, bound: int) -> int:
        """What clients may have of a bound; never nothing."""
        return bound - bound * self.reserved_percent // 100


@dataclass(frozen=True, slots=True)
class Reached:
    """A bound that leaves no room."""

    taken: int
    setting: str
    """The end of its setting's name."""


class Room:
    """Counts what is taken. Each `take` is followed by one `leave` with the same arguments."""

    def __init__(self, bounds: RoomBounds) -> None:
        self.bounds = bounds
        self._of_space: Counter[str] = Counter()
        self._of_clients: Counter[str] = Counter()
        self._total = 0
        self._total_of_clients = 0

    @property
    def is_full(self) -> bool:
        """For everybody."""
        return self._total >= self.bounds.total

    def reached(self, space_id: str, *, client: bool) -> Reached | None:
        """What keeps one more out; None when there is room. `client`: not a function or a backend."""
        bounds = self.bounds
        left = " without _RESERVED_PERCENT"
        rows = [
            (self._of_space[space_id], bounds.per_space, "PER_SPACE_MAX"),
            (self._total, bounds.total, "MAX"),
        ]
        if client:
            rows += [
                (
                    self._of_clients[space_id],
                    bounds.for_clients(bounds.per_space),
                    f"PER_SPACE_MAX{left}",
                ),
                (self._total_of_clients, bounds.for_clients(bounds.total), f"MAX{left}"),
            ]
        for taken, bound, setting in rows:
            if taken >= bound:
                return Reached(taken, setting)
        return None

    def take(self, space_id: str, *, client: bool) -> None:
        """One more; whether there is room was asked before."""
        self._of_space[space_id] += 1
        self._total += 1
        if client:
            self._of_clients[space_id] += 1
            self._total_of_clients += 1

    def leave(self, space_id: str, *, client: bool) -> None:
        """One of them is over."""
        less(self._of_space, space_id)
        self._total -= 1
        if client:
            less(self._of_clients, space_id)
            self._total_of_clients -= 1


def less(counts: Counter[K], key: K) -> None:
    """One less. Keys without a count go: there is no end of users and spaces."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
