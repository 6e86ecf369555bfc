"""The containers that one worker has on an engine, kept equal to what the engine says of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from sandbox.api import SandboxError
from sandbox.spawners.docker_engine import DockerEngine
from sandbox.spawners.docker_events import EngineEvent, EngineEvents
from sandbox.spawners.docker_handle import DockerHandle
from sandbox.spawners.docker_leftovers import remove_containers

_log = structlog.get_logger(__name__)


class DockerContainers:
    """Those with the label of `owner`, from `start` to `stop`. `reconcile_s` is the time between two
    comparisons with the engine."""

    def __init__(self, engine: DockerEngine, owner: str, *, reconcile_s: float) -> None:
        self.owner = owner
        self._engine = engine
        self._reconcile_s = reconcile_s
        self._names: set[str] = set()
        """Of containers that are being made."""
        self._handles: dict[str, DockerHandle] = {}
        self._events = EngineEvents(engine.new_client, owner, self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = True

    def start(self) -> None:
        self._stopped = False
        self._events.start()
        self._own(self._reconcile_for_ever(), "reconcile containers")

    async def stop(self) -> None:
        """Idempotent. Containers stay as they are."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        await self._events.stop()

    def begin(self, name: str) -> None:
        """A container of that name is being made, until `end`: leave it alone."""
        self._names.add(name)

    def end(self, name: str) -> None:
        """Idempotent."""
        self._names.discard(name)

    def add(self, handle: DockerHandle) -> None:
        """Tell it what the engine says of its container, until `discard`."""
        self._handles[handle.container_id] = handle

    def discard(self, handle: DockerHandle) -> None:
        """Idempotent."""
        self._handles.pop(handle.container_id, None)

    @property
    def all_seen(self) -> bool:
        """Whether this machine shows the processes of all of them."""
        return all(handle.is_seen for handle in self._handles.values())

    async def reconcile(self) -> int:
        """Make the engine's truth ours: remove containers of ours that nobody here has, and tell
        sandboxes whose container has ended. Nothing that is running here, or being made, is touched.

        Returns how many containers were removed. Raises SandboxError. May be called at any time.
        """
        handles, names = dict(self._handles), set(self._names)
        found = await self._engine.containers_of(self.owner)
        # What we had before or have now: the list is of some moment between.
        names |= self._names
        ids = handles.keys() | self._handles.keys()
        strange = (item for item in found if item.id not in ids and item.name not in names)
        removed = await remove_containers(self._engine, strange)
        running = {container.id for container in found if container.running}
        for container_id, handle in handles.items():
            if container_id in running:
                handle.on_engine_connected()
            else:
                handle.on_not_running()
        if removed:
            _log.info("docker_leftovers_removed", count=removed)
        return removed

    async def may_be_left(self) -> bool:
        """Whether the engine has containers of this owner, or does not answer."""
        try:
            return bool(await self._engine.containers_of(self.owner))
        except SandboxError:
            return True

    # --- EventsPeer -----------------------------------------------------------------------------

    def on_engine_event(self, event: EngineEvent) -> None:
        handle = self._handles.get(event.container_id)
        if handle is not None:
            handle.on_event(event)

    def on_engine_connected(self) -> None:
        if not self._stopped:
            self._own(self._reconcile_once(), "reconcile containers after a connection")

    def on_engine_lost(self) -> None:
        for handle in list(self._handles.values()):
            handle.on_engine_lost()

    # --- tasks ----------------------------------------------------------------------------------

    async def _reconcile_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._reconcile_s)
            await self._reconcile_once()

    async def _reconcile_once(self) -> None:
        try:
            await self.reconcile()
        except SandboxError as error:
            _log.warning("docker_reconcile_failed", reason=str(error))
        except Exception:  # noqa: BLE001 - of one time; the next one may well succeed
            _log.exception("docker_reconcile_failed")

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("docker_task_failed", task=task.get_name(), exc_info=task.exception())
