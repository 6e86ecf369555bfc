"""Bytes to try file stores with."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from runtime.ports import FileStore

MIB = 1024 * 1024


def bytes_of(length: int, seed: str = "") -> bytes:
    """The same bytes for the same arguments, without a period that could hide a mix-up."""
    return hashlib.shake_128(seed.encode()).digest(length)


def source_of(folder: Path, content: bytes) -> Path:
    """A file with this content, made anew."""
    source = folder / "source"
    source.write_bytes(content)
    return source


async def streamed(store: FileStore, key: str, start: int = 0, length: int | None = None) -> bytes:
    """A range of a blob as a whole."""
    return b"".join([chunk async for chunk in store.stream(key, start, length)])


async def cancel_after(task: asyncio.Task[Any], steps: int) -> None:
    """Cancel a task after so many rounds of the loop, wherever it is by then."""
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
