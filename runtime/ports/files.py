"""Immutable blobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from pathlib import Path


class FileStore(ABC):
    """Immutable blobs under slash-separated keys (`code/<sha256>.zip`, ...)."""

    @abstractmethod
    async def put_file(self, key: str, source: Path) -> None:
        """Store the file's bytes; when this returns they survive kill -9. Idempotent: an existing
        key is replaced as a whole, a reader sees the old or the new bytes, never a mixture."""

    @abstractmethod
    async def get_file(self, key: str, target: Path) -> bool:
        """Write the blob to `target` (made new); False when there is no such key."""

    @abstractmethod
    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The blob in chunks of at most 1 MiB. Raises NotFoundError before the first chunk."""

    @abstractmethod
    async def size(self, key: str) -> int | None:
        """Bytes, or None when there is no such key."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Idempotent."""

    @abstractmethod
    async def list_keys(self, prefix: str) -> Sequence[str]:
        """All keys below a prefix, sorted."""
