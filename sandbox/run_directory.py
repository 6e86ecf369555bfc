"""A worker's run directory: one live owner, what its sandboxes share, and what dead owners left beside it.

The owner holds a lock on a file in it, which the kernel gives up when the owner dies, however it dies:
who gets that lock knows that nobody lives there. Blocking: call from a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import time
from pathlib import Path

import structlog

from sandbox.api import SandboxError
from sandbox.cgroups import remove_cgroups_of
from sandbox.folders import SHARED, sweep_sandboxes

_log = structlog.get_logger(__name__)

_LOCK = "lock"
# Other programs have folders with such names and files of that name; none has this text in it.
_TEXT = "A worker of Yunhan (rung {rung}) keeps this file locked while it lives.\n"
_RUNG = re.compile(re.escape(_TEXT.encode()).replace(rb"\{rung\}", rb"([a-z]+)"))
_TEXT_MAX = 200
# What their sandboxes leave is not on this machine's file system alone: only they can remove it.
_IN_AN_ENGINE = frozenset({"docker"})
# Somebody who cleans up after a dead worker holds the lock for a moment.
_LOCK_WAIT_S = 5.0
_LOCK_PAUSE_S = 0.02
# For each start; the next one goes on.
RECLAIMED_MAX = 100


class RunDirectory:
    """`path` is resolved by `acquire`. `shared` is for files that all sandboxes of the worker see; it is gone
    after `release`, and empty of a dead worker's after `acquire`. `rung` is the worker's."""

    def __init__(self, path: Path, rung: str) -> None:
        self.path = path
        self._rung = rung
        self._lock: int | None = None
        self._left_by: str | None = None

    @property
    def shared(self) -> Path:
        return self.path / SHARED

    @property
    def was_left(self) -> bool:
        """Whether `acquire` found a dead worker's, which may have left more than is on the file system."""
        return self._left_by is not None

    def acquire(self) -> int:
        """Make it, own it, and remove what a dead worker left in it: how many sandboxes that were.

        Raises OSError, and SandboxError when it is somebody else's or a live worker's."""
        if self._lock is not None:
            raise RuntimeError(f"{self.path} is acquired already")
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            gone: OSError | None = None
            try:
                lock = self._try_lock()
            except FileNotFoundError as error:  # another worker is removing it
                lock, gone = None, error
            if lock is not None:
                break
            if time.monotonic() > deadline:
                raise gone or SandboxError(
                    f"another live worker uses the run directory {self.path}.",
                    what_next="Stop it, or set another YUNHAN_DATA_DIR or TMPDIR.",
                )
            time.sleep(_LOCK_PAUSE_S)
        self._lock = lock
        _empty_shared(self.shared)
        return sweep_sandboxes(self.path)

    def release(self, *, keep: bool = False) -> None:
        """Remove it, unless something is in it that is not ours; then that is logged. Idempotent.

        With `keep` it stays as a dead worker's does, for the next one to remove what this one could not;
        so does one in which a worker of another rung left what only that rung can remove.
        """
        lock, self._lock = self._lock, None
        if lock is not None:
            try:
                if keep or not self._may_remove(self._left_by):
                    _empty_shared(self.shared)
                else:
                    _remove(self.path)
            except OSError as error:
                _log.warning("run_dir_not_removed", run_dir=str(self.path), reason=str(error))
            finally:
                os.close(lock)

    def reclaim_others(self) -> list[Path]:
        """Remove the run directories beside this one whose owner is dead, with the processes and control
        groups of their sandboxes; which they were. Raises OSError."""
        reclaimed = []
        for path in self.others():
            dead = self.take_dead(path)
            if dead is not None and dead.remove():
                reclaimed.append(path)
            if len(reclaimed) >= RECLAIMED_MAX:
                break
        return reclaimed

    def others(self) -> list[Path]:
        """What lies beside this one. Raises OSError."""
        return [path for path in self.path.parent.iterdir() if path != self.path]

    def take_dead(self, path: Path) -> DeadRunDirectory | None:
        """That directory beside this one, if its owner is dead and left nothing that only another rung can
        remove. Without a lock file of ours nothing proves an owner's death."""
        with contextlib.suppress(OSError):  # gone meanwhile, or no run directory
            if not (_is_own(path) and _is_own(path / SHARED)):
                return None
            file = path / SHARED / _LOCK
            lock = _open(file)
            try:
                # The rung once the lock is had: until then somebody may write another one.
                if _rung_in(lock) and _lock(lock, file) and self._may_remove(_rung_in(lock)):
                    taken, lock = lock, -1
                    return DeadRunDirectory(path, taken)
            finally:
                if lock >= 0:
                    os.close(lock)
        return None

    def _may_remove(self, rung: str | None) -> bool:
        return rung == self._rung or rung not in _IN_AN_ENGINE

    def _try_lock(self) -> int | None:
        """None when somebody else has it. Raises FileNotFoundError while somebody removes it, and OSError."""
        # That what exists is a directory is seen below, also where it is gone again by then.
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=0o700, parents=True)
        self._require_own()
        # Resolved: what /proc says about working directories is.
        self.path = self.path.resolve(strict=True)
        with contextlib.suppress(FileExistsError):
            self.shared.mkdir(mode=0o700)
        lock = _open(self.shared / _LOCK, os.O_CREAT)
        try:
            if not _lock(lock, self.shared / _LOCK):
                os.close(lock)
                return None
            self._left_by = _rung_in(lock)
            if self._may_remove(self._left_by):
                os.pwrite(lock, _TEXT.format(rung=self._rung).encode(), 0)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _require_own(self) -> None:
        """Its path can be guessed and its parent may be open to all: somebody else's folder or link in
        its place would give them our sockets, and us their files to sweep."""
        if not _is_own(self.path):
            raise SandboxError(
                f"{self.path} is no run directory: not a directory of this user.",
                what_next="Remove it, or set TMPDIR to a directory that only this user can write.",
            )
        self.path.chmod(0o700)


