"""Document databases for the contract suites: the embedded one, and a real MongoDB where one is named."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager

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
    url = os.environ.get("YUNHAN_TEST_MONGODB_URL", "")
    if not url:
        pytest.skip("no real MongoDB: set YUNHAN_TEST_MONGODB_URL")
    return url


@asynccontextmanager
async def new_database(url: str) -> AsyncIterator[Database]:
    """An empty database."""
    client = connect(url, timeout_s=20)
    try:
        yield client[f"test_{uuid.uuid4().hex}"]
    finally:
        await client.close()


@pytest.fixture
async def embedded_database(embedded_url: str) -> AsyncIterator[Database]:
    """Not dropped: that is slow there, and the whole server goes with the session."""
    async with new_database(embedded_url) as database:
        yield database


@pytest.fixture
async def mongodb_database(mongodb_url: str) -> AsyncIterator[Database]:
    """Dropped afterwards."""
    async with new_database(mongodb_url) as database:
        try:
            yield database
        finally:
            await database.client.drop_database(database)
