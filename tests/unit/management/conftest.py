"""The management API on a real port over memory adapters."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.unit.management_support import Bench
from tests.unit.signed_requests import Caller, make_caller


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def url(bench: Bench, tmp_path: Path) -> AsyncIterator[str]:
    async with bench.serve(tmp_path) as base:
        yield base


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as made:
        yield made


@pytest.fixture(params=["rpc-get", "rpc-post", "acs3"])
def call(request: pytest.FixtureRequest, bench: Bench, session: ClientSession, url: str) -> Caller:
    """A caller of each scheme and method in turn."""
    return make_caller(request.param, session, url, bench.clock)
