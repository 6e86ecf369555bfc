"""A bubblewrap sandbox as a `ProcessHandle`: limits and code at binding, how it ended, what it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import resource
from collections.abc import Callable
from pathlib import Path

import structlog

from sandbox.bubblewrap_command import CODE_INSIDE, ProcessLimits
from sandbox.cgroups import Cgroup
from sandbox.code_view import fill_view, remove_view
from sandbox.handle import SIGNAL_BASE, Exit, ProcessHandle
from sandbox.local_process import LocalProcess
from sandbox.memory_watcher import LookedAt, children_by_parent, descendants
from sandbox.meter import Meter
from sandbox.process_tree import ProcessTree

_log = structlog.get_logger(__name__)

_GONE_WAIT_S = 1.0
_SIGNAL_MAX = 64


class BubblewrapProcess(ProcessHandle):
    """`local` is the outermost process, which dies with the worker and takes all others along.

    `gone` is the reading end of a pipe that closes when the first process inside ends; closed by
    `remove`, like `view` and `group` removed. `open_socket` lets the sandbox's user in. `limits` are set
    at binding, None if it was born with them. `on_removed` is called at the end of `remove`.
    """

    def __init__(
        self,
        local: LocalProcess,
        *,
        view: Path,
        gone: int,
        group: Cgroup | None,
        limits: ProcessLimits | None,
        open_socket: Callable[[Path], object],
        on_shown: Callable[[], object],
        on_removed: Callable[[], object],
    ) -> None:
        self._local = local
        self._tree = ProcessTree(local.pid, walled=True)
        self._view = view
        self._ends = [gone]
        """Each readable once a part of the sandbox has ended; all of them: nothing of it runs."""
        self._group = group
        self._meter: Meter = LookedAt() if group is None or group.meter is None else group.meter
        self._limits = limits
        self._open_socket = open_socket
        self._on_shown = on_shown
        self._on_removed = on_removed
        self._filling: asyncio.Future[None] | None = None
        self._over_memory = False
        self._removed = False

    @property
    def pid(self) -> int:
        """Of the outermost process, as the worker sees it."""
        return self._local.pid

    @property
    def meter(self) -> Meter:
        return self._meter

    async def show_code(self, code_dir: Path) -> str:
        self._filling = asyncio.ensure_future(asyncio.to_thread(self._prepare, code_dir))
        await asyncio.shield(self._filling)
        self._on_shown()
        return str(CODE_INSIDE)

    def admit_socket(self, path: Path) -> None:
        self._open_socket(path)

    def pause(self) -> bool:
        return self._tree.stop()

    def resume(self) -> None:
        self._tree.resume()

    def kill(self) -> None:
        self._local.kill()

    def kill_for_memory(self) -> None:
        """It uses more memory than it may: `wait` will say so."""
        self._over_memory = True
        self.kill()

    async def wait(self) -> Exit:
        exit_ = await self._local.wait()
        # So bubblewrap's first process reports a signal, but a function may exit with the same code: what it
        # said before (`Exiting`) counts more.
        if exit_.code is not None and SIGNAL_BASE < exit_.code <= SIGNAL_BASE + _SIGNAL_MAX:
            exit_ = dataclasses.replace(exit_, code=None, signal=exit_.code - SIGNAL_BASE)
        return dataclasses.replace(exit_, oom=self._over_memory or self._meter.out_of_memory())

    async def remove(self) -> None:
        if self._removed:
            return
        self._removed = True
        if self._filling is not None:
            await asyncio.wait({self._filling})
        await self._wait_gone()
        await asyncio.to_thread(self._remove_files)
        await self._local.remove()
        self._on_removed()

    def _prepare(self, code_dir: Path) -> None:
        self._watch_first()
        # Only now, because before its own user namespace a limit of processes counts the worker's. User
        # code is not in there yet: what is there is ours, and what it starts inherits.
        if self._limits is not None:
            for pid in descendants(self.pid, children_by_parent()):
                with contextlib.suppress(ProcessLookupError):
                    _limit(pid, self._limits)
        fill_view(self._view, code_dir)

    def _watch_first(self) -> None:
        """The first process inside closes its end of the pipe before the kernel ends the others; its own end
        is only told after theirs."""
        with contextlib.suppress(OSError, ValueError):  # an old kernel, or it is gone already
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            self._ends.append(os.pidfd_open(int(children.partition(" ")[0])))

    async def _wait_gone(self) -> None:
        """The outermost process is gone; the kernel takes a moment for those inside."""
        try:
            async with asyncio.timeout(_GONE_WAIT_S):
                for end in self._ends:
                    await _readable(end)
        except TimeoutError:
            _log.warning("sandbox_processes_not_gone", pid=self.pid, waited_s=_GONE_WAIT_S)
        finally:
            for end in self._ends:
                os.close(end)

    def _remove_files(self) -> None:
        if self._group is not None:
            self._group.remove()
        remove_view(self._view)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _limit(pid: int, limits: ProcessLimits) -> None:
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limits.open_files,) * 2)
    if limits.processes is not None:
        resource.prlimit(pid, resource.RLIMIT_NPROC, (limits.processes,) * 2)
