"""The service of spaces' databases over a server, without the program around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.backends.documents_mongodb import connect
from runtime.backends.space_documents_mongodb import SpaceDocumentsMongodb
from runtime.documents.command_room import CommandRoomBounds, CommandRooms
from runtime.documents.operators import OperatorLimits
from runtime.documents.transaction_room import TransactionBounds
from runtime.documents.transactions import Transactions
from runtime.services.documents import DocumentLimits, DocumentService

_TRANSACTIONS = TransactionBounds(per_user=50, per_space=50, total=500, reserved_percent=0)


def roomy() -> CommandRooms:
    """Room for all that a test sends at once."""
    return CommandRooms.of(
        CommandRoomBounds(per_space=500, total=500, reserved_percent=0, waiting=1, wait_ms=1)
    )


@asynccontextmanager
async def opened_service(
    url: str, *, prefix: str, client_time_ms: int = 3000
) -> AsyncIterator[DocumentService]:
    """`prefix`: of the databases' names. `client_time_ms`: the longest command of a client."""
    limits = DocumentLimits(
        operators=OperatorLimits(interpreted=True),
        documents=500,
        answer_bytes=8 * 1024 * 1024,
        time_ms=min(1000, client_time_ms),
        client_time_max_ms=client_time_ms,
        trusted_time_max_ms=60_000,
    )
    async with connect(url, timeout_s=5) as client:
        documents = SpaceDocumentsMongodb(client, prefix=prefix)
        transactions = Transactions(
            documents,
            process_id="0" * 16,
            idle_s=10,
            life_s=60,
            bounds=_TRANSACTIONS,
            waiting_max=16,
        )
        async with transactions.open():
            yield DocumentService(
                documents=documents, transactions=transactions, limits=limits, rooms=roomy()
            )
