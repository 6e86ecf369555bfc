"""Immutable blobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from runtime.threads import run_to_end


class FileStore(ABC):
    """Immutable blobs under slash-separated keys (`code/<sha256>.zip`, ...)."""

    @abstractmethod
    async def put_file(self, key: str, source: Path) -> None:
        """Store the file's bytes; when this returns they survive kill -9. Idempotent: an existing
        key is replaced as a whole, a reader sees the old or the new bytes, never a mixture. Raises
        StorageFullError when the store has no room; neither that nor a cancellation leaves a part."""

    async def take_file(self, key: str, source: Path) -> None:
        """As `put_file`, but the file is handed over: afterwards there is none at `source`. A store on the
        same file system renames it instead of copying it. On any error the caller still has the file, or it
        was stored all the same; nobody else may have it open for writing."""
        await self.put_file(key, source)
        await run_to_end(_remove, source)

    @abstractmethod
    async def get_file(self, key: str, target: Path) -> bool:
        """Write the blob to `target` (made new); False when there is no such key."""

    @abstractmethod
    def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The blob's bytes from `start`, at most `length` of them (None: all), in chunks of at most 1 MiB
        with a bounded number of them in memory. What lies behind the blob's end is left out, so a range
        beyond it has no chunk.

        Raises NotFoundError before the first chunk, and never afterwards: where the blob is deleted or
        replaced meanwhile, the old bytes go on or UnavailableError is raised; old and new are never mixed.
        Raises ValueError for a negative number. Who does not read to the end has to close it."""

    @abstractmethod
    async def size(self, key: str) -> int | None:
        """Bytes, or None when there is no such key."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Idempotent."""

    @abstractmethod
    async def list_keys(self, prefix: str) -> Sequence[str]:
        """All keys below a prefix, sorted."""


def _remove(source: Path) -> None:
    source.unlink(missing_ok=True)