class DeadRunDirectory:
    """One whose owner is dead: its lock is ours until `remove` or `release`, so nobody lives in it."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    def remove(self) -> bool:
        """Remove it with the processes and control groups of its sandboxes, and give it back. Whether it
        could be; otherwise the next start finds it again."""
        try:
            sweep_sandboxes(self.path)
            remove_cgroups_of(self.path)
            _remove(self.path)
        except OSError:
            return False
        finally:
            self.release()
        return True

    def release(self) -> None:
        """Give it back as it is. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _open(path: Path, flags: int = 0) -> int:
    """A regular file, without waiting for the other end of a pipe. Raises OSError."""
    always = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(path, flags | always, 0o600)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "its lock is not a regular file", str(path))
    return file


def _rung_in(lock: int) -> str | None:
    """Of the last owner; None when the file is not of ours, or new. Raises OSError."""
    found = _RUNG.match(os.pread(lock, _TEXT_MAX, 0))
    return None if found is None else found[1].decode()


def _lock(lock: int, path: Path) -> bool:
    """Whether we have it now, and it still is the file of that name. Raises OSError."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _remove(path: Path) -> None:
    """The lock goes last: until then nobody else comes in. Raises OSError."""
    _empty_shared(path / SHARED)
    others = sorted(entry.name for entry in path.iterdir() if entry.name != SHARED)
    if others:  # of which the lock file tells the next worker whose they were
        raise OSError(f"it holds {', '.join(others[:5])}")
    (path / SHARED / _LOCK).unlink()
    # Who waited for the lock may be in already: then it is theirs.
    with contextlib.suppress(OSError):
        (path / SHARED).rmdir()
        path.rmdir()


def _empty_shared(shared: Path) -> None:
    for entry in shared.iterdir():
        if entry.name == _LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _is_own(path: Path) -> bool:
    """Raises OSError."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
