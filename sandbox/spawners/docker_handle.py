"""One container of the worker as a `ProcessHandle`.

Its end shows in up to three ways: an event of the engine, its process that is gone (where that can be
seen), and the engine's list after a reconnect. Whichever comes first starts the search for the truth,
which is due within a second, however busy the engine is; what we killed ourselves needs none.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from sandbox.api import SandboxError
from sandbox.cgroup_meter import GroupMeter
from sandbox.cgroups import find_meter
from sandbox.code_view import fill_view
from sandbox.handle import Exit, ProcessHandle
from sandbox.host_process import HostProcess
from sandbox.meter import NO_METER, Meter
from sandbox.orphan_guard import OrphanGuard
from sandbox.process_tree import ProcessTree
from sandbox.spawners.docker_engine import ContainerState, DockerEngine
from sandbox.spawners.docker_events import EngineEvent
from sandbox.spawners.docker_exit import KILLED_BY_US, exit_of, lost_exit
from sandbox.spawners.docker_options import CODE_DIR
from sandbox.spawners.docker_place import Place

_log = structlog.get_logger(__name__)

# The engine tells an end 20 ms after it, a busy one 500 ms and more; an ending is due within 1 s.
_EVENT_WAIT_S = 0.4
_DUE_S = 0.8
_ASK_AGAIN_S = 0.05
_KILL_RETRY_S = 0.5
_SIGKILL_CODE = 128 + signal.SIGKILL
NOT_PAUSED = (
    "The worker does not see the processes of containers or may not signal them (it is not root, has a"
    " process namespace of its own, or the runtime is not a plain one): what a function leaves running"
    " after its result is not paused, and only the engine can kill it."
)
# Name of the engine's own init, when a runtime runs it as a plain process.
_INIT = "docker-init"


class DockerHandle(ProcessHandle):
    """A started container. `watch` comes once its process is known."""

    exit_delay_s = 0.8

    def __init__(self, engine: DockerEngine, container_id: str, place: Place) -> None:
        self.container_id = container_id
        self._engine = engine
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[Exit] = self._loop.create_future()
        self._process: HostProcess | None = None
        self._guard: OrphanGuard | None = None
        self._tree: ProcessTree | None = None
        self._meter: GroupMeter | None = None
        self._killed = False
        self._oom = False
        self._lost = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._judging = False
        self._due: asyncio.TimerHandle | None = None
        self._known: Exit | None = None

    def watch(self, pid: int, guard: OrphanGuard) -> None:
        """See and kill its process directly, if the engine's `pid` is one on this machine. `guard`
        then kills it should this worker die first."""
        process = HostProcess.find(pid, self.container_id, self._on_process_gone)
        self._process = process
        if process is not None:
            self._meter = find_meter(pid)
        if process is not None and process.leads_group:
            self._guard = guard  # first: one that cannot be told still has it in mind
            guard.add(pid)

    def unwatch(self) -> None:
        """Give back what `watch` opened, also where that failed half-way. Idempotent."""
        if self._process is not None:
            self._discard_guard()
            self._process.close()
        if self._meter is not None:
            self._meter.close()

    # --- ProcessHandle --------------------------------------------------------------------------

    @property
    def meter(self) -> Meter:
        return self._meter or NO_METER

    async def show_code(self, code_dir: Path) -> str:
        await asyncio.to_thread(fill_view, self._place.view, code_dir)
        return str(CODE_DIR)

    def admit_socket(self, path: Path) -> None:
        self._place.admit(path)

    @property
    def over(self) -> bool:
        return self._due is not None or self._exited.done()

    @property
    def is_seen(self) -> bool:
        """Whether its processes are, so that `pause` can do something."""
        return self._found_tree() is not None

    def _found_tree(self) -> ProcessTree | None:
        """Looked for when it is needed and not at the start: for a moment after it the process is still
        the runtime's helper, which only then becomes the init."""
        process = self._process
        if self._tree is None and process is not None and process.name == _INIT:
            self._tree = ProcessTree(process.pid, walled=True)
        return self._tree

    def pause(self) -> bool:
        """Nothing to do where its processes are not seen: an engine elsewhere, a worker that may not
        signal them, a runtime that is not a plain one (gVisor, a virtual machine)."""
        tree = self._found_tree()
        return tree is not None and not self._exited.done() and tree.stop()

    def resume(self) -> None:
        if self._tree is not None and not self._exited.done():
            self._tree.resume()

    def kill(self) -> None:
        if self._exited.done() or self._killed:
            return
        self._killed = True
        if self._process is not None:
            self._process.kill()  # in 2 ms, and without an engine
        else:
            self._do(self._kill_by_engine(), "kill")

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exited)

    async def remove(self) -> None:
        if self._due is not None:
            self._due.cancel()
        for task in self._tasks:
            task.cancel()
        if self._process is not None:
            self._discard_guard()
            self._process.close()
        try:
            await self._engine.remove(self.container_id)
        except SandboxError as error:
            _log.warning(
                "docker_container_not_removed",
                container=self.container_id[:12],
                reason=str(error),
                hint="it is removed when the engine answers again",
            )
        await asyncio.to_thread(self._place.remove)
        if self._meter is not None:  # last: what ended just now still asks it
            self._meter.close()

    # --- signs of the end -----------------------------------------------------------------------

    def on_event(self, event: EngineEvent) -> None:
        """An event of this container."""
        if event.action == "oom":
            self._oom = True
        elif event.action == "kill":
            self._lost = self._lost or "somebody stopped its container"
        elif event.action == "die":
            self._begin_judging(event.exit_code)

    def on_engine_lost(self) -> None:
        """The engine ended: it may take its containers with it."""
        self._lost = "the Docker engine ended"

    def on_engine_connected(self) -> None:
        """The engine is back and this container still runs."""
        self._lost = ""

    def on_not_running(self) -> None:
        """The engine's list says that it has ended, or is gone."""
        self._begin_judging(None)

    def _on_process_gone(self) -> None:
        self._tree = None  # its number may soon be another process's
        if self._meter is not None:
            self._meter.keep()
        self._discard_guard()
        if self._killed:
            self._settle(KILLED_BY_US)
        elif self._lost:
            self._settle(lost_exit(self._lost))
        else:
            self._begin_waiting()
            self._loop.call_later(_EVENT_WAIT_S, self._begin_judging, None)

    def _begin_waiting(self) -> None:
        if self._due is None:
            self._due = self._loop.call_later(_DUE_S, self._on_due)

    def _on_due(self) -> None:
        """The engine did not tell in time: nobody can be blamed but us."""
        self._settle(
            self._known or lost_exit(self._lost or "the Docker engine did not tell how it ended")
        )

    def _discard_guard(self) -> None:
        if self._guard is not None and self._process is not None:
            self._guard.discard(self._process.pid)

    def _begin_judging(self, code: int | None) -> None:
        if self._killed:
            self._settle(KILLED_BY_US)
        elif not self._judging and not self._exited.done():
            self._judging = True
            self._begin_waiting()
            self._do(self._judge(code), "end")

    async def _judge(self, code: int | None) -> None:
        try:
            oom = self._oom
            if code is None or (code == _SIGKILL_CODE and not oom):
                state = await self._final_state()
                if state is None:
                    self._settle(lost_exit(self._lost or "somebody removed its container"))
                    return
                code, oom = state.exit_code, oom or state.oom_killed
            if self._killed:
                self._settle(KILLED_BY_US)
            elif self._lost and not oom:
                self._settle(lost_exit(self._lost))
            else:
                self._known = exit_of(code, oom_killed=oom, output=b"")
                if code != _SIGKILL_CODE:
                    output = await self._engine.output_tail(self.container_id)
                    self._known = replace(self._known, output=output)
                self._settle(self._known)
        except SandboxError as error:
            _log.warning(
                "docker_end_not_known", container=self.container_id[:12], reason=str(error)
            )
            self._settle(lost_exit(self._lost or "the Docker engine does not answer"))

    async def _final_state(self) -> ContainerState | None:
        """What the engine says once it knows of the end; None when it has no such container."""
        while True:
            state = await self._engine.state(self.container_id)
            if state is None or not state.running or self._exited.done():
                return state
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _kill_by_engine(self) -> None:
        """Until it is gone: the engine may be away for a while."""
        while not self._exited.done():
            try:
                await self._engine.kill(self.container_id)
                if await self._engine.state(self.container_id) is None:
                    self._settle(KILLED_BY_US)
            except SandboxError as error:
                _log.warning(
                    "docker_kill_failed", container=self.container_id[:12], reason=str(error)
                )
            await asyncio.wait({self._exited}, timeout=_KILL_RETRY_S)

    def _settle(self, exit_: Exit) -> None:
        if not self._exited.done():
            self._exited.set_result(exit_)

    def _do(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = self._loop.create_task(work, name=f"{what} of container {self.container_id[:12]}")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("docker_watch_failed", exc_info=task.exception(), what=task.get_name())
            self._settle(lost_exit("the worker failed to watch it"))
