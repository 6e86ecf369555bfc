"""The databases of spaces, one each: what functions and clients keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence

from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand


class DocumentTransaction(ABC):
    """One transaction that was begun here. Not for use by two at the same time: its owner takes turns."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether it was committed, aborted or ended by an error: nothing more can be done in it."""

    @abstractmethod
    async def run(self, command: DocumentCommand, bounds: CommandBounds) -> DocumentAnswer:
        """Raises as `SpaceDocuments.run`. After any error but one of a wrong argument the transaction is
        over (aborted); whoever runs more gets DatabaseError NoSuchTransaction (251)."""

    @abstractmethod
    async def commit(self) -> None:
        """Raises DatabaseError when it conflicts or was over, UnavailableError when nobody knows."""

    @abstractmethod
    async def abort(self) -> None:
        """Idempotent; never raises but for cancellation: a lost server forgets it by itself."""


class SpaceDocuments(ABC):
    """A command reaches the database of its space and no other, whatever it says."""

    @abstractmethod
    async def run(
        self, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        """Carry out one command that was checked and allowed (`runtime.documents`).

        Raises DatabaseError for what the caller can change (its code is the server's where one exists),
        UnavailableError when the server does not answer. A write that was answered is durable; of one that
        raised UnavailableError nobody knows. Many writes are reported as done only when all are."""

    @abstractmethod
    async def begin(self, space_id: str) -> DocumentTransaction:
        """A new transaction. Raises UnavailableError."""

    @abstractmethod
    def export(self, space_id: str, collection: str, *, after: str | None) -> AsyncIterator[bytes]:
        """Documents in the order of their ids as lines of canonical extended JSON, each with its line end.
        `after` is the `_id` of the last one that the caller has, as such JSON text."""

    @abstractmethod
    async def load(self, space_id: str, collection: str, lines: Sequence[bytes]) -> int:
        """Write documents of an export; one whose id is there is replaced. How many. Idempotent.
        Raises DatabaseError for a line that is no document."""

    @abstractmethod
    async def drop_space(self, space_id: str) -> None:
        """Remove its database. Idempotent."""
