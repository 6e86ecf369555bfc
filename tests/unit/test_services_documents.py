"""Commands to a space's database on their way to the port and back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from runtime.documents.command_room import CommandRoomBounds, CommandRooms
from runtime.documents.errors import BAD_VALUE, NO_SUCH_TRANSACTION, DatabaseError
from runtime.documents.operators import OperatorLimits
from runtime.documents.owner import OWNER_FIELD, PermissionDeniedError
from runtime.documents.rules import Rules, policy_of
from runtime.documents.transaction_room import TooManyTransactionsError, TransactionBounds
from runtime.documents.transactions import Transactions
from runtime.errors import CallerError, OverloadedError
from runtime.messages import (
    CommandBounds,
    DocumentAnswer,
    DocumentCommand,
    PolicyName,
    Verb,
)
from runtime.ports import DocumentTransaction
from runtime.services.documents import DocumentLimits, DocumentService
from tests.harness.polling import until

LIMITS = DocumentLimits(
    operators=OperatorLimits(),
    documents=500,
    answer_bytes=1000,
    time_ms=1000,
    client_time_max_ms=3000,
    trusted_time_max_ms=60_000,
)
SPACE = "mp-1"
HERE, THERE = "0" * 16, "f" * 16
PRIVATE = Rules.of({"notes": policy_of(PolicyName.PRIVATE)})
NOTHING = Rules.of({})


class Transaction(DocumentTransaction):
    def __init__(self, server: Server) -> None:
        self.server = server

    @property
    def is_over(self) -> bool:
        return False

    async def run(self, command: DocumentCommand, bounds: CommandBounds) -> DocumentAnswer:
        return await self.server.run(SPACE, command, bounds)

    async def commit(self) -> None:
        self.server.ended.append("commit")

    async def abort(self) -> None:
        self.server.ended.append("abort")


class Server:
    """The port: keeps what it is asked, answers what it is told."""

    def __init__(self) -> None:
        self.commands: list[DocumentCommand] = []
        self.bounds: list[CommandBounds] = []
        self.ended: list[str] = []
        self.answer = DocumentAnswer(affected=0)

    async def run(
        self, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        assert space_id == SPACE
        self.commands.append(command)
        self.bounds.append(bounds)
        return self.answer

    async def begin(self, space_id: str) -> Transaction:
        return Transaction(self)


class Peers:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, DocumentCommand]] = []

    async def send(
        self, process_id: str, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        self.sent.append((process_id, space_id, command))
        return DocumentAnswer(affected=7)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def peers() -> Peers:
    return Peers()


@pytest.fixture
def rooms() -> CommandRooms:
    return CommandRooms.of(
        CommandRoomBounds(per_space=1, total=1, reserved_percent=0, waiting=1, wait_ms=60_000)
    )


@pytest.fixture
def service(server: Server, peers: Peers, rooms: CommandRooms) -> DocumentService:
    transactions = Transactions(
        server,  # type: ignore[arg-type]
        process_id=HERE,
        idle_s=3600,
        life_s=3600,
        bounds=TransactionBounds(per_user=1, per_space=5, total=5, reserved_percent=0),
        waiting_max=16,
    )
    return DocumentService(
        documents=server,  # type: ignore[arg-type]
        transactions=transactions,
        limits=LIMITS,
        rooms=rooms,
        peers=peers,
    )


def find(**options: Any) -> Mapping[str, Any]:
    return {"command": "find", "collection": "notes", "query": {"a": 1}, "options": options}


async def test_a_client_without_a_rule_is_refused(service: DocumentService, server: Server) -> None:
    with pytest.raises(PermissionDeniedError):
        await service.for_client(SPACE, NOTHING, "tom", find())
    assert server.commands == []


async def test_a_client_gets_its_own_documents_without_their_owner(
    service: DocumentService, server: Server
) -> None:
    server.answer = DocumentAnswer(affected=1, result=[{"a": 1, OWNER_FIELD: "tom"}])
    data = orjson.loads(await service.for_client(SPACE, PRIVATE, "tom", find()))
    assert data == {"affectedDocs": 1, "result": [{"a": 1}]}
    [command] = server.commands
    assert command.arguments["query"] == {"a": 1, OWNER_FIELD: {"$eq": "tom"}}


async def test_functions_pass_without_rules_and_never_see_owners(
    service: DocumentService, server: Server
) -> None:
    server.answer = DocumentAnswer(affected=1, result=[{"a": {OWNER_FIELD: "tom", "b": 1}}])
    data = orjson.loads(await service.trusted(SPACE, find()))
    assert data["result"] == [{"a": {"b": 1}}]
    assert OWNER_FIELD not in server.commands[0].arguments["query"]


async def test_what_a_function_inserts_belongs_to_its_user(
    service: DocumentService, server: Server
) -> None:
    insert = {"command": "insertOne", "collection": "notes", "doc": {"a": 1}, "options": {}}
    await service.trusted(SPACE, insert, user_id="tom")
    await service.trusted(SPACE, insert)
    assert [each.arguments["doc"].get(OWNER_FIELD) for each in server.commands] == ["tom", None]


@pytest.mark.parametrize(
    ("wanted", "client", "trusted"), [(None, 1000, 1000), (2000, 2000, 2000), (9000, 3000, 9000)]
)
async def test_time_is_what_was_asked_for_up_to_a_bound(
    service: DocumentService, server: Server, wanted: int | None, client: int, trusted: int
) -> None:
    options = {} if wanted is None else {"maxTimeMS": wanted}
    await service.for_client(SPACE, PRIVATE, "tom", find(**options))
    await service.trusted(SPACE, find(**options))
    assert [each.time_ms for each in server.bounds] == [client, trusted]


async def test_operators_that_run_code_are_refused_to_everybody(
    service: DocumentService, server: Server
) -> None:
    hostile = {**find(), "query": {"$where": "sleep(1000)"}}
    for answer in (
        service.for_client(SPACE, PRIVATE, "tom", hostile),
        service.trusted(SPACE, hostile),
    ):
        with pytest.raises(CallerError):
            await answer
    assert server.commands == []


async def test_clients_reach_no_administration(service: DocumentService) -> None:
    everything = Rules.of({"*": policy_of(PolicyName.EXTENDED, '{".read": true, ".write": true}')})
    for name in ("drop", "createIndex", "collections", "listIndexes"):
        params: Mapping[str, Any] = {
            "command": name,
            "collection": "notes",
            "field": "a",
            "options": {},
        }
        with pytest.raises(CallerError):
            await service.for_client(SPACE, everything, "tom", params)


async def started(service: DocumentService) -> str:
    data = orjson.loads(await service.trusted(SPACE, {"command": "startTransaction"}))
    assert data["affectedDocs"] == 0
    return str(data["transactionId"])


def insert_in(transaction_id: str) -> Mapping[str, Any]:
    return {
        "command": "insertOne",
        "collection": "notes",
        "transactionId": transaction_id,
        "doc": {"a": 1},
        "options": {},
    }


@pytest.mark.parametrize(
    ("last", "ended"), [("commitTransaction", "commit"), ("abortTransaction", "abort")]
)
async def test_a_transaction_from_start_to_end(
    service: DocumentService, server: Server, last: str, ended: str
) -> None:
    transaction_id = await started(service)
    await service.trusted(SPACE, insert_in(transaction_id))
    await service.trusted(SPACE, {"command": last, "transactionId": transaction_id})
    assert server.ended == [ended]
    with pytest.raises(DatabaseError) as error:
        await service.trusted(SPACE, insert_in(transaction_id))
    assert error.value.number == NO_SUCH_TRANSACTION


async def test_a_transaction_of_another_process_is_sent_there(
    service: DocumentService, server: Server, peers: Peers
) -> None:
    transaction_id = f"tx-{THERE}-{'0' * 24}"
    data = orjson.loads(await service.trusted(SPACE, insert_in(transaction_id)))
    assert data["affectedDocs"] == 7
    [(process_id, space_id, command)] = peers.sent
    assert (process_id, space_id, command.verb) == (THERE, SPACE, Verb.INSERT_ONE)
    assert server.commands == []


@pytest.mark.parametrize(
    ("strange", "number"),
    [
        *[("", BAD_VALUE), ("x" * 10_000, BAD_VALUE)],
        *[(f"tx-{digit * 16}-{'0' * 24}", BAD_VALUE) for digit in "\uff46\u0660\ud800"],
        *[
            (strange, NO_SUCH_TRANSACTION)
            for strange in (
                *["tx-../../x-0", f"tx-../../x-{'0' * 24}", f"tx-calls-{'0' * 24}"],
                *[f"tx-{'f' * 15}F-{'0' * 24}", f"tx-{'f' * 17}-{'0' * 24}"],
                *[f"tx-{THERE}-{'0' * 24}\n", f"tx-{THERE}\0-{'0' * 24}"],
            )
        ],
    ],
)
async def test_a_wild_id_is_sent_to_nobody(
    service: DocumentService, peers: Peers, strange: str, number: int
) -> None:
    with pytest.raises(DatabaseError) as error:
        await service.trusted(SPACE, insert_in(strange))
    assert error.value.number == number
    assert len(error.value.message) < 200
    assert peers.sent == []


async def test_the_transactions_of_a_user_are_bounded_and_a_backends_are_not(
    service: DocumentService,
) -> None:
    start = {"command": "startTransaction"}
    await service.for_client(SPACE, PRIVATE, "tom", start)
    with pytest.raises(TooManyTransactionsError):
        await service.for_client(SPACE, PRIVATE, "tom", start)
    await service.for_client(SPACE, PRIVATE, "jerry", start)
    for _ in range(2):
        await service.trusted(SPACE, start, user_id="tom")


async def test_a_client_without_a_user_is_bounded_too(service: DocumentService) -> None:
    start = {"command": "startTransaction"}
    await service.for_client(SPACE, PRIVATE, None, start)
    with pytest.raises(TooManyTransactionsError):
        await service.for_client(SPACE, PRIVATE, None, start)


async def test_rules_hold_inside_a_transaction(service: DocumentService) -> None:
    data = await service.for_client(SPACE, PRIVATE, "tom", {"command": "startTransaction"})
    transaction_id = orjson.loads(data)["transactionId"]
    elsewhere = {**insert_in(transaction_id), "collection": "secrets"}
    with pytest.raises(PermissionDeniedError):
        await service.for_client(SPACE, PRIVATE, "tom", elsewhere)


async def test_the_management_side_has_its_own_names(
    service: DocumentService, server: Server
) -> None:
    server.answer = DocumentAnswer(affected=0, result=["notes"])
    answer = await service.manage(SPACE, '{"command": "collections"}')
    assert answer.result == ["notes"]
    assert server.commands[0].verb is Verb.COLLECTIONS


async def test_a_command_without_room_is_not_sent_and_one_in_a_transaction_is(
    service: DocumentService, server: Server, rooms: CommandRooms
) -> None:
    transaction_id = await started(service)
    async with rooms.plain.hold(SPACE, client=False):
        waiting = asyncio.create_task(service.trusted(SPACE, find()))
        await until(lambda: bool(rooms.plain._lines), "it waits")
        await service.trusted(SPACE, insert_in(transaction_id))
        assert [each.verb for each in server.commands] == [Verb.INSERT_ONE]
        with pytest.raises(OverloadedError):  # one may wait
            await service.trusted(SPACE, find())
    await waiting
    assert [each.verb for each in server.commands] == [Verb.INSERT_ONE, Verb.FIND]


async def test_the_room_of_transactions_is_bounded_and_their_end_gets_through(
    service: DocumentService, server: Server, rooms: CommandRooms
) -> None:
    transaction_id = await started(service)
    async with rooms.in_transactions.hold(SPACE, client=False):
        waiting = asyncio.create_task(service.trusted(SPACE, insert_in(transaction_id)))
        await until(lambda: bool(rooms.in_transactions._lines), "it waits")
        other = await started(service)
        await service.trusted(SPACE, {"command": "commitTransaction", "transactionId": other})
        assert server.ended == ["commit"]
        assert server.commands == []
    await waiting
    assert [each.verb for each in server.commands] == [Verb.INSERT_ONE]
