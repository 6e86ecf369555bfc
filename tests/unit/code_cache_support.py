"""Code caches over a store of packages, and what is on their disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runtime.code_cache import CodeCache
from runtime.package.check import PackageLimits
from runtime.testing.packages import PackageStore


def make_cache(folder: Path, packages: PackageStore, max_bytes: int = 10_000) -> CodeCache:
    return CodeCache(folder, packages, max_bytes=max_bytes, limits=PackageLimits())


async def read(cache: CodeCache, digest: str, function: str = "hello") -> str:
    async with cache.lease(digest, function) as code_dir:
        return (code_dir / "index.js").read_text()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def homes(folder: Path) -> Iterator[str]:
    """Digests of what is on the disk."""
    return (path.name.partition("-")[0] for path in folder.iterdir())
