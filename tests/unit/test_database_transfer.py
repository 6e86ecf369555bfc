"""Pages of an export and of an import."""

from __future__ import annotations

import hashlib

import pytest

from runtime.documents.errors import DatabaseError
from runtime.errors import InvalidParameterError, NotFoundError, OursError
from tests.unit.management_support import SPACE_ID, Bench


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.add_space()
    return made


async def pages_of(bench: Bench, collection: str) -> list[bytes]:
    pages, after = [], None
    while True:
        page = await bench.database_transfer.export(SPACE_ID, collection, after=after)
        assert page.count == page.lines.count(b"\n")
        assert page.sha256 == hashlib.sha256(page.lines).hexdigest()
        pages.append(page.lines)
        after = page.after
        if after is None:
            return pages


async def test_pages_together_are_the_collection(bench: Bench) -> None:
    bench.databases.put(SPACE_ID, "users", *(f'{{"_id":"{n}"}}' for n in range(8)))
    pages = await pages_of(bench, "users")
    assert [page.count(b"\n") for page in pages] == [3, 3, 2]
    assert b"".join(pages) == b"".join(b'{"_id":"%d"}\n' % n for n in range(8))
    assert bench.databases.open_exports == 0


async def test_a_page_ends_at_its_bytes_but_has_one_document(bench: Bench) -> None:
    sizes = (390, 5, 1000, 5)
    documents = [f'{{"_id":{n},"a":"{"x" * size}"}}' for n, size in enumerate(sizes)]
    bench.databases.put(SPACE_ID, "users", *documents)
    assert [page.count(b"\n") for page in await pages_of(bench, "users")] == [1, 1, 1, 1]


async def test_no_collection_is_an_empty_one(bench: Bench) -> None:
    assert await pages_of(bench, "none") == [b""]


@pytest.mark.parametrize("after", ["{", "x" * 20_000])
async def test_a_place_that_is_none(bench: Bench, after: str) -> None:
    with pytest.raises(InvalidParameterError):
        await bench.database_transfer.export(SPACE_ID, "users", after=after)


async def test_load_replaces_by_id(bench: Bench) -> None:
    bench.databases.put(SPACE_ID, "users", '{"_id":1,"a":1}')
    count = await bench.database_transfer.load(SPACE_ID, "users", b'{"_id":1,"a":2}\r\n\n{"_id":2}')
    assert count == 2
    assert await pages_of(bench, "users") == [b'{"_id":1,"a":2}\n{"_id":2}\n']
    assert await bench.database_transfer.load(SPACE_ID, "users", b"\n \n") == 0


@pytest.mark.parametrize(
    "text",
    [
        b'{"_id":1}\n' * 4,
        b'{"_id":1,"a":"%s"}\n{"_id":2}' % (b"x" * 400),
        b'{"_id":1,"a":"%s"}' % (b"x" * 2000),
    ],
    ids=["lines", "bytes", "line"],
)
async def test_too_much_is_refused_before_anything_is_written(bench: Bench, text: bytes) -> None:
    with pytest.raises(InvalidParameterError):
        await bench.database_transfer.load(SPACE_ID, "users", text)
    assert await pages_of(bench, "users") == [b""]


async def test_one_large_document_goes_alone(bench: Bench) -> None:
    text = b'{"_id":1,"a":"%s"}' % (b"x" * 1000)
    assert await bench.database_transfer.load(SPACE_ID, "users", text) == 1


async def test_fewer_documents_than_lines_is_no_success(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load(*_: object) -> int:
        return 1

    monkeypatch.setattr(bench.databases, "load", load)
    with pytest.raises(OursError, match="of 2 documents for users 1 were written"):
        await bench.database_transfer.load(SPACE_ID, "users", b'{"_id":1}\n{"_id":2}\n')


async def test_names_and_spaces_are_checked(bench: Bench) -> None:
    with pytest.raises(DatabaseError, match="InvalidNamespace"):
        await bench.database_transfer.export(SPACE_ID, "system.users", after=None)
    with pytest.raises(DatabaseError, match="InvalidNamespace"):
        await bench.database_transfer.load(SPACE_ID, "a$b", b'{"_id":1}')
    with pytest.raises(NotFoundError):
        await bench.database_transfer.export("mp-none", "users", after=None)
    with pytest.raises(NotFoundError):
        await bench.database_transfer.load("mp-none", "users", b'{"_id":1}')
    assert bench.databases.spaces == {}
