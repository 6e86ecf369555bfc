"""The rung of containers: one hardened container of a local Docker engine per sandbox.

Strong as the runtime behind it: `runc` shares the host's kernel behind namespaces, limits and a system
call filter; `runsc` (gVisor) has a kernel of its own. What it needs: a Docker Engine 20.10 or later
on this machine, reached by a unix socket; no other privilege for the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog

from sandbox.api import Sandbox, SandboxError, SandboxSpec, Spawner
from sandbox.call_budget import CallBudget
from sandbox.channel import ChannelListener
from sandbox.code_view import sweep_views
from sandbox.egress.access import EgressAccess
from sandbox.node_runtimes import NodeRuntime, find_node_runtimes
from sandbox.node_sandbox import NodeSandbox
from sandbox.orphan_guard import OrphanGuard
from sandbox.run_directory import RunDirectory
from sandbox.spawners.docker_build import ensure_images
from sandbox.spawners.docker_containers import DockerContainers
from sandbox.spawners.docker_engine import DockerEngine
from sandbox.spawners.docker_errors import ImageGoneError, NameTakenError
from sandbox.spawners.docker_fitness import check_engine, engine_url
from sandbox.spawners.docker_handle import NOT_PAUSED, DockerHandle
from sandbox.spawners.docker_image import SCRATCH, check_bootstrap, docker_files_dir
from sandbox.spawners.docker_leftovers import reclaim_dead_workers, remove_unfinished
from sandbox.spawners.docker_options import DockerOptions, container_config, owner_of
from sandbox.spawners.docker_place import Place, check_run_dir, own_dir
from sandbox.spawners.docker_uids import UIDS, ContainerUids, remaps_uids, uid_range

_log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

_PROBE_MEMORY_MB = 128
_NAMES_MAX = 20  # tried when another worker has the same uids at the moment


class DockerSpawner(Spawner):
    """Starts one container per sandbox.

    `run_dir` holds the sockets, `views_dir` the code as sandboxes see it (on the file system of the
    unpacked code); both belong to one live worker alone and must have the same path on the engine's
    machine. `docker_host` is the engine's address, by default DOCKER_HOST or the usual socket. `uids` is
    the range of uids for containers ("first-last"). `spawns_max` bounds the starts under way;
    `reconcile_s` is the time between two comparisons with the engine.
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
        uids: str = "",
        spawns_max: int = 4,
        reconcile_s: float = 60.0,
    ) -> None:
        self._directory = RunDirectory(run_dir, self.rung)
        self._views_dir = views_dir
        self._bootstrap_dir = bootstrap_dir.absolute()
        self._node_paths = node_paths
        self._docker_host = docker_host
        self._base_image = base_image
        self._options = options or DockerOptions()
        self._egress = egress
        self._uid_range = uids
        self._uids = ContainerUids(UIDS)
        self._uid_is_real = True
        self._weaknesses: tuple[str, ...] = ()
        self._spawns_max = spawns_max
        self._spawn_slots = asyncio.Semaphore(spawns_max)
        self._reconcile_s = reconcile_s
        self._runtimes: Mapping[int, NodeRuntime] = {}
        self._images: Mapping[int, str] = {}
        self._building = asyncio.Lock()
        self._seccomp = ""
        self._engine: DockerEngine | None = None
        self._containers: DockerContainers | None = None
        self._may_have_containers = False
        self._ids: set[str] = set()
        self._call_budget = CallBudget()
        self._sandboxes: dict[str, NodeSandbox] = {}
        self._guard = OrphanGuard()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = True

    # --- Spawner --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Also builds missing images, and starts and stops one sandbox per Node.js version as a proof."""
        url = engine_url(self._docker_host)
        engine = self._engine = DockerEngine(url, makes_max=self._spawns_max)
        try:
            swept = await asyncio.to_thread(self._prepare_folders)
            owner = owner_of(self._directory.path)
            containers = DockerContainers(engine, owner, reconcile_s=self._reconcile_s)
            self._containers = containers
            info = await engine.open()
            check_engine(info, url)
            # A task of its own: a lock is not given back while the engine removes what it stands for.
            reclaiming = self._own(reclaim_dead_workers(engine, self._directory), "reclaim")
            removed = await asyncio.shield(reclaiming)
            self._uid_is_real = not remaps_uids(info)
            self._uids = ContainerUids(uid_range(self._uid_range, remapped=not self._uid_is_real))
            self._runtimes = await find_node_runtimes(self._node_paths)
            await self._prepare_images(remove_old=True)
            containers.start()
            removed += await containers.reconcile()
            self._may_have_containers = True
            self._stopped = False
            await self._prove(containers)
        except BaseException:
            await self.stop()
            raise
        _log.info(
            "docker_rung_started",
            engine=url,
            runtime=self._options.runtime or "the engine's default",
            images=dict(self._images),
            weaknesses=self._weaknesses,
            containers_removed=removed,
            folders_removed=swept,
        )

    async def spawn(self, spec: SandboxSpec) -> Sandbox:
        if self._stopped:
            raise SandboxError("the docker spawner is not started.")
        if spec.node_major not in self._images:
            raise SandboxError(
                f"Node.js {spec.node_major} is not installed, only {list(self._images)}."
            )
        if spec.sandbox_id in self._ids:
            raise SandboxError(f"a sandbox {spec.sandbox_id} exists already.")
        self._ids.add(spec.sandbox_id)
        try:
            async with self._spawn_slots:
                return await self._spawn_somehow(spec)
        except BaseException:
            if spec.sandbox_id not in self._sandboxes:
                self._ids.discard(spec.sandbox_id)
            raise

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*(sandbox.stop() for sandbox in list(self._sandboxes.values())))
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        left = self._may_have_containers
        if self._containers is not None:
            await self._containers.stop()
            left = left and await self._containers.may_be_left()
        if self._engine is not None:
            await self._engine.close()
        await asyncio.to_thread(self._guard.stop)
        # By it the next start finds what an engine that is away keeps of ours.
        await asyncio.to_thread(self._directory.release, keep=left)
        self._may_have_containers = False

    @property
    def weaknesses(self) -> Sequence[str]:
        """What is weaker here than this rung can be, one sentence each. After `start`."""
        return self._weaknesses

    def node_majors(self) -> Sequence[int]:
        return list(self._images)

    async def reconcile(self) -> int:
        """Make the engine's truth ours (`DockerContainers.reconcile`). Raises SandboxError."""
        return await self._require_containers().reconcile()

    # --- one sandbox ----------------------------------------------------------------------------

    async def _spawn_somehow(self, spec: SandboxSpec) -> Sandbox:
        """Whatever other workers on the engine do to names and images meanwhile."""
        rebuilt = False
        for _ in range(_NAMES_MAX):
            image = self._images[spec.node_major]
            try:
                return await self._spawn(spec, image)
            except NameTakenError:
                self._uids.skip()
            except ImageGoneError:
                if rebuilt:
                    raise
                rebuilt = True
                await self._prepare_images()
        raise SandboxError(
            f"the last {_NAMES_MAX} uids that were tried have containers of other workers.",
            what_next="Give the workers of one engine ranges of their own with YUNHAN_DOCKER_UIDS.",
        )

    async def _spawn(self, spec: SandboxSpec, image: str) -> Sandbox:
        if self._stopped:  # while it waited for its turn
            raise SandboxError("the docker spawner is not started.")
        place = Place.choose(
            spec.sandbox_id,
            self._uids.take(),
            self._directory.path,
            self._views_dir,
            uid_is_real=self._uid_is_real,
        )
        containers = self._require_containers()
        containers.begin(place.name)
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
            call_budget=self._call_budget,
            folder=place.folder,
            on_removed=lambda: self._forget(spec.sandbox_id, place, handle),
        )
        containers.end(place.name)
        self._sandboxes[spec.sandbox_id] = sandbox
        await sandbox.connect(listener)
        return sandbox

    async def _make(
        self, place: Place, spec: SandboxSpec, image: str
    ) -> tuple[DockerHandle, ChannelListener]:
        engine, containers = self._require_engine(), self._require_containers()
        listener = await asyncio.to_thread(place.make)
        try:
            config = container_config(
                spec,
                self._options,
                image=image,
                owner=containers.owner,
                uid=place.uid,
                folder=place.folder,
                view=place.view,
                seccomp=self._seccomp,
                egress=self._egress is not None,
            )
            container_id = await engine.create(place.name, config)
            handle = DockerHandle(engine, container_id, place)
            # Before it starts: the events of its end must find it.
            containers.add(handle)
            try:
                handle.watch((await engine.start(container_id)).pid, self._guard)
            except BaseException:
                containers.discard(handle)
                handle.unwatch()
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
        containers = self._require_containers()
        if not making.cancelled() and making.exception() is None:
            handle, listener = making.result()
            listener.close()
            handle.kill()
            await handle.remove()
            containers.discard(handle)
        else:
            try:
                await remove_unfinished(self._require_engine(), place.name, containers.owner)
            except SandboxError as error:
                _log.warning(
                    "docker_container_not_removed", container=place.name, reason=str(error)
                )
            await asyncio.to_thread(place.remove)
        containers.end(place.name)
        self._uids.give_back(place.uid)

    def _forget(self, sandbox_id: str, place: Place, handle: DockerHandle) -> None:
        self._sandboxes.pop(sandbox_id, None)
        self._ids.discard(sandbox_id)
        self._uids.give_back(place.uid)
        self._require_containers().discard(handle)

    # --- start ----------------------------------------------------------------------------------

    def _prepare_folders(self) -> int:
        """Check them and remove leftovers; how many there were."""
        check_bootstrap(self._bootstrap_dir)
        self._seccomp = (docker_files_dir() / "seccomp.json").read_text()
        try:
            swept = self._directory.acquire()
            self._may_have_containers = self._directory.was_left
        except OSError as error:
            raise SandboxError(
                f"the run directory {self._directory.path} is not usable: {error.strerror}.",
                what_next="It must be a directory that this user can write.",
            ) from error
        self._views_dir = own_dir(self._views_dir)
        check_run_dir(self._directory.path)
        sweep_views(self._views_dir)
        return swept

    async def _prepare_images(self, *, remove_old: bool = False) -> None:
        """What the engine does not have is built, once for all that wait for it."""
        async with self._building:
            self._images = await ensure_images(
                self._require_engine(),
                self._runtimes,
                self._bootstrap_dir,
                self._base_image,
                remove_old=remove_old,
            )

    async def _prove(self, containers: DockerContainers) -> None:
        """That sandboxes start here, and connect to a socket of this machine. Raises SandboxError."""
        for major in self._images:
            spec = SandboxSpec(
                sandbox_id=f"probe-{major}", node_major=major, memory_mb=_PROBE_MEMORY_MB
            )
            sandbox = await self.spawn(spec)
            seen = containers.all_seen
            await sandbox.stop()
            if not seen:
                self._weaknesses = (NOT_PAUSED,)

    # --- tasks ----------------------------------------------------------------------------------

    def _own(self, work: Coroutine[Any, Any, ResultT], name: str) -> asyncio.Task[ResultT]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("docker_task_failed", task=task.get_name(), exc_info=task.exception())

    def _require_engine(self) -> DockerEngine:
        if self._engine is None:
            raise SandboxError("the docker spawner is not started.")
        return self._engine

    def _require_containers(self) -> DockerContainers:
        if self._containers is None:
            raise SandboxError("the docker spawner is not started.")
        return self._containers
