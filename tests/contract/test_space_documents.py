"""The contract of the spaces' databases over every server."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from runtime.backends.documents_mongodb import connect
from runtime.backends.space_documents import transfer
from runtime.backends.space_documents_mongodb import SpaceDocumentsMongodb, database_name
from runtime.errors import UnavailableError
from runtime.messages import DocumentCommand, Verb
from runtime.ports import SpaceDocuments
from runtime.testing.space_administration import SpaceAdministrationContract
from runtime.testing.space_documents import (
    BOUNDS,
    SpaceCalls,
    SpaceDocumentsContract,
    SpaceDocumentsFixtures,
)
from runtime.testing.space_transactions import SpaceTransactionsContract
from runtime.testing.space_transfers import SpaceTransfersContract

_WRONG_IN_EMBEDDED = {
    "distinct through documents in arrays": "drops values",
    "distinct: one is not true": "merges them",
    "date in the year 0": "cannot hold it",
    "dates beyond four digits": "cannot hold them",
}


class _Servers(SpaceDocumentsFixtures):
    @pytest.fixture
    async def documents(self, server: str, url: str) -> AsyncIterator[SpaceDocuments]:
        prefix = f"t{uuid.uuid4().hex[:8]}_"
        async with connect(url, timeout_s=20) as client:
            yield SpaceDocumentsMongodb(client, prefix=prefix)
            if server == "mongodb":  # dropping is slow in the embedded one, which goes as a whole
                for name in await client.list_database_names():
                    if name.startswith(prefix):
                        await client.drop_database(name)

    @pytest.fixture
    def wrong_here(self, server: str) -> Mapping[str, str]:
        return _WRONG_IN_EMBEDDED if server == "embedded" else {}


@pytest.mark.integration
class TestSpaceDocuments(_Servers, SpaceDocumentsContract):
    pass


@pytest.mark.integration
class TestSpaceAdministration(_Servers, SpaceAdministrationContract):
    pass


@pytest.mark.integration
class TestSpaceTransactions(_Servers, SpaceTransactionsContract):
    pass


@pytest.mark.integration
class TestSpaceTransfers(_Servers, SpaceTransfersContract):
    async def test_a_lost_cursor_is_opened_again(
        self, space: SpaceCalls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await space.insert(*({"_id": i} for i in range(900)))
        read = transfer._next_batch
        calls = 0

        async def lose_every_second(*args: Any) -> bytes | None:
            nonlocal calls
            calls += 1
            if calls % 2 == 0:
                raise transfer._CursorLostError
            return await read(*args)

        monkeypatch.setattr(transfer, "_next_batch", lose_every_second)
        export = space.documents.export(space.space_id, "things", after=None)
        ids = [json.loads(line)["_id"]["$numberInt"] async for line in export]
        assert ids == [str(i) for i in range(900)]
        assert calls > 5
        calls = 1  # nothing is read before it is lost
        with pytest.raises(UnavailableError, match="loses the cursor"):
            await anext(space.documents.export(space.space_id, "things", after=None))


async def test_a_server_that_is_away_is_unavailable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"mongodb://127.0.0.1:{silent.getsockname()[1]}/?directConnection=true"
        async with connect(url, timeout_s=0.1) as client:
            documents = SpaceDocumentsMongodb(client, prefix="t_")
            bounds = replace(BOUNDS, time_ms=10)
            for verb, arguments in (
                (Verb.FIND, {}),
                (Verb.INSERT_ONE, {"doc": {}}),
                (Verb.UPDATE_ONE, {"filter": {}, "update": {"$set": {"a": 1}}}),
                (Verb.DELETE_MANY, {"filter": {}}),
                (Verb.COLLECTIONS, {}),
            ):
                command = DocumentCommand(verb=verb, collection="a", arguments=arguments)
                with pytest.raises(UnavailableError):
                    await documents.run("mp-1", command, bounds)
            with pytest.raises(UnavailableError):
                await documents.load("mp-1", "a", [b'{"_id": 1}'])
            with pytest.raises(UnavailableError):
                await anext(documents.export("mp-1", "a", after=None))
            transaction = await documents.begin("mp-1")
            command = DocumentCommand(verb=Verb.FIND_ONE, collection="a")
            with pytest.raises(UnavailableError):
                await transaction.run(command, bounds)
            await transaction.abort()


@pytest.mark.integration
async def test_nobody_waits_for_a_server_that_stopped_answering(embedded_url: str) -> None:
    address = urlsplit(embedded_url)
    answering = asyncio.Event()
    answering.set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(address.hostname, address.port)
        answers = asyncio.create_task(_pump(there, writer, answering))
        try:
            await _pump(reader, back, None)
        finally:
            answers.cancel()
            await asyncio.wait([answers])
            writer.close()
            back.close()

    proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    url = embedded_url.replace(f":{address.port}", f":{port}")
    bounds = replace(BOUNDS, time_ms=50)
    async with proxy, connect(url, timeout_s=1) as client, asyncio.timeout(30):
        space = SpaceCalls(SpaceDocumentsMongodb(client, prefix="t_"), f"mp-{uuid.uuid4()}")
        await space.insert({"_id": 1})
        transaction = await space.documents.begin(space.space_id)
        insert = DocumentCommand(
            verb=Verb.INSERT_ONE, collection="things", arguments={"doc": {"_id": 2}}
        )
        await transaction.run(insert, BOUNDS)
        answering.clear()
        for verb, arguments in (
            (Verb.FIND, {}),
            (Verb.UPDATE_ONE, {"filter": {}, "update": {"$set": {"a": 1}}}),
            (Verb.DELETE_MANY, {"filter": {"_id": 3}}),
        ):
            with pytest.raises(UnavailableError):
                await space.ask(verb, arguments, bounds=bounds)
        with pytest.raises(UnavailableError, match="did not say whether"):
            await transaction.commit()
        answering.set()
        assert len(await space.all()) in (1, 2)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event | None
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            if gate is not None:
                await gate.wait()
            writer.write(data)
            await writer.drain()
    writer.close()


def test_names_of_databases_are_legal_and_of_one_space_each() -> None:
    space_id = f"mp-{uuid.uuid4()}"
    assert database_name("yunhan_", space_id) == f"yunhan_space-{space_id}"
    ids = ["a", "A", "a.b", "a/b", "a b", "a\0", "$a", "-", "a" * 49, "a" * 50, "a" * 51, "a" * 500]
    ids += ["é", "云", "\ud800", "control", "jobs", "logs"]
    hashed = [database_name("", each) for each in ids]
    ids += [name[6:] for name in hashed if len(name) == 46]  # ids that are the hash of another
    names = [database_name("yunhan_", each) for each in ids]
    assert len({name.lower() for name in names}) == len(ids)
    for name in names:
        assert re.fullmatch(r"yunhan_space[-_][a-z0-9-]+", name)
        assert len(name) <= 63
    with pytest.raises(ValueError, match="has an id"):
        database_name("yunhan_", "")
