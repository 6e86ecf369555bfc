"""Commands of one transaction take turns; what is forgotten or never ends is rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from runtime.documents.errors import NO_SUCH_TRANSACTION, DatabaseError
from runtime.errors import OverloadedError
from runtime.ports import DocumentTransaction
from tests.harness.polling import until
from tests.unit.transactions_support import (
    Server,
    commit,
    nothing,
    opened,
    over,
    timers,
)


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


async def test_one_whose_command_waits_is_not_forgotten() -> None:
    """The command before it is over then: its end must not begin the time of a forgotten one."""
    server = Server()
    turns = [asyncio.Event(), asyncio.Event()]

    def waits_for(turn: asyncio.Event) -> Callable[[DocumentTransaction], Awaitable[bool]]:
        return lambda _: turn.wait()

    async with opened(server, idle_s=0.01) as transactions:
        one = await transactions.begin("mp-1")
        first, second = (
            asyncio.create_task(transactions.use("mp-1", one, waits_for(turn))) for turn in turns
        )
        await asyncio.sleep(0)
        turns[0].set()
        await first
        await asyncio.sleep(0.05)
        assert server.begun[0].done == []
        turns[1].set()
        await second
        await until(lambda: server.begun[0].done == ["abort"])


async def test_who_waits_has_a_bound_that_others_do_not_share() -> None:
    go = asyncio.Event()

    async def long(_: DocumentTransaction) -> str:
        await go.wait()
        return "done"

    async with opened(Server()) as transactions:
        ids = [await transactions.begin("mp-1") for _ in range(2)]
        tasks = [asyncio.create_task(transactions.use("mp-1", each, long)) for each in [*ids, *ids]]
        await asyncio.sleep(0)
        for each in ids:
            refused = asyncio.create_task(transactions.use("mp-1", each, nothing))
            await asyncio.sleep(0)
            assert refused.done()
            assert isinstance(refused.exception(), OverloadedError)
        go.set()
        assert await asyncio.gather(*tasks) == ["done"] * 4
        assert await transactions.use("mp-1", ids[0], nothing) == "done"


async def test_nothing_is_left_of_one_that_is_over() -> None:
    server = Server()
    with timers() as calls:
        async with opened(server, life_s=0) as transactions:
            one = await transactions.begin("mp-1")
            assert await over(transactions, one)
            assert [handle.cancelled() for handle in calls] == [True]
            await until(lambda: server.begun[0].done == ["abort"])
            await until(lambda: not transactions._ending)


async def test_the_end_of_all_leaves_no_timer() -> None:
    with timers() as calls:
        async with opened(Server()) as transactions:
            await transactions.begin("mp-1")
    assert [handle.cancelled() for handle in calls] == [True]


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


async def test_who_gives_up_while_waiting_ends_nothing() -> None:
    go = asyncio.Event()

    async def long(_: DocumentTransaction) -> None:
        await go.wait()

    server = Server()
    async with opened(server) as transactions:
        one = await transactions.begin("mp-1")
        using = asyncio.create_task(transactions.use("mp-1", one, long))
        await asyncio.sleep(0)
        late = asyncio.create_task(transactions.use("mp-1", one, nothing))
        await asyncio.sleep(0)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        go.set()
        await using
        assert await transactions.use("mp-1", one, nothing) == "done"
        assert server.begun[0].done == []


async def test_one_that_was_used_is_forgotten_after_its_last_command() -> None:
    """Each command begins the time anew; the timer of an earlier one must not end it."""
    with timers() as calls:
        async with opened(Server()) as transactions:
            one = await transactions.begin("mp-1")
            for _ in range(3):
                await transactions.use("mp-1", one, nothing)
            assert [handle.cancelled() for handle in calls] == [True, True, True, False]
            await transactions.use("mp-1", one, commit, last=True)
            assert all(handle.cancelled() for handle in calls)


async def test_one_that_is_never_ended_is_rolled_back() -> None:
    server = Server()
    async with opened(server, life_s=0.01) as transactions:
        one = await transactions.begin("mp-1")
        await until(lambda: server.begun[0].done == ["abort"])
        assert await over(transactions, one)
        assert len(transactions) == 0


async def test_a_command_after_its_life_is_too_late() -> None:
    server = Server()
    used: list[int] = []

    async def use(_: DocumentTransaction) -> None:
        used.append(1)

    async with opened(server, life_s=0) as transactions:
        one = await transactions.begin("mp-1")
        with pytest.raises(DatabaseError) as error:  # before the loop has turned
            await transactions.use("mp-1", one, use, last=True)
        assert error.value.number == NO_SUCH_TRANSACTION
        assert used == []
        await until(lambda: server.begun[0].done == ["abort"])
