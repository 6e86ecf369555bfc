"""Open transactions: whose, for how long, how many, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from runtime.documents.errors import NO_SUCH_TRANSACTION, WRITE_CONFLICT, DatabaseError
from runtime.documents.transactions import Transactions, owner_of
from runtime.errors import OverloadedError, UnavailableError
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand
from runtime.ports import DocumentTransaction
from tests.harness.polling import until

PROCESS = "0123456789abcdef"


class Transaction(DocumentTransaction):
    def __init__(self) -> None:
        self.done: list[str] = []

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
async def opened(server: Server, *, idle_s: float = 3600.0) -> AsyncIterator[Transactions]:
    transactions = Transactions(
        server,  # type: ignore[arg-type]
        process_id=PROCESS,
        idle_s=idle_s,
        per_space_max=2,
        total_max=3,
        waiting_max=2,
    )
    async with transactions.open():
        yield transactions


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


async def test_a_transaction_is_used_until_it_is_committed_once() -> None:
    server = Server()
    async with opened(server) as transactions:
        one = await transactions.begin("mp-1")
        assert owner_of(one) == PROCESS
        assert await transactions.use("mp-1", one, nothing) == "done"
        await transactions.use("mp-1", one, commit, last=True)
        assert await over(transactions, one)
    assert server.begun[0].done == ["commit"]


@pytest.mark.parametrize("strange", ["", "tx-1", f"tx-{PROCESS}-{'0' * 24}", "x" * 10_000])
async def test_an_unknown_id_is_no_transaction(strange: str) -> None:
    async with opened(Server()) as transactions:
        assert await over(transactions, strange)


async def test_another_space_does_not_reach_it() -> None:
    async with opened(Server()) as transactions:
        one = await transactions.begin("mp-1")
        assert await over(transactions, one, "mp-2")
        assert not await over(transactions, one)


async def test_a_forgotten_one_is_rolled_back() -> None:
    server = Server()
    async with opened(server, idle_s=0.01) as transactions:
        one = await transactions.begin("mp-1")
        await until(lambda: server.begun[0].done == ["abort"])
        assert await over(transactions, one)
        assert len(transactions) == 0


async def test_one_with_a_command_under_way_is_not_forgotten() -> None:
    server = Server()
    go = asyncio.Event()

    async def long(_: DocumentTransaction) -> None:
        await go.wait()

    async with opened(server, idle_s=0.01) as transactions:
        one = await transactions.begin("mp-1")
        using = asyncio.create_task(transactions.use("mp-1", one, long))
        await asyncio.sleep(0.05)
        assert server.begun[0].done == []
        go.set()
        await using
        await until(lambda: server.begun[0].done == ["abort"])


async def test_commands_take_turns_and_few_wait() -> None:
    running: list[int] = []
    go = asyncio.Event()

    async def alone(_: DocumentTransaction) -> None:
        running.append(1)
        assert sum(running) == 1
        await go.wait()
        running.append(-1)

    async with opened(Server()) as transactions:
        one = await transactions.begin("mp-1")
        two = [asyncio.create_task(transactions.use("mp-1", one, alone)) for _ in range(2)]
        await until(lambda: bool(running))
        with pytest.raises(OverloadedError):
            await transactions.use("mp-1", one, alone)
        go.set()
        await asyncio.gather(*two)


async def test_what_waits_for_its_turn_when_it_is_committed_is_too_late() -> None:
    go = asyncio.Event()

    async def slow_commit(transaction: DocumentTransaction) -> None:
        await go.wait()
        await transaction.commit()

    async with opened(Server()) as transactions:
        one = await transactions.begin("mp-1")
        first = asyncio.create_task(transactions.use("mp-1", one, slow_commit, last=True))
        await asyncio.sleep(0)
        late = asyncio.create_task(over(transactions, one))
        await asyncio.sleep(0)
        go.set()
        await first
        assert await late


async def test_a_command_that_is_given_up_ends_it() -> None:
    server = Server()

    async def for_ever(_: DocumentTransaction) -> None:
        await asyncio.get_running_loop().create_future()

    async with opened(server) as transactions:
        one = await transactions.begin("mp-1")
        using = asyncio.create_task(transactions.use("mp-1", one, for_ever))
        await asyncio.sleep(0)
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)
        assert await over(transactions, one)
        await until(lambda: server.begun[0].done == ["abort"])


@pytest.mark.parametrize(
    ("number", "is_over"), [(NO_SUCH_TRANSACTION, True), (WRITE_CONFLICT, True), (2, False)]
)
async def test_which_errors_end_it(number: int, *, is_over: bool) -> None:
    async def fail(_: DocumentTransaction) -> None:
        raise DatabaseError(number, "it failed")

    async with opened(Server()) as transactions:
        one = await transactions.begin("mp-1")
        with pytest.raises(DatabaseError, match="it failed"):
            await transactions.use("mp-1", one, fail)
        assert await over(transactions, one) is is_over


async def test_rooms_are_bounded_and_given_back() -> None:
    server = Server()
    async with opened(server) as transactions:
        one = await transactions.begin("mp-1")
        await transactions.begin("mp-1")
        with pytest.raises(OverloadedError):
            await transactions.begin("mp-1")
        await transactions.begin("mp-2")
        with pytest.raises(OverloadedError):
            await transactions.begin("mp-3")
        await transactions.use("mp-1", one, commit, last=True)
        await transactions.begin("mp-3")


async def test_what_could_not_be_begun_takes_no_room() -> None:
    server = Server()
    async with opened(server) as transactions:
        server.away = True
        for _ in range(5):
            with pytest.raises(UnavailableError):
                await transactions.begin("mp-1")
        server.away = False
        await transactions.begin("mp-1")


async def test_at_the_end_all_are_rolled_back() -> None:
    server = Server()
    async with opened(server) as transactions:
        await transactions.begin("mp-1")
        await transactions.begin("mp-2")
    assert [each.done for each in server.begun] == [["abort"], ["abort"]]
