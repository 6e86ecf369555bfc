"""The open transactions of this process: whose, for how long, how many (spec: database commands §6).

An id names the process that opened it, `tx-{process}-{24 hex}`: a transaction lives in one session of one
process, and others send its commands there. Who forgets to finish one loses it after `idle_s`, who never ends
with it after `life_s`; nothing of it was written then.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog

from runtime.documents.errors import NO_SUCH_TRANSACTION, DatabaseError
from runtime.documents.transaction_room import TransactionBounds, TransactionRoom
from runtime.errors import OverloadedError
from runtime.ports import DocumentTransaction, SpaceDocuments

_log = structlog.get_logger(__name__)

_PROCESS = re.compile(r"[0-9a-f]{16}")
_ID = re.compile(rf"tx-({_PROCESS.pattern})-[0-9a-f]{{24}}")
"""The owner becomes part of a queue's name: nothing that could be another queue's fits."""

_FAILED_MAX = 1000
"""Transactions that ended so and wait for their `roll_back`; older ones are unknown."""

T = TypeVar("T")


class _Open:
    """One of them. Its commands take turns."""

    __slots__ = (
        "idle",
        "over",
        "space_id",
        "transaction",
        "turn",
        "until",
        "user_id",
        "waiting",
    )

    def __init__(
        self,
        space_id: str,
        user_id: str | None,
        transaction: DocumentTransaction,
        *,
        until: float,
    ) -> None:
        self.space_id = space_id
        self.user_id = user_id
        """Of the client that began it."""
        self.until = until
        """When it ends in any case; loop time."""
        self.transaction = transaction
        self.turn = asyncio.Lock()
        self.waiting = 0
        """Commands under way, the ones that wait for their turn included: it is not forgotten meanwhile."""
        self.idle: asyncio.TimerHandle | None = None
        self.over = False


class Transactions:
    """See the module. An async context manager by `open`: at its end all are aborted."""

    def __init__(
        self,
        documents: SpaceDocuments,
        *,
        process_id: str,
        idle_s: float,
        life_s: float,
        bounds: TransactionBounds,
        waiting_max: int,
    ) -> None:
        """`process_id`: 16 hex digits. `waiting_max`: commands of one transaction, the one under way and
        those that wait for their turn."""
        if not _PROCESS.fullmatch(process_id):
            raise ValueError(f"{process_id!r} is no id of a process: 16 hex digits")
        self.process_id = process_id
        self._documents = documents
        self._idle_s = idle_s
        self._life_s = life_s
        self._room = TransactionRoom(bounds)
        self._waiting_max = waiting_max
        self._open: dict[str, _Open] = {}
        self._failed: dict[str, str] = {}
        """Spaces of those that an error has ended, by their ids."""
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """As long as transactions may be begun."""
        try:
            yield
        finally:
            for transaction_id in list(self._open):
                self._forget(transaction_id)
            if self._ending:  # each is bounded by the port
                await asyncio.wait(self._ending)

    async def begin(self, space_id: str, *, user_id: str | None = None) -> str:
        """The id of a new one. `user_id`: of the client that wants it; None: a function or a backend, for
        whom clients leave room. Raises TooManyTransactionsError and OverloadedError when too many are open,
        UnavailableError."""
        self._room.take(space_id, user_id)  # before anything is waited for
        try:
            transaction = await self._documents.begin(space_id)
        except BaseException:
            self._room.leave(space_id, user_id)
            raise
        transaction_id = f"tx-{self.process_id}-{os.urandom(12).hex()}"
        until = asyncio.get_running_loop().time() + self._life_s
        entry = self._open[transaction_id] = _Open(space_id, user_id, transaction, until=until)
        self._rest(transaction_id, entry)
        return transaction_id

    async def use(
        self,
        space_id: str,
        transaction_id: str,
        work: Callable[[DocumentTransaction], Awaitable[T]],
        *,
        last: bool = False,
    ) -> T:
        """Do something in an open transaction; `last`: it is over afterwards, however that ends. Cancellation
        ends it, too: nobody knows what was done.

        Raises DatabaseError 251 for one that is over, unknown or of another space; whatever `work` raises."""
        entry = self._find(space_id, transaction_id)
        if entry.waiting >= self._waiting_max:
            raise OverloadedError(
                f"{entry.waiting} commands of transaction {transaction_id} wait for their turn already"
            )
        entry.waiting += 1
        if entry.idle is not None:
            entry.idle.cancel()
            entry.idle = None
        try:
            async with entry.turn:
                if asyncio.get_running_loop().time() >= entry.until:
                    self._forget(transaction_id)
                if entry.over:
                    raise no_such_transaction(transaction_id)
                try:
                    return await work(entry.transaction)
                except asyncio.CancelledError:
                    self._forget(transaction_id)
                    raise
                except Exception as error:
                    # A commit of which nobody knows is no rollback.
                    known = not last or isinstance(error, DatabaseError)
                    if entry.transaction.is_over and known:
                        self._fail(transaction_id)
                    raise
                finally:
                    if last:
                        self._close(transaction_id)
        finally:
            entry.waiting -= 1
            if not entry.waiting and not entry.over:
                self._rest(transaction_id, entry)

    async def roll_back(self, space_id: str, transaction_id: str) -> None:
        """End it without its writes. One that an error has ended is rolled back again, once: whoever does so
        after any error does right. Raises as `use`."""
        if self._failed.get(transaction_id) == space_id:
            del self._failed[transaction_id]
            return
        await self.use(space_id, transaction_id, lambda it: it.abort(), last=True)

    def is_clients(self, space_id: str, transaction_id: str) -> bool:
        """Whether a client has begun it. Raises DatabaseError as `use`."""
        return self._find(space_id, transaction_id).user_id is not None

    def _find(self, space_id: str, transaction_id: str) -> _Open:
        entry = self._open.get(transaction_id)
        if entry is None or entry.space_id != space_id:
            raise no_such_transaction(transaction_id)
        return entry

    def _rest(self, transaction_id: str, entry: _Open) -> None:
        loop = asyncio.get_running_loop()
        until = min(loop.time() + self._idle_s, entry.until)
        entry.idle = loop.call_at(until, self._forget, transaction_id)

    def _forget(self, transaction_id: str) -> None:
        """Abort it behind everybody's back."""
        entry = self._close(transaction_id)
        if entry is not None:
            task = asyncio.create_task(entry.transaction.abort(), name=f"abort {transaction_id}")
            self._ending.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("transaction_not_aborted", error=repr(task.exception()))

    def _fail(self, transaction_id: str) -> None:
        entry = self._close(transaction_id)
        if entry is not None:
            self._failed[transaction_id] = entry.space_id
            if len(self._failed) > _FAILED_MAX:
                del self._failed[next(iter(self._failed))]

    def _close(self, transaction_id: str) -> _Open | None:
        entry = self._open.pop(transaction_id, None)
        if entry is not None:
            entry.over = True
            if entry.idle is not None:
                entry.idle.cancel()
            self._room.leave(entry.space_id, entry.user_id)
        return entry


def owner_of(transaction_id: str) -> str | None:
    """The process that has it; None for what is no id of ours."""
    match = _ID.fullmatch(transaction_id)
    return match[1] if match else None


def no_such_transaction(transaction_id: str) -> DatabaseError:
    """It was committed, rolled back, forgotten for too long, or never was one of this space."""
    return DatabaseError(
        NO_SUCH_TRANSACTION,
        f"transaction {transaction_id[:64]} is over or unknown; start a new one",
    )
