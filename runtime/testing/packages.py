"""A file store with small code packages whose fetching a test can hold up or let fail."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from runtime.ports import FileStore
from runtime.services.code_blobs import code_key
from runtime.testing.zips import STORED, RawEntry, make_zip


class PackageStore(FileStore):
    """Packages in memory. While `gate` is closed, fetching waits; `failure` is raised by it.

    Only fetching works; `fetched` lists the keys that were asked for, `fetching` is set by the first.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.fetching = asyncio.Event()
        self.fetched: list[str] = []
        self.failure: Exception | None = None

    def add(self, text: str, *, size: int = 0, folder: str = "") -> str:
        """Store a package whose index.js is `text` and that has `size` bytes more; its digest."""
        content = make_zip(
            [
                RawEntry(name=f"{folder}index.js".encode(), data=text.encode()),
                RawEntry(name=f"{folder}filler".encode(), data=bytes(size), method=STORED),
            ]
        )
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[code_key(digest)] = content
        return digest

    async def get_file(self, key: str, target: Path) -> bool:
        self.fetched.append(key)
        self.fetching.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if key in self.blobs:
            target.write_bytes(self.blobs[key])  # noqa: ASYNC240 - a few bytes
        return key in self.blobs

    async def put_file(self, key: str, source: Path) -> None:
        raise NotImplementedError

    def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError

    async def size(self, key: str) -> int | None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def list_keys(self, prefix: str) -> Sequence[str]:
        raise NotImplementedError
