"""Stops and continues the processes of one sandbox by signals, wherever it was put in walls.

Signals rather than the kernel's freezer: a stopped process dies of SIGKILL at once (in the freezer of
version 1 it would wait for a thaw that a dead worker never sends), nothing has to be writable, and the
processes that only wait for the sandbox's end (bubblewrap, an init) go on and report it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from sandbox.memory_watcher import children_by_parent

_Children: TypeAlias = Callable[[int], Sequence[int]]

_PROC = Path("/proc")
_READ_BYTES = 64 * 1024
# Stopped by us or by the function itself (which we must not continue), or gone.
_AT_REST = frozenset({b"T", b"Z", b"X"})


class ProcessTree:
    """The process `top` and everything below it.

    With `walled`, `top` or a process below it is the init of the sandbox's process namespace: only what
    is below that init belongs to the function, and is stopped; until there is such an init, nothing is.
    `proc` is where processes are seen; where there is no such thing, nothing is stopped.
    """

    def __init__(self, top: int, *, walled: bool, proc: Path = _PROC) -> None:
        self._top = top
        self._walled = walled
        self._proc = os.fspath(proc)
        self._init: int | None = None
        self._stopped: dict[int, bytes] = {}

    def stop(self) -> bool:
        """Stop what runs. True when there was something: a process that was just being started may have
        escaped, so look again a little later. Idempotent. Blocks for about 0.2 ms."""
        found = False
        for pid in self._members():
            state, started = self._state(pid)
            if state in _AT_REST:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP)
                self._stopped[pid] = started
                found = True
        return found

    def resume(self) -> None:
        """Continue what `stop` stopped. Idempotent."""
        for pid in self._stopped:  # whoever has the number of a dead one by now does not mind
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    def kill_stopped(self) -> None:
        """Kill what `stop` stopped: out of reach of other means, it would stay so for ever. Idempotent."""
        stopped, self._stopped = self._stopped, {}
        for pid, started in stopped.items():
            # Else it has died and its number may be somebody else's.
            if self._state(pid)[1] == started:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _members(self) -> list[int]:
        children = self._children()
        if not self._walled:
            return _below([self._top], children)
        if self._init is None:
            self._init = next(filter(self._is_init, _below([self._top], children)), None)
        return [] if self._init is None else _below(children(self._init), children)

    def _is_init(self, pid: int) -> bool:
        """Whether it is number 1 in its own namespace."""
        with contextlib.suppress(OSError):
            for line in _read(f"{self._proc}/{pid}/status").splitlines():
                if line.startswith(b"NSpid:"):
                    return line.split()[-1] == b"1"
        return False

    def _state(self, pid: int) -> tuple[bytes, bytes]:
        """Its state and when it was started; empty when it is gone."""
        try:
            # The name in parentheses may hold anything; what follows the last one is plain.
            fields = _read(f"{self._proc}/{pid}/stat").rpartition(b")")[2].split()
            return fields[0], fields[19]
        except (OSError, IndexError):
            return b"X", b""

    def _children(self) -> _Children:
        """How to find the children of a process now."""
        if os.path.exists(f"{self._proc}/thread-self/children"):  # noqa: PTH110
            return self._children_of
        with contextlib.suppress(OSError):  # a kernel without these lists (CONFIG_PROC_CHILDREN)
            by_parent = children_by_parent(Path(self._proc))
            return lambda pid: by_parent.get(pid, [])
        return lambda _: []

    def _children_of(self, pid: int) -> list[int]:
        found: list[int] = []
        with contextlib.suppress(OSError):  # gone
            for thread in os.listdir(f"{self._proc}/{pid}/task"):  # noqa: PTH208
                with contextlib.suppress(OSError):
                    children = _read(f"{self._proc}/{pid}/task/{thread}/children")
                    found.extend(map(int, children.split()))
        return found


def _read(path: str) -> bytes:
    """Of a file of the kernel's, in one go: file objects would take twice the time."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)


def _below(pids: Iterable[int], children: _Children) -> list[int]:
    """These and everything below them, parents before children."""
    found = dict.fromkeys(pids)
    new = list(found)
    for parent in new:
        for child in children(parent):
            if child not in found:
                found[child] = None
                new.append(child)
    return new
