"""The CORS list of a space over the control plane in memory."""

from __future__ import annotations

import asyncio

import pytest

from runtime.errors import InvalidParameterError, NotFoundError
from runtime.services.cors import CorsService
from runtime.services.space_editor import SpaceEditor
from tests.unit.management_support import SPACE_ID, Bench


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.add_space()
    return bench


@pytest.fixture
def cors(bench: Bench) -> CorsService:
    editor = SpaceEditor(control=bench.control, cache=bench.cache)
    return CorsService(editor=editor, clock=bench.clock, domains_max=3)


async def test_domains_are_added_listed_and_deleted(cors: CorsService) -> None:
    first = await cors.add(SPACE_ID, "Example.com")
    second = await cors.add(SPACE_ID, "*.example.com:8080")
    assert [each.domain for each in (first, second)] == ["example.com", "*.example.com:8080"]
    assert await cors.domains(SPACE_ID) == (first, second)
    await cors.delete(SPACE_ID, first.domain_id)
    await cors.delete(SPACE_ID, first.domain_id)
    assert await cors.domains(SPACE_ID) == (second,)


async def test_the_same_again_has_the_same_id_and_changes_nothing(
    cors: CorsService, bench: Bench
) -> None:
    first = await cors.add(SPACE_ID, "https://example.com")
    before = await bench.control.read_space(SPACE_ID)
    bench.clock.advance(5)
    for text in ("https://example.com", " HTTPS://EXAMPLE.com:443/ "):
        assert await cors.add(SPACE_ID, text) == first
    await cors.delete(SPACE_ID, "cors-none")
    assert await bench.control.read_space(SPACE_ID) == before
    await cors.delete(SPACE_ID, first.domain_id)
    after = await bench.control.read_space(SPACE_ID)
    assert before is not None
    assert after is not None
    assert (after.revision, after.modified_ms) == (before.revision + 1, before.modified_ms + 5000)


async def test_one_too_many_is_refused_and_one_that_is_there_is_not(cors: CorsService) -> None:
    await asyncio.gather(*(cors.add(SPACE_ID, f"a{n}.test") for n in range(3)))
    with pytest.raises(InvalidParameterError) as raised:
        await cors.add(SPACE_ID, "a4.test")
    assert raised.value.code == "CorsDomainLimitExceeded"
    await cors.add(SPACE_ID, "a1.test")
    assert len(await cors.domains(SPACE_ID)) == 3


async def test_what_is_wrong_is_told(cors: CorsService) -> None:
    with pytest.raises(InvalidParameterError, match="'a/b' must be a host name") as raised:
        await cors.add(SPACE_ID, "a/b")
    assert raised.value.code == "InvalidParameter.Domain"
    for call in (
        cors.add("mp-none", "a.test"),
        cors.domains("mp-none"),
        cors.delete("mp-none", "cors-1"),
    ):
        with pytest.raises(NotFoundError):
            await call
