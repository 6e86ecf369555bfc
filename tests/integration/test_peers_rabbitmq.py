"""Processes that ask each other over RabbitMQ, and a transaction that two of them use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from runtime.backends.peers_rabbitmq import RabbitMqPeers
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.documents.errors import NO_SUCH_TRANSACTION, DatabaseError
from runtime.errors import UnavailableError
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand, Verb
from runtime.ports import NobodyThereError, PeerHandler
from runtime.services.transaction_peers import QuestionBounds, TransactionsElsewhere, answer_for
from tests.harness.polling import until
from tests.harness.program import free_port
from tests.harness.rabbitmq import RabbitMq

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

BOUNDS = CommandBounds(documents=1, answer_bytes=1, time_ms=1000)


async def echo(question: bytes) -> bytes:
    return question


@asynccontextmanager
async def peer(
    options: RabbitMqOptions, process_id: str, handler: PeerHandler = echo
) -> AsyncIterator[RabbitMqPeers]:
    peers = RabbitMqPeers(options, questions_max=64)
    async with peers.open(process_id, handler):
        await until(lambda: peers._link.up, "it is connected")
        yield peers


async def test_each_gets_its_own_answers(options: RabbitMqOptions) -> None:
    async with peer(options, "a") as a, peer(options, "b") as b:
        questions = [str(number).encode() for number in range(100)]
        answers = await asyncio.gather(
            *(a.ask("b", each, timeout_s=10) for each in questions),
            *(b.ask("a", each, timeout_s=10) for each in questions),
        )
        assert answers == [*questions, *questions]


async def test_nobody_is_known_at_once(options: RabbitMqOptions) -> None:
    async with peer(options, "a") as a:
        with pytest.raises(NobodyThereError):
            await a.ask("b", b"?", timeout_s=10)
        async with peer(options, "b"):
            assert await a.ask("b", b"?", timeout_s=10) == b"?"
        with pytest.raises(NobodyThereError):
            await a.ask("b", b"?", timeout_s=10)


async def test_a_stranger_asked_for_is_no_news(options: RabbitMqOptions) -> None:
    """Anybody can make up an owner: that must not fill the log."""
    async with peer(options, "a") as a:
        with capture_logs() as logs:
            for number in range(20):
                with pytest.raises(NobodyThereError):
                    await a.ask(f"{number:016x}", b"?", timeout_s=10)
        assert logs == []


async def test_who_is_open_is_reached(options: RabbitMqOptions) -> None:
    """Without waiting: what it begins at once must not be over for everybody else."""
    one, two = RabbitMqPeers(options, questions_max=64), RabbitMqPeers(options, questions_max=64)
    async with one.open("a", echo), two.open("b", echo):
        assert (one.problem, two.problem) == (None, None)
        assert await one.ask("b", b"?", timeout_s=10) == b"?"


async def test_who_cannot_be_asked_says_so_and_goes_on(options: RabbitMqOptions) -> None:
    impatient = replace(options, connect_timeout_s=0.5, reconnect_longest_s=0.2)
    async with peer(options, "a"):
        twin = RabbitMqPeers(
            impatient, questions_max=64
        )  # the broker has the queue of this id for another connection
        async with twin.open("a", echo):
            assert twin.problem is not None
            assert "RESOURCE_LOCKED" in twin.problem
            with pytest.raises(UnavailableError):
                await twin.ask("a", b"?", timeout_s=1)


async def test_a_broker_that_is_away_is_a_problem() -> None:
    nowhere = RabbitMqOptions(url=f"amqp://guest:secret@127.0.0.1:{free_port()}/")
    peers = RabbitMqPeers(replace(nowhere, connect_timeout_s=0.2), questions_max=64)
    assert peers.problem is not None
    async with peers.open("a", echo):
        assert peers.problem is not None
        assert "secret" not in peers.problem


async def test_who_does_not_answer_in_time_is_not_waited_for(options: RabbitMqOptions) -> None:
    async def silent(_: bytes) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    async with peer(options, "a") as a, peer(options, "b", silent):
        with pytest.raises(UnavailableError, match=r"did not answer in 0\.2 s; whether it did"):
            await a.ask("b", b"?", timeout_s=0.2)


async def test_a_lost_connection_fails_what_is_open_and_comes_back(
    options: RabbitMqOptions, rabbitmq: RabbitMq
) -> None:
    asked = asyncio.Event()

    async def silent(_: bytes) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    fast = replace(options, reconnect_longest_s=0.5)
    async with peer(fast, "a") as a, peer(fast, "b", silent):
        asking = asyncio.create_task(a.ask("b", b"?", timeout_s=30))
        await asked.wait()
        await asyncio.to_thread(rabbitmq.control, "close_all_connections", "a test")
        with pytest.raises(UnavailableError):
            await asking
        async with peer(fast, "c") as c:
            await until(lambda: a._link.up, "it is connected again")
            assert await c.ask("a", b"again", timeout_s=10) == b"again"


async def test_commands_of_a_transaction_go_to_its_process(options: RabbitMqOptions) -> None:
    seen: list[tuple[str, DocumentCommand, CommandBounds]] = []

    async def run_here(
        space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        seen.append((space_id, command, bounds))
        if command.collection == "gone":
            raise DatabaseError(NO_SUCH_TRANSACTION, "it is over")
        return DocumentAnswer(affected=1, result={"text": "你好"}, extra={"n": 1})

    command = DocumentCommand(
        verb=Verb.INSERT_ONE,
        collection="users",
        transaction_id="tx-b-1",
        arguments={"doc": {"name": "tom"}},
    )
    async with (
        peer(options, "a") as a,
        peer(options, "b", answer_for(run_here, QuestionBounds(per_space=1, total=1))),
    ):
        elsewhere = TransactionsElsewhere(a)
        answer = await elsewhere.send("b", "mp-1", command, BOUNDS)
        assert answer == DocumentAnswer(affected=1, result={"text": "你好"}, extra={"n": 1})
        assert seen == [("mp-1", command, BOUNDS)]
        for where in ("b", "nobody"):
            with pytest.raises(DatabaseError) as error:
                await elsewhere.send(where, "mp-1", replace(command, collection="gone"), BOUNDS)
            assert error.value.number == NO_SUCH_TRANSACTION
