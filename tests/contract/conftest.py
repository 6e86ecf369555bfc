"""Document databases for the contract suites: the embedded one, and a real MongoDB where one is named."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_embedded import EmbeddedDocuments
from runtime.backends.documents_mongodb import Document, connect

Database = AsyncDatabase[Document]


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One embedded server for all tests. Supervised in a thread: tests have an event loop each."""
    folder = tmp_path_factory.mktemp("documents")
    url: Future[str] = Future()
    stop = threading.Event()

    async def serve() -> None:
        async with EmbeddedDocuments(folder, "tests") as documents:
            url.set_result(documents.url)
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - the tests shall see it
            if not url.done():
                url.set_exception(error)

    thread = threading.Thread(target=run, name="embedded documents for tests")
    thread.start()
    try:
        yield url.result(timeout=60)
    finally:
        stop.set()
        thread.join(timeout=30)


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    """A real MongoDB; the suites make and drop databases of their own in it."""
    url = os.environ.get("MONGODB_URI", "")
    if not url:
        pytest.skip("no real MongoDB: set MONGODB_URI")
    return url


@pytest.fixture(params=["embedded", "mongodb"])
def server(request: pytest.FixtureRequest) -> str:
    """Every test that asks for a database runs on both."""
    return str(request.param)


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{server}_url"))


@pytest.fixture
async def database(server: str, url: str) -> AsyncIterator[Database]:
    """An empty one."""
    async with connect(url, timeout_s=20) as client:
        database = client[f"test_{uuid.uuid4().hex}"]
        yield database
        if server == "mongodb":  # dropping is slow in the embedded one, which goes as a whole
            await client.drop_database(database)


@pytest.fixture
async def rival_databases(database: Database, url: str) -> AsyncIterator[Sequence[Database]]:
    """The same database, over connections of their own."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(url, timeout_s=20)) for _ in range(4)]
        yield [client[database.name] for client in clients]
