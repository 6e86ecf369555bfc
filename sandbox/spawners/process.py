"""The rung without isolation: a plain Node process. For development only.

A function may read the worker's files, reach its network and signal its processes. What holds even
here: nothing of the worker's environment, its own process group, its own writable folder, no
process and no file left behind.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from sandbox.api import SandboxSpec
from sandbox.handle import ProcessHandle
from sandbox.local_process import LocalProcess
from sandbox.local_spawner import CHANNEL, LocalSpawner
from sandbox.node_command import node_command, node_environment
from sandbox.node_runtimes import NodeRuntime

_log = structlog.get_logger(__name__)

_HOME = "work"


class ProcessSpawner(LocalSpawner):
    """Starts Node beside the worker, unprotected. `start` warns: this rung protects nobody."""

    rung = "process"
    isolates = False

    async def _make_ready(self, leftovers: int) -> None:
        _log.warning(
            "sandbox_without_isolation",
            rung=self.rung,
            hint="functions can read this user's files, use the network and reach other functions;"
            " run only code that you trust",
            run_dir=str(self._run_dir),
            leftovers_removed=leftovers,
        )

    def _launch(self, folder: Path, runtime: NodeRuntime, spec: SandboxSpec) -> ProcessHandle:
        home = folder / _HOME
        home.mkdir(mode=0o700)
        return LocalProcess.start(
            node_command(
                node=runtime.path, bootstrap_dir=self._bootstrap_dir, memory_mb=spec.memory_mb
            ),
            environment=node_environment(node=runtime.path, home=home, channel=folder / CHANNEL),
            working_dir=home,
            folder=folder,
            guard=self._guard,
        )
