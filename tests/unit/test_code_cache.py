"""Which code is fetched, kept, shared and deleted."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from runtime.code_cache import CodeCache
from runtime.errors import NotFoundError, UnavailableError
from runtime.testing.packages import PackageStore
from runtime.testing.zips import RawEntry, make_zip
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


# --- fetching ---------------------------------------------------------------------------------------


async def test_code_is_fetched_once(cache: CodeCache, packages: PackageStore) -> None:
    digest = packages.add("1")
    async with cache.open():
        assert await read(cache, digest) == "1"
        assert await read(cache, digest) == "1"
    assert packages.fetched == [f"code/{digest}.zip"]


async def test_the_folder_is_named_like_the_function(
    cache: CodeCache, packages: PackageStore
) -> None:
    digest = packages.add("1", folder="hello/")
    async with cache.open(), cache.lease(digest, "hello") as code_dir:
        assert code_dir.name == "hello"
        assert names(code_dir) == ["filler", "index.js"]
        assert names(code_dir.parent) == ["hello", "tree.json"]


async def test_concurrent_leases_share_one_fetch(cache: CodeCache, packages: PackageStore) -> None:
    digest = packages.add("1")
    packages.gate.clear()
    async with cache.open(), asyncio.TaskGroup() as tasks:
        leases = [tasks.create_task(read(cache, digest)) for _ in range(5)]
        await packages.fetching.wait()
        packages.gate.set()
    assert [lease.result() for lease in leases] == ["1"] * 5
    assert len(packages.fetched) == 1


async def test_the_first_waiter_may_give_up(cache: CodeCache, packages: PackageStore) -> None:
    digest = packages.add("1")
    packages.gate.clear()
    async with cache.open():
        first = asyncio.create_task(read(cache, digest))
        await packages.fetching.wait()
        second = asyncio.create_task(read(cache, digest))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        packages.gate.set()
        assert await second == "1"
    assert len(packages.fetched) == 1


async def test_a_fetch_that_nobody_waits_for_is_kept(
    cache: CodeCache, packages: PackageStore
) -> None:
    digest = packages.add("1")
    packages.gate.clear()
    async with cache.open():
        only = asyncio.create_task(read(cache, digest))
        await packages.fetching.wait()
        only.cancel()
        await asyncio.wait([only])
        packages.gate.set()
        assert await read(cache, digest) == "1"
    assert len(packages.fetched) == 1


async def test_the_same_package_under_two_names(cache: CodeCache, packages: PackageStore) -> None:
    digest = packages.add("1")
    only_hello = packages.add("2", folder="hello/")
    async with cache.open():
        assert await read(cache, digest, "hello") == await read(cache, digest, "world") == "1"
        assert await read(cache, only_hello, "hello") == "2"
        with pytest.raises(UnavailableError, match=r"no index\.js"):
            await read(cache, only_hello, "world")


async def test_a_missing_package(cache: CodeCache, packages: PackageStore, folder: Path) -> None:
    digest = packages.add("1")
    content = packages.blobs.pop(f"code/{digest}.zip")
    async with cache.open():
        with pytest.raises(UnavailableError, match=f"{digest}.*deploy it again"):
            await read(cache, digest)
        assert names(folder) == []
        packages.blobs[f"code/{digest}.zip"] = content
        assert await read(cache, digest) == "1"


async def test_bytes_that_are_not_what_was_asked_for(
    cache: CodeCache, packages: PackageStore, folder: Path
) -> None:
    digest, other = packages.add("1"), packages.add("2")
    packages.blobs[f"code/{digest}.zip"] = packages.blobs[f"code/{other}.zip"]
    async with cache.open():
        with pytest.raises(UnavailableError, match=f"{digest}.*other bytes.*{other}"):
            await read(cache, digest)
        assert names(folder) == []


@pytest.mark.parametrize(
    "failure",
    [
        UnavailableError("the store is away"),
        NotFoundError("NotFound", "the store is away"),
        OSError(28, "the store is away"),
        RuntimeError("a bug"),
    ],
)
async def test_every_failure_is_ours_and_not_remembered(
    cache: CodeCache, packages: PackageStore, folder: Path, failure: Exception
) -> None:
    digest = packages.add("1")
    packages.failure = failure
    packages.gate.clear()
    async with cache.open():
        leases = [asyncio.create_task(read(cache, digest)) for _ in range(2)]
        await packages.fetching.wait()
        packages.gate.set()
        for lease in leases:
            with pytest.raises(UnavailableError, match=digest):
                await lease
        assert names(folder) == []
        packages.failure = None
        assert await read(cache, digest) == "1"


async def test_a_bad_package_is_ours(
    cache: CodeCache, packages: PackageStore, folder: Path
) -> None:
    content = make_zip([RawEntry(name=b"index.js"), RawEntry(name=b"../escaped")])
    digest = hashlib.sha256(content).hexdigest()
    packages.blobs[f"code/{digest}.zip"] = content
    async with cache.open():
        with pytest.raises(UnavailableError, match=f"{digest}.*leads out of the package"):
            await read(cache, digest)
    assert names(folder.parent) == ["code"]


@pytest.mark.parametrize(
    ("digest", "function"),
    [("../" * 20, "hello"), ("A" * 64, "hello"), ("0" * 64, "../hello"), ("0" * 64, "")],
)
async def test_names_that_are_no_part_of_a_path(
    cache: CodeCache, digest: str, function: str
) -> None:
    async with cache.open():
        with pytest.raises(ValueError, match="no digest and function"):
            await read(cache, digest, function)


# --- keeping and deleting ---------------------------------------------------------------------------


async def test_the_least_recently_used_goes_first(folder: Path, packages: PackageStore) -> None:
    first, second, third = (packages.add(text, size=400) for text in "123")
    cache = make_cache(folder, packages, max_bytes=1000)
    async with cache.open():
        await read(cache, first)
        await read(cache, second)
        await read(cache, first)
        await read(cache, third)
    assert sorted(homes(folder)) == sorted([first, third])


async def test_leased_code_is_never_deleted(folder: Path, packages: PackageStore) -> None:
    first, second = (packages.add(text, size=400) for text in "12")
    cache = make_cache(folder, packages, max_bytes=500)
    async with cache.open():
        async with cache.lease(first, "hello") as code_dir:
            async with cache.lease(second, "hello"):
                assert sorted(homes(folder)) == sorted([first, second])
            assert (code_dir / "filler").stat().st_size == 400
        assert await read(cache, first) == "1"
    assert list(homes(folder)) == [first]
    assert packages.fetched.count(f"code/{first}.zip") == 1


async def test_code_larger_than_the_cache_is_deleted_after_its_use(
    folder: Path, packages: PackageStore
) -> None:
    digest = packages.add("1", size=2000)
    cache = make_cache(folder, packages, max_bytes=1000)
    async with cache.open():
        assert await read(cache, digest) == "1"
    assert list(homes(folder)) == []


async def test_dropped_code_is_fetched_again(
    cache: CodeCache, packages: PackageStore, folder: Path
) -> None:
    digest, kept = packages.add("1"), packages.add("2")
    async with cache.open():
        await read(cache, digest)
        await read(cache, digest, "world")
        await read(cache, kept)
        await cache.drop(digest)
        await cache.drop(digest)
    assert list(homes(folder)) == [kept]
    async with cache.open():
        assert await read(cache, digest) == "1"
    assert packages.fetched.count(f"code/{digest}.zip") == 3


async def test_dropped_code_stays_for_its_leases(
    cache: CodeCache, packages: PackageStore, folder: Path
) -> None:
    digest = packages.add("1")
    async with cache.open():
        async with cache.lease(digest, "hello") as old:
            await cache.drop(digest)
            async with cache.lease(digest, "hello") as new:
                assert old != new
                assert (old / "index.js").read_text() == (new / "index.js").read_text() == "1"
        assert await read(cache, digest) == "1"
    assert list(homes(folder)) == [digest]
    assert len(packages.fetched) == 2


async def test_code_dropped_while_it_is_fetched(
    cache: CodeCache, packages: PackageStore, folder: Path
) -> None:
    digest = packages.add("1")
    packages.gate.clear()
    async with cache.open():
        lease = asyncio.create_task(read(cache, digest))
        await packages.fetching.wait()
        await cache.drop(digest)
        packages.gate.set()
        assert await lease == "1"
    assert list(homes(folder)) == []
