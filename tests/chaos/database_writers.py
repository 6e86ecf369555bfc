"""Clients that write into the database of a space until the program dies, and what they were told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.harness.database_client import DatabaseClient
from tests.harness.sdk_http import Connection, authorize, invoke_request

COLLECTION = "written"
COUNTER = "counter"
FUNCTION = "write"
FILES = {
    "index.js": "module.exports = ({ mpserverless, args }) =>"
    f" mpserverless.db.collection('{COLLECTION}').insertOne(args.doc);\n"
}
_BATCH = 5
_CUT = (OSError, EOFError)
"""What a caller sees of a program that dies."""


@dataclass
class Writes:
    """On the callers' side: kept where no kill reaches it."""

    sent: set[str] = field(default_factory=set)
    acknowledged: dict[str, int] = field(default_factory=dict)
    """Ids, with the number of the round."""
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """Documents of one transaction, sent: both are there, or none."""
    increments_sent: int = 0
    increments_acknowledged: int = 0
    refused: list[str] = field(default_factory=list)
    """Answers that were errors, of a program whose database died first."""

    @property
    def answers(self) -> int:
        return len(self.acknowledged) + self.increments_acknowledged


def content_of(name: str) -> str:
    """So long that a document is more than one block of a file; told by its id."""
    return hashlib.sha256(name.encode()).hexdigest() * 80


class Writer:
    """One caller, which has one write under way at a time."""

    def __init__(self, writes: Writes, number: int, name: str, dice: random.Random) -> None:
        """`name`: in all its ids."""
        self._writes = writes
        self._round = number
        self._name = name
        self._dice = dice
        self._made = 0

    async def write(self, host: str, space: tuple[str, str]) -> None:
        """Until the connection is lost."""
        try:
            async with DatabaseClient.open(host, space) as client:
                ways = [self._one, self._many, self._increment, self._transaction]
                while True:
                    await self._dice.choice(ways)(client)
        except _CUT:
            return

    async def write_by_function(self, host: str, space: tuple[str, str]) -> None:
        """Likewise, `insertOne` inside a function."""
        try:
            token = await authorize(host, *space)
            connection = await Connection.open(host)
            try:
                while True:
                    [document] = self._documents(1)
                    request = invoke_request(host, *space, token, FUNCTION, {"doc": document})
                    answer = json.loads(await connection.send(request))
                    if self._went_well(answer):
                        assert answer["data"]["affectedDocs"] == 1, answer
                        self._acknowledge([document])
            finally:
                await connection.close()
        except _CUT:
            return

    async def _one(self, client: DatabaseClient) -> None:
        [document] = self._documents(1)
        answer = await client.ask("insertOne", COLLECTION, doc=document)
        if self._went_well(answer):
            self._acknowledge([document])

    async def _many(self, client: DatabaseClient) -> None:
        documents = self._documents(_BATCH)
        answer = await client.ask("insertMany", COLLECTION, docs=documents)
        if self._went_well(answer):
            assert answer["data"]["affectedDocs"] == _BATCH, answer
            self._acknowledge(documents)

    async def _increment(self, client: DatabaseClient) -> None:
        self._writes.increments_sent += 1
        answer = await client.ask(
            "updateOne", COLLECTION, filter={"_id": COUNTER}, update={"$inc": {"n": 1}}
        )
        if self._went_well(answer):
            assert answer["data"]["affectedDocs"] == 1, answer
            self._writes.increments_acknowledged += 1

    async def _transaction(self, client: DatabaseClient) -> None:
        first, second = self._documents(2)
        self._writes.pairs.append((first["_id"], second["_id"]))
        begun = await client.ask("startTransaction")
        if not self._went_well(begun):
            return
        within = {"transactionId": begun["data"]["transactionId"]}
        steps: list[Callable[[], Awaitable[Any]]] = [
            lambda: client.ask("insertOne", COLLECTION, doc=first, **within),
            lambda: client.ask("insertOne", COLLECTION, doc=second, **within),
            lambda: client.ask("commitTransaction", **within),
        ]
        for step in steps:
            if not self._went_well(await step()):
                return
        self._acknowledge([first, second])

    def _documents(self, count: int) -> list[dict[str, Any]]:
        names = [f"{self._name}-{self._made + index}" for index in range(count)]
        self._made += count
        self._writes.sent.update(names)
        return [{"_id": name, "content": content_of(name)} for name in names]

    def _acknowledge(self, documents: list[dict[str, Any]]) -> None:
        for document in documents:
            self._writes.acknowledged[document["_id"]] = self._round

    def _went_well(self, answer: dict[str, Any]) -> bool:
        if answer["success"]:
            return True
        self._writes.refused.append(f"{answer['error']['code']}: {answer['error']['message']}")
        return False


def start_writers(
    group: asyncio.TaskGroup,
    writes: Writes,
    host: str,
    space: tuple[str, str],
    *,
    number: int,
    count: int,
    dice: random.Random,
) -> None:
    """`count` of them and one that writes inside a function."""
    for index in range(count + 1):
        writer = Writer(writes, number, f"{number}-{index}", random.Random(dice.random()))
        way = writer.write if index < count else writer.write_by_function
        group.create_task(way(host, space), name=f"writer {number}-{index}")
