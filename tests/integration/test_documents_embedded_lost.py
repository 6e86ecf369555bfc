"""An embedded document server that lives and does not serve is replaced; no bomb ends the program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import PyMongoError
from structlog.testing import capture_logs

from runtime.backends.documents_embedded import EmbeddedDocuments
from runtime.backends.documents_mongodb import Client, connect
from runtime.backends.embedded.child import EmbeddedDocumentsError
from runtime.backends.embedded.watch import EmbeddedBounds
from tests.harness.polling import until

pytestmark = pytest.mark.integration

QUICK = EmbeddedBounds(deaf_s=2.0, stuck_s=600.0)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells or bounds it")


@asynccontextmanager
async def served(
    folder: Path, bounds: EmbeddedBounds
) -> AsyncIterator[tuple[EmbeddedDocuments, Client]]:
    async with EmbeddedDocuments(folder, "data", bounds=bounds) as documents:
        client = connect(documents.url, timeout_s=20)
        try:
            yield documents, client
        finally:
            await client.close()


def limits_of(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()


def killed(logs: list[Any]) -> list[str]:
    return [log["why"].partition(":")[0] for log in logs if log["event"] == "documents_killed"]


async def test_a_server_that_stands_still_is_replaced_and_keeps_what_it_acknowledged(
    tmp_path: Path,
) -> None:
    with capture_logs() as logs:
        async with served(tmp_path, QUICK) as (documents, client):
            await client["space"]["things"].insert_one({"_id": "acknowledged"})
            victim = documents.pid
            os.kill(victim, signal.SIGSTOP)
            assert await client["space"]["things"].find_one() == {"_id": "acknowledged"}
            assert documents.pid != victim
    assert killed(logs) == ["deaf"]


async def test_a_regular_expression_without_end_ends_with_its_server(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with served(tmp_path, QUICK) as (documents, client):
            things = client["space"]["things"]
            await things.insert_one({"_id": 1, "text": "a" * 20_000})
            victim = documents.pid
            bomb = asyncio.create_task(things.find_one({"text": {"$regex": "a*a*a*b"}}))
            await until(lambda: documents.pid != victim, seconds=60)
            bomb.cancel()
            await asyncio.wait({bomb})
            found = await things.find_one({"_id": 1}, {"_id": 1})
            assert found == {"_id": 1}
    assert "deaf" in killed(logs)


async def test_the_making_of_an_index_is_no_silence(tmp_path: Path) -> None:
    """It locks the storage for longer than a server may be deaf; its interpreter turns."""
    bounds = EmbeddedBounds(deaf_s=1.0, stuck_s=600.0)
    with capture_logs() as logs:
        async with served(tmp_path, bounds) as (documents, client):
            things = client["space"]["things"]
            await things.insert_many({"many": list(range(1000))} for _ in range(4))
            first = documents.pid
            await things.create_index("many")
            assert documents.pid == first
    assert not killed(logs)


async def test_a_locked_storage_is_given_up_after_its_own_bound(tmp_path: Path) -> None:
    bounds = EmbeddedBounds(deaf_s=60.0, stuck_s=0.5)
    with capture_logs() as logs:
        async with served(tmp_path, bounds) as (documents, client):
            things = client["space"]["things"]
            await things.insert_many({"many": list(range(1000))} for _ in range(20))
            victim = documents.pid
            making = asyncio.create_task(things.create_index("many"))
            await until(lambda: documents.pid != victim, seconds=60)
            making.cancel()
            await asyncio.wait({making})
            assert await things.count_documents({}) == 20
    assert killed(logs)[:1] == ["stuck"]


@LINUX
async def test_a_command_that_nobody_waits_for_any_more_ends_with_its_server(
    tmp_path: Path,
) -> None:
    bounds = EmbeddedBounds(deaf_s=60.0, stuck_s=2.0)
    with capture_logs() as logs:
        async with served(tmp_path, bounds) as (documents, client):
            await client["space"]["things"].insert_one({"_id": 1})
            victim = documents.pid
            loop = {"$size": {"$map": {"input": {"$range": [0, 30_000]}, "in": 1}}}
            bomb = {"$size": {"$map": {"input": {"$range": [0, 30_000]}, "in": loop}}}
            impatient = connect(documents.url, timeout_s=0.5)
            with contextlib.suppress(PyMongoError):
                await impatient["space"]["things"].find_one({"$expr": {"$eq": [bomb, 0]}})
            await impatient.close()
            await until(lambda: documents.pid != victim, seconds=60)
            assert await client["space"]["things"].find_one() == {"_id": 1}
    assert killed(logs)[:1] == ["runaway"]


@LINUX
async def test_a_memory_bomb_takes_neither_the_machine_nor_the_program(tmp_path: Path) -> None:
    bounds = EmbeddedBounds(deaf_s=60.0, stuck_s=600.0, memory_max_bytes=1024**3)
    doubled: dict[str, Any] = {"$concat": ["$$value", "$$value"]}
    text = {"$reduce": {"input": {"$range": [0, 40]}, "initialValue": "aaaaaaaa", "in": doubled}}
    async with served(tmp_path, bounds) as (documents, client):
        things = client["space"]["things"]
        await things.insert_one({"_id": 1})
        limit = limits_of(documents.pid)
        assert f"{1024**3}" in next(each for each in limit.splitlines() if "data size" in each)
        with pytest.raises(PyMongoError):
            await (await things.aggregate([{"$project": {"n": {"$strLenCP": text}}}])).to_list()
        assert await things.find_one() == {"_id": 1}
        waiting = asyncio.create_task(documents.wait_failed())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait({waiting})


async def test_deaths_of_a_server_that_had_started_never_end_the_program(tmp_path: Path) -> None:
    async with EmbeddedDocuments(tmp_path, "data", restarts_max=1) as documents:
        waiting = asyncio.create_task(documents.wait_failed())
        client = connect(documents.url, timeout_s=20)
        victims: set[int] = set()
        while len(victims) < 3:
            assert await client["space"]["things"].find_one() is None
            victims.add(documents.pid)
            os.kill(documents.pid, signal.SIGKILL)
        assert await client["space"]["things"].find_one() is None
        assert documents.pid not in victims
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait({waiting})
        await client.close()


async def test_a_password_that_is_refused_at_a_restart_is_a_failed_start(tmp_path: Path) -> None:
    async with EmbeddedDocuments(tmp_path, "data", restarts_max=2) as documents:
        documents._login._password = "of another database"
        os.kill(documents.pid, signal.SIGKILL)
        with pytest.raises(EmbeddedDocumentsError, match=r"failed 2 times.*delete that file"):
            await documents.wait_failed()
