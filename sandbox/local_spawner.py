"""What rungs share whose sandboxes are processes of this machine: folders, listeners, registry."""

from __future__ import annotations

import asyncio
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from sandbox.api import Sandbox, SandboxError, SandboxSpec, Spawner
from sandbox.call_budget import CallBudget
from sandbox.channel import ChannelListener, check_channel_path
from sandbox.egress.access import EgressAccess
from sandbox.folders import remove_sandbox_folder, sandbox_folder
from sandbox.handle import ProcessHandle
from sandbox.node_runtimes import NodeRuntime, find_node_runtimes
from sandbox.node_sandbox import NodeSandbox
from sandbox.orphan_guard import OrphanGuard
from sandbox.run_directory import RunDirectory

_log = structlog.get_logger(__name__)

CHANNEL = "channel"
"""Name of the channel's socket in a sandbox's folder."""
# Room for a sandbox id of this length is checked at start rather than at the first call.
_USUAL_ID_LENGTH = 24


class LocalSpawner(Spawner):
    """A rung says how it launches one process; the rest is here.

    `run_dir` holds the sandboxes' folders; one live worker has it for itself, from `start` to `stop`,
    which removes it. `start` also removes those beside it whose worker is dead. `bootstrap_dir` is the
    folder of `index.mjs`. `node_paths` adds executables (`sandbox.node_runtimes.parse_node_paths`).
    `egress` is the only way to the network on rungs that have none; None = no way.
    """

    def __init__(
        self,
        *,
        run_dir: Path,
        bootstrap_dir: Path,
        node_paths: str = "",
        egress: EgressAccess | None = None,
    ) -> None:
        self._directory = RunDirectory(run_dir, self.rung)
        self._bootstrap_dir = bootstrap_dir.absolute()
        self._node_paths = node_paths
        self._egress = egress
        self._runtimes: Mapping[int, NodeRuntime] = {}
        self._call_budget = CallBudget()
        self._sandboxes: dict[str, NodeSandbox] = {}
        self._guard = OrphanGuard()
        self._stopped = True

    @abstractmethod
    async def _make_ready(self, leftovers: int) -> None:
        """Called last in `start`: `leftovers` sandboxes of a dead worker were removed. Raises
        SandboxError when this rung does not work here."""

    async def _make_unready(self) -> None:
        """The other half of `_make_ready`, also of one that failed: no sandbox is left. Idempotent."""

    @abstractmethod
    def _launch(self, folder: Path, runtime: NodeRuntime, spec: SandboxSpec) -> ProcessHandle:
        """Start the process of a sandbox whose channel is at `folder / CHANNEL`. Must not block for long.
        Raises SandboxError, and leaves nothing but files in `folder` behind then."""

    async def start(self) -> None:
        if os.name != "posix":
            raise SandboxError(
                f"the {self.rung} rung needs unix sockets, which this system does not have.",
                what_next="Run Yunhan on Linux, in WSL or in a container.",
            )
        try:
            swept = await asyncio.to_thread(self._prepare_folders)
            self._runtimes = await find_node_runtimes(self._node_paths)
            await self._make_ready(swept)
        except BaseException:
            await self._close()
            raise
        self._stopped = False

    async def spawn(self, spec: SandboxSpec) -> Sandbox:
        if self._stopped:
            raise SandboxError(f"the {self.rung} spawner is not started.")
        runtime = self._runtimes.get(spec.node_major)
        if runtime is None:
            raise SandboxError(
                f"Node.js {spec.node_major} is not installed, only {list(self._runtimes)}."
            )
        if spec.sandbox_id in self._sandboxes:
            raise SandboxError(f"a sandbox {spec.sandbox_id} exists already.")
        folder = sandbox_folder(self._run_dir, spec.sandbox_id)
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise SandboxError(f"the folder {folder} cannot be made: {error.strerror}.") from error
        try:
            listener = ChannelListener(folder / CHANNEL)
            process = self._launch_or_close(folder, runtime, spec, listener)
        except BaseException:
            remove_sandbox_folder(folder)
            raise
        sandbox = NodeSandbox(
            spec,
            process,
            egress=self._egress,
            call_budget=self._call_budget,
            folder=folder,
            on_removed=lambda: self._sandboxes.pop(spec.sandbox_id, None),
        )
        self._sandboxes[spec.sandbox_id] = sandbox
        await sandbox.connect(listener)
        return sandbox

    async def stop(self) -> None:
        self._stopped = True
        sandboxes = list(self._sandboxes.values())
        await asyncio.gather(*(sandbox.stop() for sandbox in sandboxes))
        await self._close()

    @property
    def _run_dir(self) -> Path:
        return self._directory.path

    def node_majors(self) -> Sequence[int]:
        return list(self._runtimes)

    async def _close(self) -> None:
        await asyncio.to_thread(self._guard.stop)
        await self._make_unready()
        # Last: by it the next start finds whatever else a worker left that died on its way here.
        await asyncio.to_thread(self._directory.release)

    def _launch_or_close(
        self, folder: Path, runtime: NodeRuntime, spec: SandboxSpec, listener: ChannelListener
    ) -> ProcessHandle:
        try:
            return self._launch(folder, runtime, spec)
        except BaseException:
            listener.close()
            raise

    def _prepare_folders(self) -> int:
        """Check them and remove leftovers; how many there were."""
        if not (self._bootstrap_dir / "index.mjs").is_file():
            raise SandboxError(f"{self._bootstrap_dir} has no index.mjs, the sandbox's entry.")
        try:
            swept = self._directory.acquire()
            reclaimed = self._directory.reclaim_others()
        except OSError as error:
            raise SandboxError(
                f"the run directory {self._run_dir} is not usable: {error.strerror}.",
                what_next="It must be a directory that this user can write.",
            ) from error
        if reclaimed:
            _log.info(
                "run_dirs_of_dead_workers_removed", run_dirs=[str(path) for path in reclaimed]
            )
        check_channel_path(sandbox_folder(self._run_dir, "x" * _USUAL_ID_LENGTH) / CHANNEL)
        return swept
