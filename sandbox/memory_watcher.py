"""Ends sandboxes that use more memory than they may, where no control group does it.

A look at all processes several times a second, not a wall: between two looks a function may take
more than its limit. Counts private and shared memory of every process and its page tables, what lies in
the sandbox's own file systems in memory, and what the kernel may keep in its sockets and pipes. That is
told nowhere: beyond a few, each counts for the most that it can hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from sandbox.meter import Meter

_log = structlog.get_logger(__name__)

_PROC = Path("/proc")
_LOOK_EVERY_S = 0.1
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
# The kernel's memory for one file, folder or link of a tmpfs; an empty one takes no page.
_INODE_BYTES = 1024
_COUNTED = (b"RssAnon:", b"RssShmem:", b"VmSwap:", b"VmPTE:")
_SOCKET_BYTES = Path("/proc/sys/net/core/wmem_default")
_SOCKET_BYTES_USUAL = 212_992
# Of TCP the kernel lets buffers grow, for sending and for receiving.
_TCP_BYTES = 10 * 1024 * 1024
# An idle Node has about twenty descriptors, three of them sockets; a function may listen.
_SOCKETS_FREE = 32
_TCP_FREE = 4
_FILES_FREE = 64
# Half of what the kernel lets a pipe hold, which has two ends.
_FILE_BYTES = 32 * 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One sandbox: its outermost process, its limit, its file systems in memory as it sees them.

    `on_look` is told its memory in bytes and its processor time in ms, from a thread of the watcher's."""

    pid: int
    memory_bytes: int
    tmpfs: Sequence[str]
    on_exceeded: Callable[[], object]
    on_look: Callable[[int, float], object] = lambda *_: None


class LookedAt(Meter):
    """What the looks at one sandbox saw: the peak is at least so much, the time as old as the last look."""

    booked_within_ms = _LOOK_EVERY_S * 1000 + 2 * _TICK_MS

    def __init__(self) -> None:
        self._last_bytes = 0
        self._peak_bytes = 0
        self._cpu_ms: float | None = None

    def saw(self, used: int, cpu_ms: float) -> None:
        self._last_bytes = used
        self._peak_bytes = max(self._peak_bytes, used)
        self._cpu_ms = cpu_ms

    def begin(self) -> None:
        self._peak_bytes = self._last_bytes

    def cpu_ms(self) -> float | None:
        return self._cpu_ms

    def peak_mb(self, told: float | None) -> float | None:
        """Node's own figure counts pages of files, too, but not its children."""
        return max(round(self._peak_bytes / _MIB, 3), told or 0.0) or None


class MemoryWatcher:
    """Watches any number of sandboxes, each from its binding on; looks only while there is one."""

    def __init__(self, *, proc: Path = _PROC, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._proc = proc
        self._look_every_s = look_every_s
        self._watched: dict[int, Watched] = {}
        self._task: asyncio.Task[None] | None = None
        self._socket_bytes = _bytes_of_a_socket()

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
            inside = self._proc / str(pid)
            with contextlib.suppress(OSError):
                used += _tmpfs_bytes(inside, watched.tmpfs) + self._sockets_bytes(inside)
                break
        watched.on_look(used, sum(_cpu_ms(self._proc / str(pid)) for pid in pids))
        return used

    def _sockets_bytes(self, process: Path) -> int:
        """Of its whole namespace, those on their way to another process included; 0 where it has none of its
        own, or is gone."""
        try:
            if (process / "ns/net").readlink() == (self._proc / "self/ns/net").readlink():
                return 0
            text = (process / "net/sockstat").read_bytes()
        except OSError:
            return 0
        sockets, tcp = _count(text, b"sockets: used "), _count(text, b"TCP: inuse ")
        return (
            max(sockets - _SOCKETS_FREE, 0) * self._socket_bytes
            + max(tcp - _TCP_FREE, 0) * _TCP_BYTES
        )


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
    pages = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_COUNTED))
    return pages + max(_open_files(process) - _FILES_FREE, 0) * _FILE_BYTES


def _open_files(process: Path) -> int:
    with contextlib.suppress(OSError):
        folder = process / "fd"
        # Their number since Linux 6.2.
        return folder.stat().st_size or len(os.listdir(folder))  # noqa: PTH208 - faster
    return 0


def _cpu_ms(process: Path) -> float:
    """Its own and that of the children that it has waited for."""
    try:
        fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) * _TICK_MS
    except (OSError, ValueError):  # gone
        return 0.0


def _count(text: bytes, name: bytes) -> int:
    found = text.partition(name)[2].split(None, 1)
    return int(found[0]) if found else 0


def _bytes_of_a_socket() -> int:
    """What one holds for its peer; the filter of system calls does not let a function change it."""
    try:
        return int(_SOCKET_BYTES.read_text())
    except (OSError, ValueError):
        return _SOCKET_BYTES_USUAL


def _tmpfs_bytes(process: Path, folders: Sequence[str]) -> int:
    """Raises OSError when the process is gone."""
    used = 0
    for folder in folders:
        found = os.statvfs(f"{process}/root{folder}")
        used += (found.f_blocks - found.f_bfree) * found.f_frsize
        used += (found.f_files - found.f_ffree) * _INODE_BYTES
    return used
