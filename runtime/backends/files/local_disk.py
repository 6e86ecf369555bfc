"""Blocking work of the file store in a local folder: blobs that survive a loss of power, drafts that do not.

Folders that became empty stay: removing them would race with puts, and keys have few folders (one for each
space), not one for each blob.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
import uuid
from contextlib import suppress
from pathlib import Path

CHUNK_BYTES = 1024 * 1024

_DRAFT_MAX_AGE_S = 24 * 3600
"""Older drafts are of a process that died; younger ones may be another process's."""


def draft_in(folder: Path) -> Path:
    """A new name for what is not complete."""
    return folder / f".draft-{uuid.uuid4().hex}"


def append(draft: Path, chunk: bytes) -> None:
    """Make the draft if there is none."""
    with draft.open("ab") as file:
        file.write(chunk)


def remove(draft: Path) -> None:
    """Idempotent."""
    draft.unlink(missing_ok=True)


def place(source: Path, draft: Path, top: Path, key: str) -> None:
    """Put a copy of `source` at `top/key`. The bytes are synced before they get their name, the folders
    after it. No draft is left on an error."""
    target = top / key
    try:
        with source.open("rb") as original, draft.open("xb") as copy:
            shutil.copyfileobj(original, copy, CHUNK_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
    except BaseException:
        remove(draft)
        raise
    _sync_folders(target, top)


def take(source: Path, draft: Path, top: Path, key: str) -> None:
    """As `place`, but `source` itself gets the name where it is on the same file system; else it is removed
    after the copy is there."""
    target = top / key
    with source.open("rb") as file:
        # files of a spool are their maker's alone; blobs are as readable as their folder
        os.fchmod(file.fileno(), top.stat().st_mode & 0o666)
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        place(source, draft, top, key)
        remove(source)
    else:
        _sync_folders(target, top)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder, and the loss of old ones, survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_removal(path: Path) -> None:
    """After the file's removal; it may never have been there, nor its folder."""
    with suppress(FileNotFoundError, NotADirectoryError):
        sync_folder(path.parent)


def sweep(drafts: Path) -> None:
    """Remove the drafts of those that died."""
    oldest = time.time() - _DRAFT_MAX_AGE_S
    for draft in drafts.iterdir():
        with suppress(FileNotFoundError):  # another program sweeps too
            if draft.stat().st_mtime < oldest:
                draft.unlink()


class BlobReader:
    """Reads a range of one blob, which may lose its name meanwhile. `close` does not block."""

    def __init__(self, path: Path, start: int, length: int | None) -> None:
        self._path = path
        self._at = start
        self._left = length
        self._descriptor: int | None = None

    def open(self) -> None:
        """Raises FileNotFoundError when there is no such file, be it a folder."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except NotADirectoryError as error:
            raise FileNotFoundError(errno.ENOENT, "no such blob", str(self._path)) from error
        self._descriptor = descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no such blob", str(self._path))

    def read(self) -> bytes:
        """The next chunk; empty at the end."""
        assert self._descriptor is not None  # open comes first
        wanted = CHUNK_BYTES if self._left is None else min(CHUNK_BYTES, self._left)
        chunk = os.pread(self._descriptor, wanted, self._at)
        self._at += len(chunk)
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Idempotent; also without `open`."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _sync_folders(target: Path, top: Path) -> None:
    for folder in target.parents:
        sync_folder(folder)
        if folder == top:
            return
