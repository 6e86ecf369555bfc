"""The rung without isolation: a plain Node process. For development only.

A function may read the worker's files, reach its network and signal its processes. What holds even
here: nothing of the worker's environment, its own process group, its own writable folder, no
process and no file left behind.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from sandbox.api import Sandbox, SandboxError, SandboxSpec, Spawner
from sandbox.channel import ChannelListener, check_channel_path
from sandbox.folders import remove_sandbox_folder, sandbox_folder, sweep
from sandbox.local_process import LocalProcess
from sandbox.node_command import node_command, node_environment
from sandbox.node_runtimes import NodeRuntime, find_node_runtimes
from sandbox.node_sandbox import NodeSandbox
from sandbox.orphan_guard import OrphanGuard

_log = structlog.get_logger(__name__)

_CHANNEL = "channel"
_HOME = "work"
# Room for a sandbox id of this length is checked at start rather than at the first call.
_USUAL_ID_LENGTH = 24


class ProcessSpawner(Spawner):
    """Starts Node beside the worker, unprotected.

    `run_dir` holds the sandboxes' sockets and writable folders; one live worker has it for itself.
    `bootstrap_dir` is the folder of `index.mjs`. `node_paths` adds executables
    (`sandbox.node_runtimes.parse_node_paths`).
    """

    rung = "process"
    isolates = False

    def __init__(self, *, run_dir: Path, bootstrap_dir: Path, node_paths: str = "") -> None:
        self._run_dir = run_dir
        self._bootstrap_dir = bootstrap_dir.absolute()
        self._node_paths = node_paths
        self._runtimes: Mapping[int, NodeRuntime] = {}
        self._sandboxes: dict[str, NodeSandbox] = {}
        self._guard = OrphanGuard()
        self._stopped = True

    async def start(self) -> None:
        """Also warns: this rung protects nobody."""
        if os.name != "posix":
            raise SandboxError(
                "the process rung needs unix sockets, which this system does not have.",
                what_next="Run Yunhan on Linux, in WSL or in a container.",
            )
        swept = await asyncio.to_thread(self._prepare_folders)
        self._runtimes = await find_node_runtimes(self._node_paths)
        self._stopped = False
        _log.warning(
            "sandbox_without_isolation",
            rung=self.rung,
            hint="functions can read this user's files, use the network and reach other functions;"
            " run only code that you trust",
            run_dir=str(self._run_dir),
            leftovers_removed=swept,
        )

    async def spawn(self, spec: SandboxSpec) -> Sandbox:
        if self._stopped:
            raise SandboxError("the process spawner is not started.")
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
            listener = ChannelListener(folder / _CHANNEL)
            process = self._start_process(folder, runtime.path, spec, listener)
        except BaseException:
            remove_sandbox_folder(folder)
            raise
        sandbox = NodeSandbox(
            spec, process, on_removed=lambda: self._sandboxes.pop(spec.sandbox_id, None)
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
        check_channel_path(sandbox_folder(self._run_dir, "x" * _USUAL_ID_LENGTH) / _CHANNEL)
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

    def _start_process(
        self, folder: Path, node: Path, spec: SandboxSpec, listener: ChannelListener
    ) -> LocalProcess:
        home = folder / _HOME
        try:
            home.mkdir(mode=0o700)
            return LocalProcess.start(
                node_command(
                    node=node, bootstrap_dir=self._bootstrap_dir, memory_mb=spec.memory_mb
                ),
                environment=node_environment(node=node, home=home, channel=folder / _CHANNEL),
                working_dir=home,
                folder=folder,
                guard=self._guard,
            )
        except BaseException:
            listener.close()
            raise
