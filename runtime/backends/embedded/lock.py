"""The lock on an embedded database's folder.

It belongs to the open file, which the program hands down to its server: it is free when both are gone, so
it also keeps out a new program while a former one's server still runs.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.backends.embedded.child import EmbeddedDocumentsError

_PAUSE_S = 0.05


@asynccontextmanager
async def hold_lock(path: Path, *, timeout_s: float) -> AsyncIterator[int]:
    """Hold the lock and give its file descriptor. Raises EmbeddedDocumentsError after `timeout_s`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            async with asyncio.timeout(timeout_s):
                while not _taken(descriptor):  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise EmbeddedDocumentsError(
                f"{path.parent} is in use by another program (process {holder or 'unknown'}) or by"
                " the server that it started; stop it, or set another YUNHAN_DATA_DIR"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
