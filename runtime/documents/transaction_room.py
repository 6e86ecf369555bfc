"""How many transactions may be open in one process, and whose. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from runtime.documents.room import Room, RoomBounds, less
from runtime.errors import CallerError, OverloadedError


class TooManyTransactionsError(CallerError):
    """A user has as many open as one may have: waiting for others would not help."""

    def __init__(self, count: int) -> None:
        super().__init__(
            "Throttling.Api.Concurrency",
            f"this user has {count} transactions open already; commit or roll one back first",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionBounds(RoomBounds):
    """The settings `database_transactions_*`."""

    per_user: int
    """Of one client's user in one space; functions and backends have no such bound."""


class TransactionRoom:
    """Counts what is open. Each `take` is followed by one `leave` with the same arguments."""

    def __init__(self, bounds: TransactionBounds) -> None:
        self._per_user = bounds.per_user
        self._room = Room(bounds)
        self._of_user: Counter[tuple[str, str]] = Counter()

    def take(self, space_id: str, user_id: str | None) -> None:
        """Room for one more. `user_id`: of the client that wants it; None: a function or a backend.

        Raises TooManyTransactionsError for a user's own bound, OverloadedError for one that many share; it
        says which."""
        client = user_id is not None
        if user_id is not None and self._of_user[space_id, user_id] >= self._per_user:
            raise TooManyTransactionsError(self._per_user)
        reached = self._room.reached(space_id, client=client)
        if reached is not None:
            raise OverloadedError(
                f"space {space_id} may begin no transaction: {reached.taken} are open here"
                f" (YUNHAN_DATABASE_TRANSACTIONS_{reached.setting}); commit or roll back, then try again"
            )
        self._room.take(space_id, client=client)
        if user_id is not None:
            self._of_user[space_id, user_id] += 1

    def leave(self, space_id: str, user_id: str | None) -> None:
        """One of them is over."""
        self._room.leave(space_id, client=user_id is not None)
        if user_id is not None:
            less(self._of_user, (space_id, user_id))
