"""Open transactions: whose, how many, which errors end them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from runtime.documents.errors import NO_SUCH_TRANSACTION, WRITE_CONFLICT, DatabaseError
from runtime.documents.transaction_room import TooManyTransactionsError, TransactionBounds
from runtime.documents.transactions import Transactions, owner_of
from runtime.errors import OverloadedError, UnavailableError
from runtime.ports import DocumentTransaction
from tests.unit.transactions_support import (
    PROCESS,
    Server,
    Transaction,
    commit,
    nothing,
    opened,
    over,
)


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
        with pytest.raises(DatabaseError) as error:
            await transactions.use("mp-1", strange, nothing)
        assert error.value.number == NO_SUCH_TRANSACTION
        assert len(error.value.message) < 200


@pytest.mark.parametrize(
    "owner",
    [
        *["", "calls", "0" * 15, "0" * 17, "0123456789ABCDEF", "0123456789abcdeg", "x" * 10_000],
        *["../../x", "a.b.c.d.e.f.g.h.", "# * # * # * # * ", "\u0660" * 16, "\U0001d7d8" * 16],
        *[f"{PROCESS}\n", f"\n{PROCESS}", f"{PROCESS}\0", f"{PROCESS}-{PROCESS}", "\ud800" * 16],
    ],
)
def test_a_wild_id_names_no_process(owner: str) -> None:
    assert owner_of(f"tx-{owner}-{'0' * 24}") is None


@pytest.mark.parametrize("end", ["", "0" * 23, "0" * 25, f"{'0' * 24}\n", "g" * 24, "\u0660" * 24])
def test_an_id_with_a_wild_end_names_no_process(end: str) -> None:
    assert owner_of(f"tx-{PROCESS}-{end}") is None


@pytest.mark.parametrize("process_id", ["", "here", "calls", "0" * 17, f"{PROCESS}\n"])
def test_a_process_has_an_id_that_fits(process_id: str) -> None:
    bounds = TransactionBounds(per_user=1, per_space=1, total=1, reserved_percent=0)
    with pytest.raises(ValueError, match="no id of a process"):
        Transactions(
            Server(),  # type: ignore[arg-type]
            process_id=process_id,
            idle_s=1,
            life_s=1,
            bounds=bounds,
            waiting_max=1,
        )


async def test_ids_are_not_guessed() -> None:
    async with opened(Server()) as transactions:
        ids = {await transactions.begin(f"mp-{number}") for number in range(3)}
    assert len({each[-24:] for each in ids}) == 3


async def test_another_space_does_not_reach_it() -> None:
    async with opened(Server()) as transactions:
        one = await transactions.begin("mp-1")
        assert await over(transactions, one, "mp-2")
        assert not await over(transactions, one)


async def test_one_that_cannot_be_rolled_back_is_told_and_left() -> None:
    class Broken(Transaction):
        async def abort(self) -> None:
            raise RuntimeError("a defect")

    class BrokenServer(Server):
        async def begin(self, space_id: str) -> Transaction:
            return Broken()

    with capture_logs() as logs:
        async with opened(BrokenServer()) as transactions:
            await transactions.begin("mp-1")
    assert [each["event"] for each in logs] == ["transaction_not_aborted"]


def ended_by(server: Server, error: Exception) -> Callable[[DocumentTransaction], Awaitable[None]]:
    """A command in the first transaction of a server that fails so: the port ends it before it raises."""

    async def fail(_: DocumentTransaction) -> None:
        server.begun[-1].is_ended = True
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [DatabaseError(11000, "taken"), UnavailableError("away"), OverloadedError("full"), KeyError()],
    ids=repr,
)
@pytest.mark.parametrize("ends", [True, False])
async def test_an_error_ends_it_where_the_port_says_so(error: Exception, *, ends: bool) -> None:
    async def fail(_: DocumentTransaction) -> None:
        raise error

    server = Server()
    async with opened(server) as transactions:
        one = await transactions.begin("mp-1", user_id="tom")
        with pytest.raises(type(error)):
            await transactions.use("mp-1", one, ended_by(server, error) if ends else fail)
        assert await over(transactions, one) is ends
        assert len(transactions) == (0 if ends else 1)
        if ends:
            await transactions.begin("mp-1", user_id="tom")  # its room is free at once
        await roll_back_once(transactions, one)


async def test_who_lost_at_the_commit_may_roll_back() -> None:
    server = Server()
    async with opened(server) as transactions:
        one = await transactions.begin("mp-1")
        lost = ended_by(server, DatabaseError(WRITE_CONFLICT, "it lost"))
        with pytest.raises(DatabaseError):
            await transactions.use("mp-1", one, lost, last=True)
        await roll_back_once(transactions, one)


async def test_a_commit_of_which_nobody_knows_is_not_rolled_back() -> None:
    """It may be there: a rollback that succeeds would say that it is not."""
    server = Server()
    async with opened(server) as transactions:
        one = await transactions.begin("mp-1")
        with pytest.raises(UnavailableError):
            await transactions.use(
                "mp-1", one, ended_by(server, UnavailableError("away")), last=True
            )
        with pytest.raises(DatabaseError) as error:
            await transactions.roll_back("mp-1", one)
        assert error.value.number == NO_SUCH_TRANSACTION


async def test_an_error_that_ends_it_leaves_it_to_nobody() -> None:
    """The port has ended it: one abort more would be of something else."""
    server = Server()
    async with opened(server) as transactions:
        one = await transactions.begin("mp-1")
        lost = ended_by(server, DatabaseError(WRITE_CONFLICT, "it lost"))
        with pytest.raises(DatabaseError):
            await transactions.use("mp-1", one, lost)
        assert len(transactions) == 0
        await roll_back_once(transactions, one)
    assert server.begun[0].done == []


async def roll_back_once(transactions: Transactions, transaction_id: str) -> None:
    """Of its own space, however it ended."""
    with pytest.raises(DatabaseError) as foreign:
        await transactions.roll_back("mp-2", transaction_id)
    await transactions.roll_back("mp-1", transaction_id)
    with pytest.raises(DatabaseError) as again:
        await transactions.roll_back("mp-1", transaction_id)
    assert foreign.value.number == again.value.number == NO_SUCH_TRANSACTION


async def test_a_transaction_is_rolled_back_once() -> None:
    server = Server()
    async with opened(server) as transactions:
        one = await transactions.begin("mp-1")
        await roll_back_once(transactions, one)
    assert server.begun[0].done == ["abort"]


async def test_of_those_that_failed_the_last_ones_are_remembered() -> None:
    server = Server()
    fail = ended_by(server, DatabaseError(WRITE_CONFLICT, "it lost"))
    failed = []
    async with opened(server) as transactions:
        for _ in range(1001):
            failed.append(await transactions.begin("mp-1"))
            with pytest.raises(DatabaseError):
                await transactions.use("mp-1", failed[-1], fail)
        await transactions.roll_back("mp-1", failed[1])
        with pytest.raises(DatabaseError):
            await transactions.roll_back("mp-1", failed[0])


async def test_a_refused_commit_ends_it() -> None:
    async def fail(_: DocumentTransaction) -> None:
        raise UnavailableError("away")

    async with opened(Server()) as transactions:
        one = await transactions.begin("mp-1")
        with pytest.raises(UnavailableError):
            await transactions.use("mp-1", one, fail, last=True)
        assert await over(transactions, one)


async def test_a_users_room_is_bounded_and_given_back() -> None:
    async with opened(Server()) as transactions:
        one = await transactions.begin("mp-1", user_id="tom")
        with pytest.raises(TooManyTransactionsError):
            await transactions.begin("mp-1", user_id="tom")
        await transactions.begin("mp-1", user_id="jerry")
        await transactions.use("mp-1", one, commit, last=True)
        await transactions.begin("mp-1", user_id="tom")


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
