"""The part of the contract of `FileStore` that is about files which are handed over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.errors import NotFoundError
from runtime.ports import FileStore
from runtime.testing.file_store_samples import (
    MIB,
    bytes_of,
    cancel_after,
    source_of,
    streamed,
)


class FileTakingContract:
    """Give `store`, empty at the start of each test."""

    @pytest.mark.parametrize("length", [0, 1, 9 * MIB])
    async def test_takes_a_file_over(self, store: FileStore, tmp_path: Path, length: int) -> None:
        source = source_of(tmp_path, bytes_of(length))
        await store.take_file("files/mp-1/u", source)
        assert not source.exists()
        assert await streamed(store, "files/mp-1/u") == bytes_of(length)

    async def test_taking_replaces_a_key(self, store: FileStore, tmp_path: Path) -> None:
        await store.put_file("a", source_of(tmp_path, b"first and longer"))
        await store.take_file("a", source_of(tmp_path, b"second"))
        assert await streamed(store, "a") == b"second"
        assert await store.list_keys("") == ["a"]

    async def test_taking_a_missing_file_is_an_error_of_the_file(
        self, store: FileStore, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError):
            await store.take_file("a", tmp_path / "nothing")
        with pytest.raises(NotFoundError):
            await streamed(store, "a")

    async def test_what_is_refused_stays_with_the_caller(
        self, store: FileStore, tmp_path: Path
    ) -> None:
        source = source_of(tmp_path, b"x")
        with pytest.raises(ValueError, match="no valid key"):
            await store.take_file("../a", source)
        assert source.read_bytes() == b"x"

    @pytest.mark.parametrize("steps", [0, 1, 5, 50, 500])
    async def test_a_cancelled_handing_over_loses_nothing(
        self, store: FileStore, tmp_path: Path, steps: int
    ) -> None:
        content = bytes_of(9 * MIB)
        source = source_of(tmp_path, content)
        take = asyncio.create_task(store.take_file("a", source))
        await cancel_after(take, steps)
        if await store.size("a") is None:
            assert take.cancelled()
            assert source.read_bytes() == content
        else:
            assert await streamed(store, "a") == content
        assert take.cancelled() or not source.exists()
