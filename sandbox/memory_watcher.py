"""Ends sandboxes that use more memory than they may, where no control group does it.

A look at all processes several times a second, not a wall: between two looks a function may take
more than its limit. Counts private and shared memory of every process, and what lies in the
sandbox's own file systems in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

_PROC = Path("/proc")
_LOOK_EVERY_S = 0.1
# The kernel's memory for one file, folder or link of a tmpfs; an empty one takes no page.
_INODE_BYTES = 1024
_COUNTED = (b"RssAnon:", b"RssShmem:", b"VmSwap:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One sandbox: its outermost process, its limit, its file systems in memory as it sees them."""

    pid: int
    memory_bytes: int
    tmpfs: Sequence[str]
    on_exceeded: Callable[[], object]


class MemoryWatcher:
    """Watches any number of sandboxes, each from its binding on; looks only while there is one."""

    def __init__(self, *, proc: Path = _PROC, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._proc = proc
        self._look_every_s = look_every_s
        self._watched: dict[int, Watched] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, watched: Watched) -> None:
        self._watched[watched.pid] = watched
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._look_on(), name="memory watcher of sandboxes"
            )

    def discard(self, pid: int) -> None:
        """Idempotent."""
        self._watched.pop(pid, None)

    async def stop(self) -> None:
        """Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _look_on(self) -> None:
        try:
            while self._watched:
                await asyncio.sleep(self._look_every_s)
                for pid in await asyncio.to_thread(self.look):
                    if (watched := self._watched.pop(pid, None)) is not None:
                        watched.on_exceeded()
        except Exception:  # noqa: BLE001 - a defect of ours
            # Without a watcher no limit holds: better no sandbox than an unbounded one.
            _log.exception("memory_watcher_failed", sandboxes=len(self._watched))
            for watched in list(self._watched.values()):
                watched.on_exceeded()
            self._watched.clear()

    def look(self) -> list[int]:
        """Those beyond their limit now. Blocking."""
        children = children_by_parent(self._proc)
        return [
            watched.pid
            for watched in list(self._watched.values())
            if self._used(watched, children) > watched.memory_bytes
        ]

    def _used(self, watched: Watched, children: Mapping[int, Sequence[int]]) -> int:
        pids = descendants(watched.pid, children)
        used = sum(_process_bytes(self._proc / str(pid)) for pid in pids)
        # The outermost processes may see the host's root; those born last are surely inside.
        for pid in reversed(pids[1:]):
            with contextlib.suppress(OSError):
                return used + _tmpfs_bytes(self._proc / str(pid), watched.tmpfs)
        return used


def children_by_parent(proc: Path = _PROC) -> dict[int, list[int]]:
    """All processes of this machine, as far as they can be seen. Blocking."""
    children: dict[int, list[int]] = {}
    for name in os.listdir(proc):  # noqa: PTH208 - ten times as fast as making paths
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name in parentheses may hold anything; what follows the last one is numbers.
                fields = (proc / name / "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(name))
    return children


def descendants(pid: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    """`pid` and everything below it, parents before children."""
    found = [pid]
    for parent in found:
        found.extend(child for child in children.get(parent, ()) if child not in found)
    return found


def _process_bytes(process: Path) -> int:
    try:
        lines: Iterable[bytes] = (process / "status").read_bytes().splitlines()
    except OSError:  # gone
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_COUNTED))


def _tmpfs_bytes(process: Path, folders: Sequence[str]) -> int:
    """Raises OSError when the process is gone."""
    used = 0
    for folder in folders:
        found = os.statvfs(f"{process}/root{folder}")
        used += (found.f_blocks - found.f_bfree) * found.f_frsize
        used += (found.f_files - found.f_ffree) * _INODE_BYTES
    return used
