"""Code packages in the file store: one blob per content, shared by all deployments with that content.

A blob exists as long as a deployment has its digest. The order that keeps this true without transactions:
a deployment claims a digest before its blob is stored, and a blob is deleted only after no deployment
claims it. In one process both sides hold the digest's lock. Between processes a moment remains in which
a blob can be deleted that was claimed just now; going live checks that the blob is there, and storing the
same package again heals it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from weakref import WeakValueDictionary

from runtime.ports import ControlStore, FileStore

_PREFIX = "code/"
_PAGE = 500
_KEY = re.compile(r"code/(?P<digest>[0-9a-f]{64})\.zip")


def code_key(digest: str) -> str:
    """The file store's key of a package; `digest` is the SHA-256 of its bytes in hex."""
    return f"{_PREFIX}{digest}.zip"


class CodeBlobs:
    """Stores, reads and removes code packages by digest."""

    def __init__(self, *, control: ControlStore, files: FileStore) -> None:
        self._control = control
        self._files = files
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def claiming(self, digest: str) -> AbstractAsyncContextManager[None]:
        """Held from before a deployment claims a digest until its blob is stored."""
        return self._lock(digest)

    async def store(self, digest: str, package: Path) -> None:
        """Store a package whose digest is claimed. Idempotent."""
        await self._files.put_file(code_key(digest), package)

    async def exists(self, digest: str) -> bool:
        return await self.size(digest) is not None

    async def size(self, digest: str) -> int | None:
        """Bytes of the zip; None when there is none."""
        return await self._files.size(code_key(digest))

    def stream(self, digest: str) -> AsyncIterator[bytes]:
        """The zip's bytes. Raises NotFoundError before the first chunk."""
        return self._files.stream(code_key(digest))

    async def claimed_by(self, space_id: str, function: str | None = None) -> set[str]:
        """Digests of all deployments of a space, or of one of its functions."""
        digests: set[str] = set()
        offset = 0
        while True:
            page, total = await self._control.list_deployments(
                space_id, function=function, offset=offset, limit=_PAGE
            )
            digests.update(deployment.digest for deployment in page if deployment.digest)
            offset += len(page)
            if not page or offset >= total:
                return digests

    async def drop_unused(self, digests: Iterable[str]) -> int:
        """Delete those blobs that no deployment claims; how many went. Idempotent."""
        dropped = 0
        for digest in sorted(set(digests)):
            async with self._lock(digest):
                if not await self._control.digest_in_use(digest):
                    await self._files.delete(code_key(digest))
                    dropped += 1
        return dropped

    async def sweep(self) -> int:
        """Delete blobs that a crash between two steps left behind; for the start of a program."""
        matches = (_KEY.fullmatch(key) for key in await self._files.list_keys(_PREFIX))
        return await self.drop_unused(match["digest"] for match in matches if match)

    def _lock(self, digest: str) -> asyncio.Lock:
        lock = self._locks.get(digest)
        if lock is None:
            lock = self._locks[digest] = asyncio.Lock()
        return lock
