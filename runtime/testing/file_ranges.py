"""The part of the contract of `FileStore` that is about reading ranges, and reading what changes."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from runtime.errors import NotFoundError, UnavailableError
from runtime.ports import FileStore
from runtime.testing.file_store_samples import MIB, bytes_of, source_of, streamed

_LENGTH = 2 * MIB + 7
_RANGES: list[tuple[int, int | None]] = [
    *((0, None), (0, 0), (0, 1), (0, _LENGTH), (0, _LENGTH + 1), (0, 2**40)),
    *((1, None), (1, 0), (1, 1), (MIB - 1, 2), (MIB, MIB), (MIB + 1, MIB + 5), (MIB + 1, MIB + 6)),
    *((_LENGTH - 1, None), (_LENGTH - 1, 1), (_LENGTH - 1, 2), (_LENGTH - 1, 2**40)),
    *((_LENGTH, None), (_LENGTH, 0), (_LENGTH, 1), (_LENGTH + 1, None), (2**40, 5), (2**40, None)),
]
"""Start and length, around the ends of chunks and of the blob, and far behind it."""


class FileRangesContract:
    """Give `store`, empty at the start of each test."""

    @pytest.fixture
    def store(self) -> FileStore:
        raise NotImplementedError

    async def test_streams_any_range(self, store: FileStore, tmp_path: Path) -> None:
        content = bytes_of(_LENGTH)
        await store.put_file("a/b", source_of(tmp_path, content))
        for start, length in _RANGES:
            end = None if length is None else start + length
            found = [chunk async for chunk in store.stream("a/b", start, length)]
            assert b"".join(found) == content[start:end], (start, length)
            assert all(0 < len(chunk) <= MIB for chunk in found), (start, length)

    async def test_streams_any_range_of_nothing(self, store: FileStore, tmp_path: Path) -> None:
        await store.put_file("a", source_of(tmp_path, b""))
        for start, length in ((0, None), (0, 0), (0, 1), (1, None), (1, 0), (1, 1)):
            assert await streamed(store, "a", start, length) == b"", (start, length)

    async def test_no_range_of_a_missing_key(self, store: FileStore, tmp_path: Path) -> None:
        await store.put_file("a/b", source_of(tmp_path, b"x"))
        for key in ("a", "a/c", "a/b/c", "b"):
            for start, length in ((0, None), (0, 0), (0, 1), (1, None), (1, 0), (2**40, 1)):
                with pytest.raises(NotFoundError):
                    await anext(aiter(store.stream(key, start, length)))

    @pytest.mark.parametrize(("start", "length"), [(-1, None), (-1, 3), (0, -1), (3, -3)])
    async def test_refuses_negative_ranges(
        self, store: FileStore, tmp_path: Path, start: int, length: int | None
    ) -> None:
        await store.put_file("a", source_of(tmp_path, b"x"))
        with pytest.raises(ValueError, match="no valid range"):
            await streamed(store, "a", start, length)

    @pytest.mark.parametrize("start", [0, MIB + 1])
    @pytest.mark.parametrize("change", ["deleted", "replaced"])
    async def test_who_reads_gets_no_other_bytes_when_they_change(
        self, store: FileStore, tmp_path: Path, start: int, change: str
    ) -> None:
        old, new = bytes_of(24 * MIB, "old"), bytes_of(24 * MIB, "new")
        await store.put_file("a", source_of(tmp_path, old))
        received = bytearray()
        async with aclosing(store.stream("a", start)) as stream:
            received += await anext(stream)
            if change == "deleted":
                await store.delete("a")
            else:
                await store.put_file("a", source_of(tmp_path, new))
            try:
                async for chunk in stream:
                    received += chunk
            except UnavailableError:
                assert old[start:].startswith(received)
            else:
                assert received == old[start:]

    async def test_a_stream_may_be_left(self, store: FileStore, tmp_path: Path) -> None:
        content = bytes_of(3 * MIB)
        await store.put_file("a", source_of(tmp_path, content))
        for _ in range(3):
            async with aclosing(store.stream("a")) as stream:
                assert content.startswith(await anext(stream))
        assert await streamed(store, "a") == content
