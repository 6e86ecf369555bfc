"""How many transactions may be open in one process, and whose. Pure.

Anybody can be as many anonymous users as they like, so a bound per user alone would not keep clients from
taking all the room: of every other bound they leave a part to functions and backends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

from runtime.errors import CallerError, OverloadedError

K = TypeVar("K", bound=Hashable)


class TooManyTransactionsError(CallerError):
    """A user has as many open as one may have: waiting for others would not help."""

    def __init__(self, count: int) -> None:
        super().__init__(
            "Throttling.Api.Concurrency",
            f"this user has {count} transactions open already; commit or roll one back first",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionBounds:
    """The settings `database_transactions_*`."""

    per_user: int
    """Of one client's user in one space; functions and backends have no such bound."""
    per_space: int
    total: int
    reserved_percent: int
    """Of `per_space` and of `total`: what clients leave free."""

    def for_clients(self, bound: int) -> int:
        """What clients may have of a bound; never nothing."""
        return bound - bound * self.reserved_percent // 100


class TransactionRoom:
    """Counts what is open. Each `take` is followed by one `leave` with the same arguments."""

    def __init__(self, bounds: TransactionBounds) -> None:
        self._bounds = bounds
        self._of_space: Counter[str] = Counter()
        self._of_clients: Counter[str] = Counter()
        self._of_user: Counter[tuple[str, str]] = Counter()

    def take(self, space_id: str, user_id: str | None) -> None:
        """Room for one more. `user_id`: of the client that wants it; None: a function or a backend.

        Raises TooManyTransactionsError for a user's own bound, OverloadedError for one that many share; it
        says which."""
        bounds = self._bounds
        self._check(space_id, self._of_space[space_id], "PER_SPACE_MAX", bounds.per_space)
        self._check(space_id, self._of_space.total(), "MAX", bounds.total)
        if user_id is not None:
            mine = self._of_user[space_id, user_id]
            if mine >= bounds.per_user:
                raise TooManyTransactionsError(mine)
            clients = self._of_clients
            left = "PER_SPACE_MAX without _RESERVED_PERCENT"
            self._check(space_id, clients[space_id], left, bounds.for_clients(bounds.per_space))
            left = "MAX without _RESERVED_PERCENT"
            self._check(space_id, clients.total(), left, bounds.for_clients(bounds.total))
            self._of_user[space_id, user_id] += 1
            clients[space_id] += 1
        self._of_space[space_id] += 1

    def leave(self, space_id: str, user_id: str | None) -> None:
        """One of them is over."""
        _less(self._of_space, space_id)
        if user_id is not None:
            _less(self._of_user, (space_id, user_id))
            _less(self._of_clients, space_id)

    def _check(self, space_id: str, taken: int, setting: str, bound: int) -> None:
        if taken >= bound:
            raise OverloadedError(
                f"space {space_id} may begin no transaction: {taken} are open here"
                f" (YUNHAN_DATABASE_TRANSACTIONS_{setting}); commit or roll back, then try again"
            )


def _less(counts: Counter[K], key: K) -> None:
    """Keys without a count go: there is no end of users."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
