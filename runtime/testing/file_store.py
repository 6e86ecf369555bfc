"""The rules of the `FileStore` port, as tests. Subclass it with a fixture `store`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.errors import NotFoundError
from runtime.ports import FileStore
from runtime.testing.file_ranges import FileRangesContract
from runtime.testing.file_store_samples import MIB, bytes_of, cancel_after, streamed
from runtime.testing.file_taking import FileTakingContract

_LARGE_BYTES = 21 * MIB
"""More than two parts of a multipart upload, and more than one chunk of a stream."""


_BAD_KEYS = [
    *("", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", ".a", "a\\b", "a b", "a%2fb", "a#1"),
    *("ä", "a\n", "a\0", "a" * 201, "/".join("a" * 500)),
]


class FileStoreContract(FileRangesContract, FileTakingContract):
    """What every file store does. `store` is empty at the start of each test."""

    @pytest.mark.parametrize("length", [0, 1, MIB, _LARGE_BYTES])
    async def test_gives_back_what_was_put(
        self, store: FileStore, tmp_path: Path, length: int
    ) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(bytes_of(length))
        await store.put_file("code/a.zip", source)
        assert await store.size("code/a.zip") == length
        assert await store.get_file("code/a.zip", target) is True
        assert target.read_bytes() == source.read_bytes()

    async def test_get_replaces_the_target_and_leaves_nothing_beside_it(
        self, store: FileStore, tmp_path: Path
    ) -> None:
        (tmp_path / "source").write_bytes(b"new")
        target = tmp_path / "out" / "target"
        target.parent.mkdir()
        target.write_bytes(b"an older and longer text")
        await store.put_file("a", tmp_path / "source")
        await store.get_file("a", target)
        assert {path.name: path.read_bytes() for path in target.parent.iterdir()} == {
            "target": b"new"
        }

    async def test_put_replaces_a_key(self, store: FileStore, tmp_path: Path) -> None:
        for text in (b"first and longer", b"second"):
            (tmp_path / "source").write_bytes(text)
            await store.put_file("a", tmp_path / "source")
        assert await streamed(store, "a") == b"second"
        assert await store.list_keys("") == ["a"]

    async def test_a_reader_sees_old_or_new_bytes(self, store: FileStore, tmp_path: Path) -> None:
        old, new = bytes_of(2 * MIB, "old"), bytes_of(2 * MIB, "new")
        (tmp_path / "old").write_bytes(old)
        (tmp_path / "new").write_bytes(new)
        await store.put_file("a", tmp_path / "old")
        async with asyncio.TaskGroup() as tasks:
            put = tasks.create_task(store.put_file("a", tmp_path / "new"))
            while not put.done():
                assert await streamed(store, "a") in {old, new}
        assert await streamed(store, "a") == new

    async def test_put_of_a_missing_file_is_an_error_of_the_file(
        self, store: FileStore, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError):
            await store.put_file("a", tmp_path / "nothing")
        assert await store.size("a") is None

    async def test_a_missing_key(self, store: FileStore, tmp_path: Path) -> None:
        target = tmp_path / "out" / "target"
        target.parent.mkdir()
        assert await store.get_file("code/a.zip", target) is False
        assert list(target.parent.iterdir()) == []
        assert await store.size("code/a.zip") is None
        with pytest.raises(NotFoundError):
            await anext(aiter(store.stream("code/a.zip")))

    async def test_a_folder_is_no_key(self, store: FileStore, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"x")
        await store.put_file("code/a.zip", tmp_path / "source")
        assert await store.size("code") is None
        assert await store.get_file("code", tmp_path / "target") is False

    async def test_streams_in_bounded_chunks(self, store: FileStore, tmp_path: Path) -> None:
        content = bytes_of(_LARGE_BYTES)
        (tmp_path / "source").write_bytes(content)
        await store.put_file("a", tmp_path / "source")
        chunks = [chunk async for chunk in store.stream("a")]
        assert max(map(len, chunks)) <= MIB
        assert b"".join(chunks) == content

    async def test_delete_is_idempotent(self, store: FileStore, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"x")
        await store.put_file("code/a.zip", tmp_path / "source")
        await store.put_file("code/b.zip", tmp_path / "source")
        await store.delete("code/a.zip")
        await store.delete("code/a.zip")
        assert await store.list_keys("") == ["code/b.zip"]

    async def test_lists_keys_below_a_prefix(self, store: FileStore, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"x")
        for key in ("code/b.zip", "code/a.zip", "codex", "uploads/x/y.png", "Z"):
            await store.put_file(key, tmp_path / "source")
        assert await store.list_keys("code/") == ["code/a.zip", "code/b.zip"]
        assert await store.list_keys("uploads/x") == ["uploads/x/y.png"]
        assert await store.list_keys("nothing/") == []
        assert await store.list_keys("") == [
            "Z",
            "code/a.zip",
            "code/b.zip",
            "codex",
            "uploads/x/y.png",
        ]

    @pytest.mark.parametrize("key", _BAD_KEYS)
    async def test_refuses_keys_that_could_be_misread(
        self, store: FileStore, tmp_path: Path, key: str
    ) -> None:
        (tmp_path / "source").write_bytes(b"x")
        with pytest.raises(ValueError, match="no valid key"):
            await store.put_file(key, tmp_path / "source")
        with pytest.raises(ValueError, match="no valid key"):
            await store.get_file(key, tmp_path / "target")
        with pytest.raises(ValueError, match="no valid key"):
            await store.delete(key)
        assert await store.list_keys("") == []

    @pytest.mark.parametrize("steps", [0, 1, 5, 50, 500])
    async def test_a_cancelled_put_stores_all_or_nothing(
        self, store: FileStore, tmp_path: Path, steps: int
    ) -> None:
        (tmp_path / "source").write_bytes(bytes_of(_LARGE_BYTES))
        put = asyncio.create_task(store.put_file("a", tmp_path / "source"))
        await cancel_after(put, steps)
        assert await store.size("a") in (
            {None, _LARGE_BYTES} if put.cancelled() else {_LARGE_BYTES}
        )

    @pytest.mark.parametrize("steps", [0, 1, 5, 50, 500])
    async def test_a_cancelled_get_leaves_no_file(
        self, store: FileStore, tmp_path: Path, steps: int
    ) -> None:
        (tmp_path / "source").write_bytes(bytes_of(_LARGE_BYTES))
        await store.put_file("a", tmp_path / "source")
        target = tmp_path / "out" / "target"
        target.parent.mkdir()
        get = asyncio.create_task(store.get_file("a", target))
        await cancel_after(get, steps)
        left = {path.name: path.stat().st_size for path in target.parent.iterdir()}
        assert left in (
            [{}, {"target": _LARGE_BYTES}] if get.cancelled() else [{"target": _LARGE_BYTES}]
        )
