"""The servers that published cases run on: the embedded one, and a real MongoDB where one is named."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.harness.documents import Documents
from tests.published.run import Target


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    documents = Documents(tmp_path_factory.mktemp("documents"))
    try:
        yield documents.start().url
    finally:
        documents.stop()


_MONGODB_URI = os.environ.get("MONGODB_URI", "")


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["embedded", "mongodb"] if _MONGODB_URI else ["embedded"],
)
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    """One for all cases, which have a database each."""
    real = request.param == "mongodb"
    url = _MONGODB_URI if real else request.getfixturevalue("embedded_url")
    async with Target.open(url, drop=real) as target:
        yield target
