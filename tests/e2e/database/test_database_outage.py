"""The document database dies or stands still under apps, backends and functions that use it: every call ends
in time with an answer or an error of ours, and what was reported as done is there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SDK
from tests.harness.database_client import DatabaseClient
from tests.harness.database_sdk import set_rule
from tests.harness.lacking import lacks
from tests.harness.management import Management
from tests.harness.polling import until
from tests.harness.program import Program, default_node
from tests.harness.program_processes import database_pid

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

COLLECTION = "outage"  # as in sdk/database_outage.cjs, like the two numbers below
FUNCTION = "toil"
BATCH = 5
SHARED = 20
ROUNDS = 3
"""Of each caller before the outage and after it."""
TIME_MAX_S = 10.0
"""1 s that a command may take, 2 s in which the database may answer nevertheless, 2 s for the end of its
transaction; the rest is for busy machines."""
NO_ROOM = "Throttling.Api.Concurrency"
"""Of what was not sent: commands before it had no answer yet."""
TYPED = {"InternalServerError", "50", "112", "251", NO_ROOM}
NO_SUCH_TRANSACTION = "251"
CALLERS = ("client", "server", "function")


@dataclass(frozen=True)
class Stage:
    """A program of its own with a space that is open to clients."""

    program: Program
    management: Management
    space: tuple[str, str]
    server_secret: str
    node: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.program.port}"

    async def call_until_stopped(self, caller: str, name: str) -> list[dict[str, Any]]:
        """What `sdk/database_outage.cjs` noted."""
        if caller == "function":
            answer = await asyncio.to_thread(
                self.management.invoke, self.space[0], FUNCTION, {"name": name}
            )
            assert answer["Outcome"] == "ok", answer
            return list(json.loads(answer["Result"]))
        config = {
            "sdk": caller,
            "name": name,
            "endpoint": self.program.endpoint,
            "spaceId": self.space[0],
            "clientSecret": self.space[1],
            "serverSecret": self.server_secret,
        }
        node = await asyncio.create_subprocess_exec(
            self.node,
            SDK / "database_outage.cjs",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await node.communicate(json.dumps(config).encode())
        return list(json.loads(printed))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if not (SDK / "node_modules").exists():
        lacks("the SDKs are not installed; run the tests by `make test`")
    program = Program(
        tmp_path_factory.mktemp("outage") / "data",
        YUNHAN_SANDBOX="process",
        YUNHAN_DOCUMENTS_TIMEOUT_S="2",
        YUNHAN_DOCUMENTS_EMBEDDED_DEAF_S="60",  # a server that is stopped here is not to be replaced
    )
    program.start()
    try:
        management = Management(program.endpoint, program.access_key())
        space = management.space("e2e-outage")
        set_rule(management, space[0], COLLECTION, "EXTENDED", {".read": True, ".write": True})
        source = (SDK / "database_outage.cjs").read_bytes()
        management.deploy(space[0], FUNCTION, {"index.js": source}, Timeout=60)
        config = management.call("DescribeSpaceClientConfig", SpaceId=space[0], Detail=True)
        yield Stage(program, management, space, config["PrivateKey"], default_node())
        assert program.stop() == 0, program.log()
    finally:
        program.kill()


async def test_killed_under_every_caller(stage: Stage) -> None:
    async def kill(client: DatabaseClient) -> None:
        pid = database_pid(stage.program)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: works_again(client), "the database")
        assert database_pid(stage.program) != pid

    await outlive(stage, kill)


async def test_stopped_under_every_caller(stage: Stage) -> None:
    async def stop(client: DatabaseClient) -> None:
        pid = database_pid(stage.program)
        assert pid is not None
        begun = await client.get("startTransaction")
        within = {"transactionId": begun["transactionId"]}
        await client.get("insertOne", COLLECTION, doc={"_id": "held"}, **within)
        os.kill(pid, signal.SIGSTOP)
        try:
            await until_refused(stage, within)
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: works_again(client), "the database")
        over = await client.ask("commitTransaction", **within)
        assert over["error"]["code"] == NO_SUCH_TRANSACTION
        found = await client.get("findOne", COLLECTION, query={"_id": "held"})
        assert found["result"] is None

    await outlive(stage, stop, keeps_unused=True)


async def outlive(
    stage: Stage,
    outage: Callable[[DatabaseClient], Awaitable[None]],
    *,
    keeps_unused: bool = False,
) -> None:
    """All callers before, during and after an outage. `keeps_unused`: transactions that nobody used in the
    meantime go on afterwards."""
    async with DatabaseClient.open(stage.host, stage.space) as client:
        await client.get("deleteMany", COLLECTION, filter={})
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            tasks = {
                caller: group.create_task(stage.call_until_stopped(caller, caller))
                for caller in CALLERS
            }
            await further(client, ROUNDS)
            await outage(client)
            await further(client, ROUNDS)
            await client.get("insertOne", COLLECTION, doc={"_id": "stop"})
        for caller, task in tasks.items():
            check_calls(task.result())
            await check_held(client, caller, task.result(), keeps_unused=keeps_unused)
            await check_documents(client, caller, task.result())


async def further(client: DatabaseClient, rounds: int) -> None:
    """Until every caller has inserted so many batches more."""

    async def inserted(caller: str) -> int:
        count = await client.get("count", COLLECTION, query={"batch": caller})
        return int(count["result"])

    for caller in CALLERS:
        wanted = await inserted(caller) + rounds * BATCH

        async def there(caller: str = caller, wanted: int = wanted) -> bool:
            return await inserted(caller) >= wanted

        await until(there, f"calls of the {caller}", seconds=30, every_s=0.02)


async def works_again(client: DatabaseClient) -> bool:
    answer = await client.ask("count", COLLECTION, query={})
    return bool(answer["success"])


async def until_refused(stage: Stage, within: dict[str, str]) -> None:
    """One call of each kind to a database that does not answer, and one in a transaction."""
    document = {"_id": "never-told"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("find", {"query": {}}),
        ("count", {"query": {}}),
        ("aggregate", {"pipeline": []}),
        ("insertOne", {"doc": {}}),
        ("insertMany", {"docs": [{}, {}]}),
        ("updateOne", {"filter": document, "update": {"$set": {"n": 1}}}),
        ("updateMany", {"filter": document, "update": {"$set": {"n": 1}}}),
        ("replaceOne", {"filter": document, "doc": {}}),
        ("findOneAndDelete", {"filter": document}),
        ("deleteMany", {"filter": document}),
        ("findOne", {"query": document, **within}),
    ]

    async def ask(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        async with DatabaseClient.open(stage.host, stage.space) as client:
            return await client.ask(command, COLLECTION, **arguments)

    async with asyncio.timeout(TIME_MAX_S):
        answers = await asyncio.gather(*(ask(*call) for call in calls))
    told = [answer.get("error", {}).get("code") for answer in answers]
    assert set(told) <= {"InternalServerError", NO_ROOM}
    assert told[-1] == "InternalServerError", "transactions have room of their own"
    assert told.count("InternalServerError") > 1


def check_calls(results: list[dict[str, Any]]) -> None:
    """Answers and typed errors, in time; none at the end."""
    assert max(each["ms"] for each in results) < TIME_MAX_S * 1000
    failed = [each for each in results if "error" in each]
    assert failed
    for each in failed:
        assert each["error"]["code"] in TYPED, each
        assert "\n" not in each["error"]["message"], each  # no stack
    others = [each for each in results if each["what"] not in {"held", "commit"}]
    assert not any("error" in each for each in others[-ROUNDS:]), "it works again"


async def check_held(
    client: DatabaseClient, caller: str, results: list[dict[str, Any]], *, keeps_unused: bool
) -> None:
    """The transaction that was open all the time: over at the first error, and it stays over."""
    held = [each for each in results if each["what"] in {"held", "commit"}]
    told = [each["error"]["code"] if "error" in each else "ok" for each in held]
    found = await client.get("findOne", COLLECTION, query={"_id": f"{caller}-held"})
    if set(told) == {"ok"}:
        assert keeps_unused
        assert found["result"] is not None
        return
    after = [code for code in told if code != "ok"][1:]
    assert after, "the outage was after the last round"
    assert set(after) == {NO_SUCH_TRANSACTION}
    assert told[-len(after) :] == after
    assert found["result"] is None


async def check_documents(
    client: DatabaseClient, caller: str, results: list[dict[str, Any]]
) -> None:
    """What was reported as done is there, all of it."""

    async def find(**query: Any) -> list[dict[str, Any]]:
        found = await client.get("find", COLLECTION, query=query)
        documents: list[dict[str, Any]] = found["result"]
        return documents

    done = [
        (each["what"], each["round"], each["affected"]) for each in results if "affected" in each
    ]
    shared = await find(shared=caller)
    pairs = Counter(each["_id"].rpartition("-")[0] for each in await find(pair=caller))
    assert len(shared) == SHARED
    assert set(pairs.values()) == {2}, "a half of a transaction"
    for what, number, affected in done:
        if what == "insertMany":
            assert affected == len(await find(batch=caller, round=number)) == BATCH
        elif what == "updateMany":
            assert affected == SHARED
            assert all(each.get(f"round{number}") for each in shared), number
        elif what == "transaction":
            assert pairs[f"{caller}-pair-{number}"] == 2
