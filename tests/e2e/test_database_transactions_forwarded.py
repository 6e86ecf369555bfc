"""Transactions over processes: two gateways and two workers, each of which may have begun one."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk, sdk_runner
from tests.harness.database_client import DatabaseClient
from tests.harness.database_sdk import codes, set_rule
from tests.harness.distributed import DistributedProgram
from tests.harness.lacking import NEEDS_RABBITMQ
from tests.harness.polling import until
from tests.harness.program import Process
from tests.harness.transaction_stage import TransactionStage, user

pytestmark = [pytest.mark.e2e, NEEDS_RABBITMQ, pytest.mark.timeout(120)]

NO_SUCH_TRANSACTION = "251"
LOCKED = {"50", "112"}
"""What a writer is told while a transaction has changed the same document."""
BOUNDED_S = 20.0
"""More than any answer may take: the command's time, the way, the driver's patience."""
_numbers = itertools.count()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransactionStage]:
    folder = tmp_path_factory.mktemp("forwarded")
    program = DistributedProgram(
        folder / "data", YUNHAN_SANDBOX="process", YUNHAN_SLOTS="4", YUNHAN_QUEUE_HEARTBEAT_S="2"
    )
    program.start()
    try:
        stage = TransactionStage(program, folder)
        yield stage
        assert stage.other.end(signal.SIGTERM) == 0, stage.other.log()
    finally:
        program.stop()


@pytest.fixture(scope="module")
def sdk(stage: TransactionStage) -> RunSdk:
    return sdk_runner(stage.program)


@pytest.fixture
def owner(stage: TransactionStage) -> Iterator[Process]:
    """A gateway that a test may do anything to."""
    owner = stage.gateway()
    owner.start()
    yield owner
    owner.end(signal.SIGKILL)


@pytest.fixture
def things() -> str:
    return f"things-{next(_numbers)}"


async def begin(client: DatabaseClient, things: str, **doc: Any) -> str:
    """The id of a transaction in which something was inserted."""
    transaction_id = str((await client.get("startTransaction"))["transactionId"])
    await client.get("insertOne", things, transactionId=transaction_id, doc={"_id": "new", **doc})
    return transaction_id


async def code_of(client: DatabaseClient, command: str, things: str, **arguments: Any) -> str:
    """Of an answer, which comes in bounded time; empty when it went well."""
    async with asyncio.timeout(BOUNDED_S):
        answer = await client.ask(command, things, **arguments)
    return "" if answer["success"] else str(answer["error"]["code"])


async def all_of(client: DatabaseClient, things: str) -> Any:
    return (await client.get("find", things, query={}))["result"]


async def test_it_goes_on_at_another_gateway(stage: TransactionStage, things: str) -> None:
    async with user(stage.space, stage.program.endpoint, stage.other.address) as (here, there):
        for first, second in ((here, there), (there, here)):
            for end, left in (("abortTransaction", 0), ("commitTransaction", 2)):
                known = {"transactionId": await begin(first, things, n=1)}
                by_id = {**known, "filter": {"_id": "new"}}
                await second.get("updateOne", things, **by_id, update={"$inc": {"n": 1}})
                found = await first.get("findOne", things, **known, query={"_id": "new"})
                assert found["result"] == {"_id": "new", "n": 2}
                made = await second.get("insertOne", things, **known, doc={"_id": "more"})
                assert (made["affectedDocs"], made["result"]["insertedId"]) == (1, "more")
                assert await all_of(second, things) == []
                ended = await second.get(end, things, **known)
                assert ended["affectedDocs"] == 0
                assert len(await all_of(first, things)) == left
                for each in (first, second):
                    assert await code_of(each, end, things, **known) == NO_SUCH_TRANSACTION
            await first.get("deleteMany", things, filter={})


async def test_errors_come_back_as_they_are_at_home(stage: TransactionStage, things: str) -> None:
    async with user(stage.space, stage.program.endpoint, stage.other.address) as (here, there):
        await here.get("insertOne", things, doc={"_id": "old"})
        texts = set()
        for each in (here, there):
            known = {"transactionId": await begin(here, things)}
            twice = await each.ask("insertOne", things, **known, doc={"_id": "old"})
            over = await each.ask("findOne", things, **known, query={})
            wrong = {"transactionId": await begin(here, things), "filter": {}}
            refused = await each.ask("updateOne", things, **wrong, update={"$set": {"_id": 1}})
            huge = await each.ask("updateOne", things, **wrong, update={"$set": {"n": 2**70}})
            asked = [twice, over, refused, huge]
            assert [one["error"]["code"] for one in asked[:2]] == ["11000", NO_SUCH_TRANSACTION]
            assert not any("InternalServerError" in one["error"]["code"] for one in asked)
            told = [f"{one['error']['code']} {one['error']['message']}" for one in asked]
            text = "\n".join(told)
            for number in (known["transactionId"], str(wrong["transactionId"])):
                text = text.replace(number, "-")
            texts.add(text)
            await each.ask("abortTransaction", transactionId=wrong["transactionId"])
        assert len(texts) == 1, texts


async def test_access_rules_go_along(stage: TransactionStage, things: str) -> None:
    space = stage.management.space("e2e-ruled")  # which no gateway has looked at yet
    set_rule(stage.management, space[0], things, "PRIVATE")
    async with (
        user(space, stage.program.endpoint) as (ann,),
        user(space, stage.other.address) as (bob,),
    ):
        known = {"transactionId": await begin(ann, things)}
        seen = await bob.get("findOne", things, **known, query={})
        assert seen["result"] is None
        gone = await bob.get("deleteOne", things, **known, filter={})
        assert gone["affectedDocs"] == 0
        await ann.get("commitTransaction", things, **known)
        assert await all_of(ann, things) == [{"_id": "new"}]


async def test_of_a_function_by_a_backend_an_app_and_another_function(
    stage: TransactionStage, sdk: RunSdk, things: str
) -> None:
    config = stage.management.call("DescribeSpaceClientConfig", SpaceId=stage.space[0], Detail=True)
    begins = stage.management.invoke(stage.space[0], "begin", {"collection": things})
    transaction_id = json.loads(begins["Result"])
    steps: list[list[Any]] = [
        ["backend", 1, "user-7", "in", transaction_id, things, "insertOne", {"_id": "backend"}],
        ["app", 0, "ann", "in", transaction_id, things, "findOne", {"_id": "of a function"}],
        ["app", 1, "ann", "on", things, "find", {}],
        ["app", 1, "ann", "invoke", "go-on", {"id": transaction_id, "collection": things}],
        ["backend", 0, "", "on", things, "count", {}],
        ["backend", 0, "", "commit", transaction_id],
    ]
    results = await asyncio.to_thread(
        sdk,
        "database_shared.cjs",
        endpoints=[stage.program.endpoint, stage.other.address],
        spaceId=stage.space[0],
        clientSecret=stage.space[1],
        serverSecret=config["PrivateKey"],
        steps=steps,
    )
    told = [each["value"]["result"] for each in results[:5]]
    assert told[0]["insertedId"] == "backend"
    assert told[1:] == [{"_id": "of a function", "n": 1}, [], True, 3]
    assert codes(results[5:]) == [NO_SUCH_TRANSACTION]


async def test_another_space_has_no_part_in_it(stage: TransactionStage, things: str) -> None:
    foreign = stage.open_space()
    async with (
        user(stage.space, stage.program.endpoint) as (mine,),
        user(foreign, stage.program.endpoint, stage.other.address) as theirs,
    ):
        known = {"transactionId": await begin(mine, things)}
        asks: list[tuple[str, dict[str, Any]]] = [
            ("findOne", {"query": {}}),
            ("insertOne", {"doc": {"_id": "theirs"}}),
            ("commitTransaction", {}),
            ("abortTransaction", {}),
        ]
        unknown = {"transactionId": known["transactionId"][:-24] + "0" * 24}
        for each in theirs:
            for command, arguments in asks:
                told = await each.ask(command, things, **known, **arguments)
                guessed = await each.ask(command, things, **unknown, **arguments)
                assert told["error"]["code"] == NO_SUCH_TRANSACTION
                # Nothing tells that it exists.
                assert (
                    told["error"]["message"].replace(
                        known["transactionId"], unknown["transactionId"]
                    )
                    == (guessed["error"]["message"])
                )
        await mine.get("commitTransaction", things, **known)
        assert await all_of(mine, things) == [{"_id": "new"}]
        assert await all_of(theirs[1], things) == []


async def test_wild_ids_are_no_transactions(stage: TransactionStage, things: str) -> None:
    wild = ["tx-../../x-0", f"tx-../../x-{'0' * 24}", f"tx-calls-{'0' * 24}", "x" * 10_000, "事务"]
    wild += [f"tx-{'0' * 16}-{'0' * 24}", f"tx-#-{'0' * 24}", f"tx-{'0' * 16}-{'0' * 24}\n", "\0"]
    asks: list[tuple[str, dict[str, Any]]] = [("findOne", {"query": {}}), ("commitTransaction", {})]
    async with user(stage.space, stage.other.address) as (client,):
        for each in wild:
            for command, arguments in asks:
                code = await code_of(client, command, things, transactionId=each, **arguments)
                assert code in {NO_SUCH_TRANSACTION, "2"}, each
    assert "broker_queue_missing" not in stage.other.log()


async def test_a_killed_owner_takes_its_transactions_along(
    stage: TransactionStage, owner: Process, things: str
) -> None:
    async with user(stage.space, stage.other.address, owner.address) as (client, doomed):
        await client.get("insertOne", things, doc={"_id": "old", "n": 1})
        known = {"transactionId": await begin(doomed, things)}
        by_id = {"filter": {"_id": "old"}, "update": {"$inc": {"n": 1}}}
        await client.get("updateOne", things, **known, **by_id)
        owner.end(signal.SIGKILL)
        await over(client, things, known)
        assert await all_of(client, things) == [{"_id": "old", "n": 1}]
        # The database keeps the locks of a session that nobody ended, for a minute.
        assert await code_of(client, "updateOne", things, **by_id) in {"", *LOCKED}


async def test_a_killed_worker_takes_its_functions_transactions_along(
    stage: TransactionStage, things: str
) -> None:
    """Each of the workers, so that nobody has to know whose it was."""
    async with user(stage.space, stage.other.address) as (client,):
        begins = stage.management.invoke(stage.space[0], "begin", {"collection": things})
        known = {"transactionId": json.loads(begins["Result"])}
        for worker in stage.program.workers:
            worker.end(signal.SIGKILL)
        try:
            await over(client, things, known)
            assert await all_of(client, things) == []
            again = await code_of(client, "insertOne", things, doc={"_id": "of a function"})
            assert again in {"", *LOCKED}
        finally:
            for worker in stage.program.workers:
                worker.start()


async def test_an_owner_that_stops_rolls_back(
    stage: TransactionStage, owner: Process, things: str
) -> None:
    async with user(stage.space, stage.other.address, owner.address) as (client, leaving):
        await client.get("insertOne", things, doc={"_id": "old", "n": 1})
        known = {"transactionId": await begin(leaving, things)}
        by_id = {"filter": {"_id": "old"}, "update": {"$inc": {"n": 1}}}
        await client.get("updateOne", things, **known, **by_id)
        assert await asyncio.to_thread(owner.end, signal.SIGTERM) == 0, owner.log()
        assert await code_of(client, "commitTransaction", things, **known) == NO_SUCH_TRANSACTION
        assert await code_of(client, "updateOne", things, **by_id) == ""
        assert await all_of(client, things) == [{"_id": "old", "n": 2}]


async def test_a_frozen_owner_is_not_waited_for(
    stage: TransactionStage, owner: Process, things: str
) -> None:
    assert owner.process is not None
    async with user(stage.space, stage.other.address, owner.address) as (client, frozen):
        known = {"transactionId": await begin(frozen, things)}
        owner.process.send_signal(signal.SIGSTOP)
        try:
            find = {**known, "query": {}}
            code = await code_of(client, "findOne", things, **find)
            assert code in {"InternalServerError", NO_SUCH_TRANSACTION}
            await over(client, things, known)  # once the broker gives up the connection
            assert await all_of(client, things) == []
        finally:
            owner.process.send_signal(signal.SIGCONT)
        # It is reached again for what it begins now.
        await until(lambda: reached(client, frozen), "it is there again", every_s=0.1)


async def test_a_forgotten_one_is_rolled_back_everywhere(
    stage: TransactionStage, things: str
) -> None:
    owner = stage.gateway(YUNHAN_DATABASE_TRANSACTION_IDLE_S="1")
    owner.start()
    try:
        async with user(stage.space, stage.other.address, owner.address) as (client, _):
            async with user(stage.space, owner.address) as (forgetful,):
                await client.get("insertOne", things, doc={"_id": "old", "n": 1})
                known = {"transactionId": await begin(forgetful, things)}
                by_id = {"filter": {"_id": "old"}, "update": {"$inc": {"n": 1}}}
                await client.get("updateOne", things, **known, **by_id)
            await free(client, things, by_id)  # nobody asks for it: it is over by itself
            code = await code_of(client, "commitTransaction", things, **known)
            assert code == NO_SUCH_TRANSACTION
            assert await all_of(client, things) == [{"_id": "old", "n": 2}]
    finally:
        assert owner.end(signal.SIGTERM) == 0, owner.log()


async def test_clients_do_not_take_all_the_room(
    stage: TransactionStage, sdk: RunSdk, things: str
) -> None:
    owner = stage.gateway(
        YUNHAN_DATABASE_TRANSACTIONS_PER_USER_MAX="2",
        YUNHAN_DATABASE_TRANSACTIONS_PER_SPACE_MAX="5",
    )
    owner.start()
    try:
        config = stage.management.call(
            "DescribeSpaceClientConfig", SpaceId=stage.space[0], Detail=True
        )
        starts = [["app", 0, name, "start"] for name in ("ann", "ann", "ann", "bob", "bob", "cat")]
        starts += [["backend", 0, "ann", "start"] for _ in range(2)]
        results = await asyncio.to_thread(
            sdk,
            "database_shared.cjs",
            endpoints=[owner.address],
            spaceId=stage.space[0],
            clientSecret=stage.space[1],
            serverSecret=config["PrivateKey"],
            steps=starts,
        )
        refused = [each.get("error", {}).get("code") for each in results]
        full = "Throttling.Api.Concurrency"
        assert refused == [None, None, full, None, None, full, None, full]
        assert "commit or roll one back" in results[2]["error"]["message"]
        async with user(stage.space, stage.other.address, owner.address) as (elsewhere, _):
            assert await code_of(elsewhere, "startTransaction", things) == ""
    finally:
        assert owner.end(signal.SIGTERM) == 0, owner.log()


async def over(client: DatabaseClient, things: str, known: dict[str, str]) -> None:
    """Each answer comes in bounded time, and soon it says so."""

    async def said() -> bool:
        code = await code_of(client, "findOne", things, **known, query={})
        assert code in {"InternalServerError", NO_SUCH_TRANSACTION}
        return code == NO_SUCH_TRANSACTION

    await until(said, "it is over", seconds=40, every_s=0.1)


async def free(client: DatabaseClient, things: str, change: dict[str, Any]) -> None:
    """The locks of a transaction are gone: what it had changed is changed by somebody else."""

    async def changed() -> bool:
        code = await code_of(client, "updateOne", things, **change)
        assert code in {"", *LOCKED}
        return not code

    await until(changed, "its locks are free", every_s=0.1)


async def reached(client: DatabaseClient, owner: DatabaseClient) -> bool:
    begun = await owner.get("startTransaction")
    return not await code_of(client, "abortTransaction", "x", transactionId=begun["transactionId"])
