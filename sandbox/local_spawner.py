"""What rungs share whose sandboxes are processes of this machine: folders, listeners, registry."""

from __future__ import annotations

import asyncio
import os
import stat
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.api import Sandbox, SandboxError, SandboxSpec, Spawner
from sandbox.channel import ChannelListener, check_channel_path
from sandbox.egress.access import EgressAccess
from sandbox.folders import remove_sandbox_folder, sandbox_folder, sweep
from sandbox.handle import ProcessHandle
from sandbox.node_runtimes import NodeRuntime, find_node_runtimes
from sandbox.node_sandbox import NodeSandbox
from sandbox.orphan_guard import OrphanGuard

CHANNEL = "channel"
"""Name of the channel's socket in a sandbox's folder."""
# Room for a sandbox id of this length is checked at start rather than at the first call.
_USUAL_ID_LENGTH = 24


class LocalSpawner(Spawner):
    """A rung says how it launches one process; the rest is here.

    `run_dir` holds the sandboxes' folders; one live worker has it for itself. `bootstrap_dir` is the
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
        self._run_dir = run_dir
        self._bootstrap_dir = bootstrap_dir.absolute()
        self._node_paths = node_paths
        self._egress = egress
        self._runtimes: Mapping[int, NodeRuntime] = {}
        self._sandboxes: dict[str, NodeSandbox] = {}
        self._guard = OrphanGuard()
        self._stopped = True

    @abstractmethod
    async def _make_ready(self, leftovers: int) -> None:
        """Called last in `start`: `leftovers` sandboxes of a dead worker were removed. Raises
        SandboxError when this rung does not work here."""

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
        swept = await asyncio.to_thread(self._prepare_folders)
        self._runtimes = await find_node_runtimes(self._node_paths)
        await self._make_ready(swept)
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
        await asyncio.to_thread(self._guard.stop)

    def node_majors(self) -> Sequence[int]:
        return list(self._runtimes)

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
            self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._require_own_run_dir()
            # Resolved: what /proc says about working directories is.
            self._run_dir = self._run_dir.resolve(strict=True)
            swept = sweep(self._run_dir)
        except OSError as error:
            raise SandboxError(
                f"the run directory {self._run_dir} is not usable: {error.strerror}.",
                what_next="It must be a directory that this user can write.",
            ) from error
        check_channel_path(sandbox_folder(self._run_dir, "x" * _USUAL_ID_LENGTH) / CHANNEL)
        return swept

    def _require_own_run_dir(self) -> None:
        """Its path can be guessed and its parent may be open to all: somebody else's folder or link in
        its place would give them our sockets, and us their files to sweep."""
        found = self._run_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise SandboxError(
                f"{self._run_dir} is not a directory of this user.",
                what_next="Remove it, or set TMPDIR to a directory that only this user can write.",
            )
        self._run_dir.chmod(0o700)
