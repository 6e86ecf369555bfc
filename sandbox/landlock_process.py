"""A Landlock sandbox as a `ProcessHandle`: code at binding, how it ended, what it leaves."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import structlog

from sandbox.bubblewrap_command import CODE_INSIDE
from sandbox.cgroups import Cgroup
from sandbox.code_view import fill_view, remove_view
from sandbox.folders import open_to
from sandbox.handle import Exit, ProcessHandle
from sandbox.landlock_uids import uid_in_use
from sandbox.local_process import LocalProcess
from sandbox.memory_watcher import LookedAt
from sandbox.meter import Meter
from sandbox.process_tree import ProcessTree

_log = structlog.get_logger(__name__)

_GONE_WAIT_S = 1.0
_GONE_PAUSE_S = 0.002


class LandlockProcess(ProcessHandle):
    """`local` is the supervisor, which dies with the worker and takes all others along; it ends as Node
    ended, by signal or code.

    `view` and `group` are removed by `remove`, at whose end `on_removed` is called. `on_shown` is called
    when the code is there.
    """

    def __init__(
        self,
        local: LocalProcess,
        *,
        uid: int,
        view: Path,
        group: Cgroup | None,
        on_shown: Callable[[], object],
        on_removed: Callable[[], object],
    ) -> None:
        self._local = local
        self._tree = ProcessTree(local.pid, walled=True)
        self._uid = uid
        self._view = view
        self._group = group
        self._meter: Meter = LookedAt() if group is None or group.meter is None else group.meter
        self._on_shown = on_shown
        self._on_removed = on_removed
        self._filling: asyncio.Future[None] | None = None
        self._over_memory = False
        self._removed = False

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return self._local.pid

    @property
    def meter(self) -> Meter:
        return self._meter

    async def show_code(self, code_dir: Path) -> str:
        # A thread does not end with its task: `remove` waits for it.
        self._filling = asyncio.ensure_future(asyncio.to_thread(fill_view, self._view, code_dir))
        await asyncio.shield(self._filling)
        self._on_shown()
        return str(CODE_INSIDE)

    def admit_socket(self, path: Path) -> None:
        open_to(self._uid, path)

    def pause(self) -> bool:
        return self._tree.stop()

    def resume(self) -> None:
        self._tree.resume()

    def kill(self) -> None:
        # Reaches supervisor and init; with init the kernel ends whatever is inside.
        self._local.kill()

    def kill_for_memory(self) -> None:
        """It uses more memory than it may: `wait` will say so."""
        self._over_memory = True
        self.kill()

    async def wait(self) -> Exit:
        exit_ = await self._local.wait()
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

    async def _wait_gone(self) -> None:
        """Supervisor and init are gone; the kernel takes a moment for those inside."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _GONE_WAIT_S
        while uid_in_use(self._uid):
            if loop.time() > deadline:
                _log.warning("sandbox_processes_not_gone", uid=self._uid, waited_s=_GONE_WAIT_S)
                return
            await asyncio.sleep(_GONE_PAUSE_S)

    def _remove_files(self) -> None:
        if self._group is not None:
            self._group.remove()
        remove_view(self._view)
