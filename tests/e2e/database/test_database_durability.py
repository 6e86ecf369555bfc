"""Writes of many at once: none is lost, whether they meet on one document or the whole program is killed."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import database
from tests.harness.database_client import DatabaseClient
from tests.harness.database_sdk import set_rule
from tests.harness.management import Management
from tests.harness.program import Program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

KILLS = int(os.environ.get("YUNHAN_TEST_KILLS", "10"))
CLIENTS = 8
INCREMENTS = 1000
TRANSACTIONS = 25
"""Committed ones of each client."""
TRIES_MAX = 2000
"""Of one client: so many conflicts would mean that none of them gets on."""
WRITES = ("updateOne", "updateMany", "findOneAndUpdate")
TIME_MAX_S = 9.0
"""1 s that a command may take, 5 s in which the database may answer nevertheless; the rest is for busy
machines. Below the 10 s after which an unused transaction ends."""
COLLECTION = "counters"
TOO_SLOW, WRITE_CONFLICT, NO_SUCH_TRANSACTION = "50", "112", "251"
MORE = {"$inc": {"n": 1}}


def test_acknowledged_writes_survive_kills() -> None:
    """`python -m tests.chaos.run --only database` for more of it."""
    tally = database.run(rounds=KILLS, writers=6, seed=1)
    print()
    print(*tally.rounds, database.figures(tally), sep="\n")
    assert tally.violations == []
    assert len(tally.rounds) == KILLS
    assert all(each.lost == 0 and each.found > 0 for each in tally.rounds)
    assert tally.writes.increments_acknowledged > 0


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Host and space of a program."""
    program = Program(tmp_path / "data", YUNHAN_SANDBOX="process")
    program.start()
    try:
        management = Management(program.endpoint, program.access_key())
        space = management.space("durability")
        set_rule(management, space[0], COLLECTION, "EXTENDED", {".read": True, ".write": True})
        yield f"127.0.0.1:{program.port}", space
        assert program.stop() == 0, program.log()
    finally:
        program.kill()


@pytest.fixture
async def clients(at_work: tuple[str, tuple[str, str]]) -> AsyncIterator[list[DatabaseClient]]:
    """Several at once, each with a connection of its own, and a document with `n` = 0."""
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(DatabaseClient.open(*at_work)) for _ in range(CLIENTS)
        ]
        await found[0].get("insertOne", COLLECTION, doc={"_id": "one", "n": 0})
        yield found


async def total(client: DatabaseClient) -> int:
    found = await client.get("findOne", COLLECTION, query={"_id": "one"})
    return int(found["result"]["n"])


async def test_increments_of_one_document(clients: list[DatabaseClient]) -> None:
    affected: Counter[int] = Counter()

    async def increment(client: DatabaseClient) -> None:
        for _ in range(INCREMENTS):
            answer = await client.get("updateOne", COLLECTION, filter={"_id": "one"}, update=MORE)
            affected[answer["affectedDocs"]] += 1

    await asyncio.gather(*map(increment, clients))
    assert affected == {1: CLIENTS * INCREMENTS}
    assert await total(clients[0]) == CLIENTS * INCREMENTS


async def test_transactions_on_one_document(clients: list[DatabaseClient]) -> None:
    """Each reads a number and writes the next one: a lost update would show in the sum."""
    refused: Counter[str] = Counter()

    async def commit_all(client: DatabaseClient) -> int:
        committed = 0
        for _ in range(TRIES_MAX):
            if committed == TRANSACTIONS:
                break
            committed += await commit_one(client, refused)
        return committed

    committed = await asyncio.gather(*map(commit_all, clients))
    assert committed == [TRANSACTIONS] * CLIENTS
    assert await total(clients[0]) == CLIENTS * TRANSACTIONS
    assert set(refused) == {WRITE_CONFLICT}  # which they all have met, or this proves nothing


async def commit_one(client: DatabaseClient, refused: Counter[str]) -> bool:
    """Whether it was committed; the code of its error is counted."""
    begun = await client.get("startTransaction")
    within = {"transactionId": begun["transactionId"]}
    found = await client.get("findOne", COLLECTION, query={"_id": "one"}, **within)
    update = {"$set": {"n": found["result"]["n"] + 1}}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("updateOne", {"collection": COLLECTION, "filter": {"_id": "one"}, "update": update}),
        ("commitTransaction", {}),
    ]
    for command, arguments in steps:
        answer = await client.ask(command, **arguments, **within)
        if not answer["success"]:
            refused[answer["error"]["code"]] += 1
            over = await client.ask("findOne", COLLECTION, query={}, **within)
            assert over["error"]["code"] == NO_SUCH_TRANSACTION
            return False
    return True


async def test_writes_beside_an_open_transaction(clients: list[DatabaseClient]) -> None:
    """They wait for its document, but not longer than they may; nothing is reported as done that was not."""
    first, *others = clients
    begun = await first.get("startTransaction")
    within = {"transactionId": begun["transactionId"]}
    change: dict[str, Any] = {"filter": {"_id": "one"}, "update": MORE}
    await first.get("updateOne", COLLECTION, **change, **within)
    async with asyncio.timeout(TIME_MAX_S):
        answers = await asyncio.gather(
            *(
                client.ask(command, COLLECTION, **change)
                for client, command in zip(others, WRITES, strict=False)
            )
        )
    codes = [answer["error"]["code"] for answer in answers]  # none of them can be done
    assert set(codes) <= {TOO_SLOW, WRITE_CONFLICT}
    await first.get("commitTransaction", **within)
    # What nobody waited for any longer may be done now.
    assert 1 <= await total(first) <= 1 + len(WRITES)
