"""What the code cache takes over from earlier starts, and how it stops."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from runtime.code_cache import CodeCache
from runtime.errors import UnavailableError
from runtime.testing.packages import PackageStore
from tests.unit.code_cache_support import homes, make_cache, names, read


@pytest.fixture
def packages() -> PackageStore:
    return PackageStore()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "code"


@pytest.fixture
def cache(folder: Path, packages: PackageStore) -> CodeCache:
    return make_cache(folder, packages)


async def test_trees_survive_a_restart(folder: Path, packages: PackageStore) -> None:
    digest = packages.add("1")
    for _ in range(2):
        cache = make_cache(folder, packages)
        async with cache.open():
            assert await read(cache, digest) == "1"
    assert len(packages.fetched) == 1


async def test_trees_of_earlier_starts_count(folder: Path, packages: PackageStore) -> None:
    first, second = (packages.add(text, size=400) for text in "12")
    cache = make_cache(folder, packages)
    async with cache.open():
        async with cache.lease(first, "hello") as code_dir:
            pass
        await read(cache, second)
    os.utime(code_dir.parent, (1, 1))
    async with make_cache(folder, packages, max_bytes=500).open():
        pass
    assert list(homes(folder)) == [second]


@pytest.mark.parametrize("damage", ["shorter", "missing", "more", "marker"])
async def test_a_tree_that_lost_something_is_fetched_again(
    folder: Path, packages: PackageStore, damage: str
) -> None:
    digest = packages.add("1", size=100)
    cache = make_cache(folder, packages)
    async with cache.open(), cache.lease(digest, "hello") as code_dir:
        pass
    code_dir.chmod(0o700)
    filler = code_dir / "filler"
    filler.chmod(0o600)
    if damage == "shorter":
        filler.write_bytes(b"")
    elif damage == "missing":
        filler.unlink()
    elif damage == "more":
        (code_dir / "extra").touch()
    else:
        (code_dir.parent / "tree.json").write_text("{")
    again = make_cache(folder, packages)
    async with again.open(), again.lease(digest, "hello") as code_dir:
        assert (code_dir / "filler").stat().st_size == 100
        assert names(code_dir) == ["filler", "index.js"]
    assert list(homes(folder)) == [digest]
    assert len(packages.fetched) == 2


async def test_leftovers_are_swept_and_foreign_files_are_not(
    folder: Path, packages: PackageStore
) -> None:
    leftover = folder / f"{'0' * 64}-hello-0123abcd"
    (leftover / ".unpack-x" / "lib").mkdir(parents=True)
    (leftover / "package.zip").write_bytes(b"x")
    (leftover / ".unpack-x" / "lib").chmod(0o555)
    (folder / "notes.txt").write_text("x")
    (folder / "lib").mkdir()
    async with make_cache(folder, packages).open():
        assert names(folder) == ["lib", "notes.txt"]


async def test_of_two_trees_one_is_kept(folder: Path, packages: PackageStore) -> None:
    digest = packages.add("1")
    cache = make_cache(folder, packages)
    async with cache.open(), cache.lease(digest, "hello") as code_dir:
        pass
    twin = folder / f"{digest}-hello-0123abcd"
    (twin / "hello").mkdir(parents=True)
    (twin / "tree.json").write_bytes((code_dir.parent / "tree.json").read_bytes())
    async with make_cache(folder, packages).open():
        assert list(homes(folder)) == [digest]


async def test_stopping_ends_what_is_under_way(
    cache: CodeCache, packages: PackageStore, folder: Path
) -> None:
    digest = packages.add("1")
    packages.gate.clear()
    async with cache.open():
        lease = asyncio.create_task(read(cache, digest))
        await packages.fetching.wait()
    with pytest.raises(UnavailableError, match="stopping"):
        await lease
    assert names(folder) == []


async def test_a_closed_cache_says_so(cache: CodeCache, packages: PackageStore) -> None:
    digest = packages.add("1")
    with pytest.raises(UnavailableError, match=digest):
        await read(cache, digest)
