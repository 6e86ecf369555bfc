"""Transactions of a server in memory, and what is done in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

from runtime.documents.errors import NO_SUCH_TRANSACTION, DatabaseError
from runtime.documents.transaction_room import TransactionBounds
from runtime.documents.transactions import Transactions
from runtime.errors import UnavailableError
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand
from runtime.ports import DocumentTransaction

PROCESS = "0123456789abcdef"


class Transaction(DocumentTransaction):
    def __init__(self) -> None:
        self.done: list[str] = []
        self.is_ended = False
        """By an error."""

    @property
    def is_over(self) -> bool:
        return self.is_ended or bool(self.done)

    async def run(self, command: DocumentCommand, bounds: CommandBounds) -> DocumentAnswer:
        raise NotImplementedError

    async def commit(self) -> None:
        self.done.append("commit")

    async def abort(self) -> None:
        self.done.append("abort")


class Server:
    def __init__(self) -> None:
        self.begun: list[Transaction] = []
        self.away = False

    async def begin(self, space_id: str) -> Transaction:
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError("away")
        self.begun.append(Transaction())
        return self.begun[-1]


@asynccontextmanager
async def opened(
    server: Server, *, idle_s: float = 3600.0, life_s: float = 3600.0
) -> AsyncIterator[Transactions]:
    transactions = Transactions(
        server,  # type: ignore[arg-type]
        process_id=PROCESS,
        idle_s=idle_s,
        life_s=life_s,
        bounds=TransactionBounds(per_user=1, per_space=2, total=3, reserved_percent=0),
        waiting_max=2,
    )
    async with transactions.open():
        yield transactions


@contextmanager
def timers() -> Iterator[list[asyncio.TimerHandle]]:
    """What is set on the running loop for a time."""
    loop = asyncio.get_running_loop()
    real = loop.call_at
    calls: list[asyncio.TimerHandle] = []

    def call_at(when: float, callback: Any, *args: Any, **more: Any) -> asyncio.TimerHandle:
        calls.append(real(when, callback, *args, **more))
        return calls[-1]

    with patch.object(loop, "call_at", call_at):
        yield calls


async def commit(transaction: DocumentTransaction) -> None:
    await transaction.commit()


async def nothing(_: DocumentTransaction) -> str:
    return "done"


async def over(transactions: Transactions, transaction_id: str, space_id: str = "mp-1") -> bool:
    try:
        await transactions.use(space_id, transaction_id, nothing)
    except DatabaseError as error:
        return error.number == NO_SUCH_TRANSACTION
    return False
