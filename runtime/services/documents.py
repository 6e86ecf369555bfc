"""The database of a space, for whoever may use it (spec: database commands).

    clients                            the access rules of the space hold
    functions, server SDK              no rule holds; what they insert belongs to their end user
    management side                    the same, with its own names of commands

Parameters -> `document_checks` -> port -> answer without its owners.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from runtime.documents.command_room import CommandRooms
from runtime.documents.errors import DatabaseError, may_quote, without_quotes
from runtime.documents.operators import OperatorLimits
from runtime.documents.owner import (
    answers_nothing,
    reads_everything,
    without_owner,
)
from runtime.documents.rules import Rules
from runtime.documents.transactions import Transactions, no_such_transaction, owner_of
from runtime.messages import (
    ADMINISTRATION,
    DOCUMENT_BYTES_MAX,
    CommandBounds,
    DocumentAnswer,
    DocumentCommand,
    Verb,
)
from runtime.ports import DocumentTransaction, SpaceDocuments
from runtime.services.document_checks import CommandChecks


class TransactionPeers(Protocol):
    """Other processes, which have transactions open."""

    async def send(
        self, process_id: str, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        """Carry out a command of a transaction there. Raises DatabaseError 251 when nobody is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLimits:
    """The settings `database_*`; times in ms."""

    operators: OperatorLimits
    documents: int
    answer_bytes: int
    time_ms: int
    client_time_max_ms: int
    trusted_time_max_ms: int
    client_values: int = 20_000
    """Of a client's command, as `OperatorLimits.values` of the others'."""
    document_bytes: int = DOCUMENT_BYTES_MAX


class DocumentService:
    """See the module. Answers are the JSON text of `data` in the SDKs' envelope."""

    def __init__(
        self,
        *,
        documents: SpaceDocuments,
        transactions: Transactions,
        limits: DocumentLimits,
        rooms: CommandRooms,
        peers: TransactionPeers | None = None,
    ) -> None:
        """Without `peers` this is the only process."""
        self._documents = documents
        self._transactions = transactions
        self._limits = limits
        self._checks = CommandChecks(limits.operators, client_values=limits.client_values)
        self._rooms = rooms
        self._peers = peers

    async def for_client(
        self, space_id: str, rules: Rules, user_id: str | None, params: Mapping[str, Any]
    ) -> bytes:
        """Raises CallerError (DatabaseError, PermissionDeniedError, InvalidParameterError) or OursError."""
        asked, command = await self._checks.of_client(params, rules, user_id)
        time_max_ms = self._limits.client_time_max_ms
        try:
            answer = await self._run(space_id, command, time_max_ms, client=user_id or "")
        except DatabaseError as error:
            if may_quote(error) and not reads_everything(asked, rules, user_id):
                operation = f"{asked.verb} on collection {asked.collection}"
                raise without_quotes(error, operation) from error
            raise
        if answers_nothing(asked, rules, user_id):
            answer = replace(answer, result=None)
        return _data(answer)

    async def trusted(
        self, space_id: str, params: Mapping[str, Any], *, user_id: str | None = None
    ) -> bytes:
        """For functions and the server SDK. `user_id` becomes the owner of what is inserted. Raises as
        `for_client`."""
        command = await self._checks.of_trusted(params, user_id)
        return _data(await self._run(space_id, command, self._limits.trusted_time_max_ms))

    async def manage(self, space_id: str, body: str) -> DocumentAnswer:
        """For the management side: one command as JSON text. Raises as `for_client`."""
        command = await self._checks.of_management(body)
        answer = await self._run(space_id, command, self._limits.trusted_time_max_ms)
        return replace(answer, result=without_owner(answer.result))

    async def _run(
        self,
        space_id: str,
        command: DocumentCommand,
        time_max_ms: int,
        *,
        client: str | None = None,
    ) -> DocumentAnswer:
        """`client`: the user of an app; None for everybody else."""
        bounds = self._bounds(command, time_max_ms)
        if command.verb is Verb.START_TRANSACTION:
            transaction_id = await self._transactions.begin(space_id, user_id=client)
            return DocumentAnswer(affected=0, extra={"transactionId": transaction_id})
        if command.transaction_id is None:
            room = self._rooms.plain
            async with room.hold(space_id, client=client is not None):
                return await self._documents.run(space_id, command, bounds)
        owner = owner_of(command.transaction_id)
        if owner is not None and owner != self._transactions.process_id and self._peers is not None:
            return await self._peers.send(owner, space_id, command, bounds)
        return await self.run_here(space_id, command, bounds)

    async def run_here(
        self, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        """A command of a transaction that was opened in this process, of a peer, too."""
        transaction_id = command.transaction_id
        if transaction_id is None:
            raise no_such_transaction("")
        if command.verb is Verb.COMMIT_TRANSACTION:
            await self._transactions.use(
                space_id, transaction_id, lambda it: it.commit(), last=True
            )
        elif command.verb is Verb.ABORT_TRANSACTION:
            await self._transactions.roll_back(space_id, transaction_id)
        else:
            client = self._transactions.is_clients(space_id, transaction_id)

            async def run(transaction: DocumentTransaction) -> DocumentAnswer:
                room = self._rooms.in_transactions
                async with room.hold(space_id, client=client):
                    return await transaction.run(command, bounds)

            return await self._transactions.use(space_id, transaction_id, run)
        return DocumentAnswer(affected=0)

    def _bounds(self, command: DocumentCommand, time_max_ms: int) -> CommandBounds:
        usual_ms = time_max_ms if command.verb in ADMINISTRATION else self._limits.time_ms
        wanted = command.options.get("maxTimeMS") or usual_ms
        return CommandBounds(
            documents=self._limits.documents,
            answer_bytes=self._limits.answer_bytes,
            time_ms=min(wanted, time_max_ms),
            document_bytes=self._limits.document_bytes,
        )


def _data(answer: DocumentAnswer) -> bytes:
    """`affectedDocs` is always a number: without it the client SDK nests the whole answer (spec §3)."""
    told = {**answer.extra, "affectedDocs": answer.affected, "result": answer.result}
    return orjson.dumps(without_owner(told))
