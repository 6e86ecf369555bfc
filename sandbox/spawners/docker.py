"""The rung of containers: one hardened container of a local Docker engine per sandbox.

Strong as the runtime behind it: `runc` shares the host's kernel behind namespaces, limits and a system
call filter; `runsc` (gVisor) has a kernel of its own. What it needs: a Docker Engine 20.10 or later
on this machine, reached by a unix socket; no other privilege for the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from sandbox.api import Sandbox, SandboxError, SandboxSpec, Spawner
from sandbox.channel import ChannelListener
from sandbox.code_view import sweep_views
from sandbox.egress.access import EgressAccess
from sandbox.folders import sweep
from sandbox.node_runtimes import find_node_runtimes
from sandbox.node_sandbox import NodeSandbox
from sandbox.orphan_guard import OrphanGuard
from sandbox.spawners.docker_build import ensure_image
from sandbox.spawners.docker_engine import DockerEngine
from sandbox.spawners.docker_events import EngineEvent, EngineEvents
from sandbox.spawners.docker_fitness import check_engine, engine_url
from sandbox.spawners.docker_handle import DockerHandle
from sandbox.spawners.docker_image import SCRATCH, docker_files_dir
from sandbox.spawners.docker_options import DockerOptions, container_config, owner_of
from sandbox.spawners.docker_place import Place, check_run_dir, own_dir

_log = structlog.get_logger(__name__)

_PROBE_MEMORY_MB = 128


class DockerSpawner(Spawner):
    """Starts one container per sandbox.

    `run_dir` holds the sockets, `views_dir` the code as sandboxes see it (on the file system of the
    unpacked code); both belong to one live worker alone and must have the same path on the engine's
    machine. `docker_host` is the engine's address, by default DOCKER_HOST or the usual socket.
    `spawns_max` bounds the starts under way; `reconcile_s` is the time between two comparisons with
    the engine.
    """

    rung = "docker"
    isolates = True

    def __init__(
        self,
        *,
        run_dir: Path,
        views_dir: Path,
        bootstrap_dir: Path,
        node_paths: str = "",
        docker_host: str = "",
        base_image: str = SCRATCH,
        options: DockerOptions | None = None,
        egress: EgressAccess | None = None,
        spawns_max: int = 4,
        reconcile_s: float = 60.0,
    ) -> None:
        self._run_dir = run_dir
        self._views_dir = views_dir
        self._bootstrap_dir = bootstrap_dir.absolute()
        self._node_paths = node_paths
        self._docker_host = docker_host
        self._base_image = base_image
        self._options = options or DockerOptions()
        self._egress = egress
        self._spawns_max = spawns_max
        self._spawn_slots = asyncio.Semaphore(spawns_max)
        self._reconcile_s = reconcile_s
        self._images: Mapping[int, str] = {}
        self._owner = ""
        self._seccomp = ""
        self._engine: DockerEngine | None = None
        self._events: EngineEvents | None = None
        self._names: set[str] = set()
        """Of containers that this worker has, or is making."""
        self._by_container: dict[str, DockerHandle] = {}
        self._ids: set[str] = set()
        self._sandboxes: dict[str, NodeSandbox] = {}
        self._guard = OrphanGuard()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = True

    # --- Spawner --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Also builds missing images, and starts and stops one sandbox per Node.js version as a proof."""
        url = engine_url(self._docker_host)
        swept = await asyncio.to_thread(self._prepare_folders)
        engine = self._engine = DockerEngine(url, makes_max=self._spawns_max)
        try:
            check_engine(await engine.open(), url)
            self._images = await self._prepare_images(engine)
            self._events = EngineEvents(engine.new_client, self._owner, self)
            self._events.start()
            self._stopped = False
            removed = await self.reconcile()
            await self._prove()
        except BaseException:
            await self.stop()
            raise
        self._own(self._reconcile_for_ever(), "reconcile containers")
        _log.info(
            "docker_rung_started",
            engine=url,
            runtime=self._options.runtime or "the engine's default",
            images=dict(self._images),
            containers_removed=removed,
            folders_removed=swept,
        )

    async def spawn(self, spec: SandboxSpec) -> Sandbox:
        if self._stopped:
            raise SandboxError("the docker spawner is not started.")
        image = self._images.get(spec.node_major)
        if image is None:
            raise SandboxError(
                f"Node.js {spec.node_major} is not installed, only {list(self._images)}."
            )
        if spec.sandbox_id in self._ids:
            raise SandboxError(f"a sandbox {spec.sandbox_id} exists already.")
        self._ids.add(spec.sandbox_id)
        try:
            async with self._spawn_slots:
                return await self._spawn(spec, image)
        except BaseException:
            if spec.sandbox_id not in self._sandboxes:
                self._ids.discard(spec.sandbox_id)
            raise

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*(sandbox.stop() for sandbox in list(self._sandboxes.values())))
        cleaning = {task for task in self._tasks if not task.get_name().startswith("reconcile")}
        for task in self._tasks - cleaning:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        if self._events is not None:
            await self._events.stop()
        if self._engine is not None:
            await self._engine.close()
        await asyncio.to_thread(self._guard.stop)

    def node_majors(self) -> Sequence[int]:
        return list(self._images)

    async def reconcile(self) -> int:
        """Make the engine's truth ours: remove containers of ours that nobody here has, and tell
        sandboxes whose container has ended. Nothing that is running here, or being made, is touched.

        Returns how many containers were removed. Raises SandboxError. May be called at any time.
        """
        engine = self._require_engine()
        handles, names = dict(self._by_container), set(self._names)
        found = await engine.containers_of(self._owner)
        names |= set(self._names)
        leftovers = [container for container in found if container.name not in names]
        for container in leftovers:
            await engine.remove(container.id)
        running = {container.id for container in found if container.running}
        for container_id, handle in handles.items():
            if container_id in running:
                handle.on_engine_connected()
            else:
                handle.on_not_running()
        if leftovers:
            _log.info("docker_leftovers_removed", count=len(leftovers))
        return len(leftovers)

    # --- EventsPeer -----------------------------------------------------------------------------

    def on_engine_event(self, event: EngineEvent) -> None:
        handle = self._by_container.get(event.container_id)
        if handle is not None:
            handle.on_event(event)

    def on_engine_connected(self) -> None:
        if not self._stopped:
            self._own(self._reconcile_once(), "reconcile containers after a connection")

    def on_engine_lost(self) -> None:
        for handle in list(self._by_container.values()):
            handle.on_engine_lost()

    # --- one sandbox ----------------------------------------------------------------------------

    async def _spawn(self, spec: SandboxSpec, image: str) -> Sandbox:
        if self._stopped:  # while it waited for its turn
            raise SandboxError("the docker spawner is not started.")
        place = Place.choose(spec.sandbox_id, self._owner, self._run_dir, self._views_dir)
        self._names.add(place.name)
        # A task of its own: the engine does not know about cancellation, so what it is doing is
        # awaited before it is undone.
        making = asyncio.create_task(self._make(place, spec, image), name=f"make {place.name}")
        self._tasks.add(making)
        making.add_done_callback(self._tasks.discard)
        try:
            handle, listener = await asyncio.shield(making)
        except BaseException:
            # The id is free when nothing is left.
            await asyncio.shield(self._own(self._undo(making, place), f"undo {place.name}"))
            raise
        sandbox = NodeSandbox(
            spec,
            handle,
            egress=self._egress,
            folder=place.folder,
            on_removed=lambda: self._forget(spec.sandbox_id, place, handle),
        )
        self._sandboxes[spec.sandbox_id] = sandbox
        await sandbox.connect(listener)
        return sandbox

    async def _make(
        self, place: Place, spec: SandboxSpec, image: str
    ) -> tuple[DockerHandle, ChannelListener]:
        engine = self._require_engine()
        listener = await asyncio.to_thread(place.make)
        try:
            config = container_config(
                spec,
                self._options,
                image=image,
                owner=self._owner,
                folder=place.folder,
                view=place.view,
                seccomp=self._seccomp,
                egress=self._egress is not None,
            )
            container_id = await engine.create(place.name, config)
            handle = DockerHandle(engine, container_id, place)
            # Before it starts: the events of its end must find it.
            self._by_container[container_id] = handle
            try:
                handle.watch((await engine.start(container_id)).pid, self._guard)
            except BaseException:
                del self._by_container[container_id]
                raise
        except BaseException:
            listener.close()
            raise
        return handle, listener

    async def _undo(
        self, making: asyncio.Task[tuple[DockerHandle, ChannelListener]], place: Place
    ) -> None:
        """Take down what a start that failed or was cancelled has made."""
        await asyncio.wait({making})
        if not making.cancelled() and making.exception() is None:
            handle, listener = making.result()
            listener.close()
            handle.kill()
            await handle.remove()
            self._by_container.pop(handle.container_id, None)
        else:
            try:
                await self._require_engine().remove(place.name)
            except SandboxError as error:
                _log.warning(
                    "docker_container_not_removed", container=place.name, reason=str(error)
                )
            await asyncio.to_thread(place.remove)
        self._names.discard(place.name)

    def _forget(self, sandbox_id: str, place: Place, handle: DockerHandle) -> None:
        self._sandboxes.pop(sandbox_id, None)
        self._ids.discard(sandbox_id)
        self._names.discard(place.name)
        self._by_container.pop(handle.container_id, None)

    # --- start ----------------------------------------------------------------------------------

    def _prepare_folders(self) -> int:
        """Check them and remove leftovers; how many there were."""
        if not (self._bootstrap_dir / "index.mjs").is_file():
            raise SandboxError(f"{self._bootstrap_dir} has no index.mjs, the sandbox's entry.")
        self._seccomp = (docker_files_dir() / "seccomp.json").read_text()
        self._run_dir = own_dir(self._run_dir)
        self._views_dir = own_dir(self._views_dir)
        self._owner = owner_of(self._run_dir)
        check_run_dir(self._run_dir)
        sweep_views(self._views_dir)
        return sweep(self._run_dir)

    async def _prepare_images(self, engine: DockerEngine) -> Mapping[int, str]:
        """Tags by Node.js version; what the engine does not have is built."""
        runtimes = await find_node_runtimes(self._node_paths)
        return {
            major: await ensure_image(engine, runtime, self._bootstrap_dir, self._base_image)
            for major, runtime in runtimes.items()
        }

    async def _prove(self) -> None:
        """That sandboxes start here, and connect to a socket of this machine. Raises SandboxError."""
        for major in self._images:
            spec = SandboxSpec(
                sandbox_id=f"probe-{major}", node_major=major, memory_mb=_PROBE_MEMORY_MB
            )
            sandbox = await self.spawn(spec)
            await sandbox.stop()

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

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("docker_task_failed", task=task.get_name(), exc_info=task.exception())

    def _require_engine(self) -> DockerEngine:
        if self._engine is None:
            raise SandboxError("the docker spawner is not started.")
        return self._engine
