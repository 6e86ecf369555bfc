"""One transaction: one session of the driver's, which nothing else uses."""

from __future__ import annotations

import structlog
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from runtime.backends.space_documents.arguments import bson_command
from runtime.backends.space_documents.database import SpaceDatabase
from runtime.backends.space_documents.errors import error_of
from runtime.documents.errors import (
    NO_SUCH_TRANSACTION,
    OPERATION_NOT_IN_TRANSACTION,
    DatabaseError,
)
from runtime.errors import UnavailableError
from runtime.messages import IN_TRANSACTION, CommandBounds, DocumentAnswer, DocumentCommand
from runtime.ports import DocumentTransaction

_log = structlog.get_logger(__name__)


class MongodbTransaction(DocumentTransaction):
    """See `DocumentTransaction`. Nothing is repeated here: who loses a conflict does it all again."""

    def __init__(self, session: AsyncClientSession, database: SpaceDatabase) -> None:
        """`session` has a transaction that was just started."""
        self._session = session
        self._database = database
        self._over = False

    @property
    def is_over(self) -> bool:
        return self._over

    async def run(self, command: DocumentCommand, bounds: CommandBounds) -> DocumentAnswer:
        self._require_open()
        if command.verb not in IN_TRANSACTION:
            raise DatabaseError(
                OPERATION_NOT_IN_TRANSACTION, f"{command.verb} is not possible inside a transaction"
            )
        # What this refuses is not sent: the transaction goes on.
        converted = bson_command(command, bounds)
        try:
            return await self._database.run(converted, bounds, self._session)
        except Exception:
            await self.abort()
            raise
        except BaseException:
            self._over = True  # nobody knows what was done; `abort` ends the session
            raise

    async def commit(self) -> None:
        self._require_open()
        self._over = True
        try:
            await self._session.commit_transaction()
        except PyMongoError as error:
            if error.has_error_label("UnknownTransactionCommitResult"):
                raise UnavailableError(
                    "document database did not say whether the transaction was committed;"
                    " read what it wrote before doing it again"
                ) from error
            raise error_of(error, "commit of a transaction", self._database.name) from error
        finally:
            await self.abort()  # nothing but the end of the session when it was committed

    async def abort(self) -> None:
        self._over = True
        try:
            await self._session.end_session()
        except Exception as error:  # noqa: BLE001 - the server forgets it by itself
            _log.warning("transaction_not_aborted", error=f"{type(error).__name__}: {error}"[:300])

    def _require_open(self) -> None:
        if self._over:
            raise DatabaseError(NO_SUCH_TRANSACTION, "the transaction is over; start a new one")
