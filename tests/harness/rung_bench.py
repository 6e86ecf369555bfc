"""One sandbox on any rung, for tests that hold on all of them; a program of its own, to be killed.

`python -m tests.harness.rung_bench RUNG FOLDER` runs `leave` once, waits until its processes are stopped,
prints their numbers as JSON and waits to be killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sandbox.api import Binding, Ending, Invocation, Limits, OutcomeKind, SandboxError, SandboxSpec
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.egress.access import EgressAccess
from sandbox.landlock_privileges import check_privileges
from sandbox.landlock_rules import landlock_abi
from sandbox.memory_watcher import children_by_parent, descendants
from sandbox.node_sandbox import NodeSandbox
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.docker import DockerSpawner
from sandbox.spawners.docker_fitness import engine_url
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.spawners.process import ProcessSpawner
from sandbox.testing_functions import RecordingHost
from tests.harness.polling import until
from tests.harness.processes import stat_of

RUNGS = ("process", "bubblewrap", "bubblewrap without cgroups", "landlock", "docker")


def missing(rung: str) -> str | None:
    """Why a rung cannot be tested here."""
    try:
        if rung.startswith("bubblewrap") and shutil.which("bwrap") is None:
            return "bubblewrap is not installed"
        if rung.startswith("landlock"):
            check_privileges()
            landlock_abi()
        if rung == "docker":
            with socket.socket(socket.AF_UNIX) as knock:
                knock.connect(engine_url().removeprefix("unix://"))
    except (SandboxError, OSError) as error:
        return str(error)
    return None


class RungBench:
    """One spawner in its own folder, and a sandbox of it that runs one function."""

    def __init__(self, rung: str, folder: Path, egress: EgressAccess | None = None) -> None:
        places: dict[str, Any] = {"run_dir": folder / "run", "bootstrap_dir": bootstrap_dir()}
        walled = {**places, "views_dir": folder / "views", "egress": egress}
        make: dict[str, Callable[[], Any]] = {
            "process": lambda: ProcessSpawner(**places),
            "bubblewrap": lambda: BubblewrapSpawner(**walled),
            "bubblewrap without cgroups": lambda: BubblewrapSpawner(**walled, use_cgroups=False),
            "landlock": lambda: LandlockSpawner(**walled),
            "landlock without cgroups": lambda: LandlockSpawner(**walled, use_cgroups=False),
            "docker": lambda: DockerSpawner(**walled),
        }
        self.spawner = make[rung]()
        self._code = folder / "code"
        self._runs = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[RungBench]:
        await self.spawner.start()
        try:
            yield self
        finally:
            await self.spawner.stop()

    async def bound(
        self, script: str, *, assets: Mapping[str, bytes] | None = None, **limits: Any
    ) -> NodeSandbox:
        """A sandbox that runs `script`, the text of a CommonJS module, with other files beside it."""
        self._code.mkdir()
        for name, content in (assets or {}).items():
            (self._code / name).write_bytes(content)
        (self._code / "index.js").write_text(script)
        spec = SandboxSpec(sandbox_id="one", node_major=24, memory_mb=256, limits=Limits(**limits))
        sandbox = await self.spawner.spawn(spec)
        assert isinstance(sandbox, NodeSandbox)
        binding = Binding(space_id="s", function="f", deployment_id="d", code_dir=self._code)
        ending = await sandbox.bind(binding, request_id="load", host=RecordingHost())
        assert ending.kind is OutcomeKind.OK, ending
        return sandbox

    async def run(
        self,
        sandbox: NodeSandbox,
        do: str,
        host: RecordingHost | None = None,
        *,
        timeout_s: float = 30,
        **args: Any,
    ) -> Ending:
        self._runs += 1
        invocation = Invocation(
            request_id=f"r{self._runs}",
            args=json.dumps({"do": do, **args}).encode(),
            env={},
            timeout_s=timeout_s,
        )
        return await sandbox.run(invocation, host or RecordingHost())


def processes_of(sandbox: NodeSandbox) -> list[int]:
    """Every process of a live sandbox on this machine, those that only wait for it included."""
    handle: Any = sandbox._handle
    outermost = handle._process if hasattr(handle, "container_id") else handle
    return descendants(outermost.pid, children_by_parent())


def state(pid: int) -> str:
    """As in ps; empty when there is none."""
    try:
        return stat_of(pid)[0]
    except OSError:
        return ""


def ticks(pids: list[int]) -> int:
    """Processor time that they have used."""
    used = 0
    for pid in pids:
        fields = stat_of(pid)
        used += int(fields[11]) + int(fields[12])
    return used


def stopped(sandbox: NodeSandbox) -> list[int]:
    return [pid for pid in processes_of(sandbox) if state(pid) == "T"]


LEAVE = """
const cp = require('node:child_process');
const { pbkdf2Sync } = require('node:crypto');
const http = require('node:http');
const agent = new http.Agent({ keepAlive: true });
let count = 0;
let child;
const actions = {
  count: () => ++count,
  // works on in this process and in two others, one of which left its group
  leave: (ctx) => {
    setInterval(() => {
      console.log('late');
      pbkdf2Sync('a', 'b', 20000, 32, 'sha256');
    }, 1);
    for (const detached of [false, true]) {
      child = cp.spawn(process.execPath, ['-e', 'for (;;);'], { detached, stdio: 'ignore' });
    }
    return new Promise((resolve) => child.on('spawn', () => resolve(ctx.args.do)));
  },
  throwLater: (ctx) => {
    setTimeout(() => { throw new Error('late'); }, ctx.args.ms);
  },
  wait: async (ctx) => { await ctx.mpserverless.function.invoke('gate', {}); return ++count; },
  get: (ctx) => new Promise((resolve, reject) => {
    http.get(ctx.args.url, { agent }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode));
    }).on('error', reject);
  }),
};
module.exports = async (ctx) => actions[ctx.args.do](ctx);
"""
PROCESSES_LEFT = 3
"""How many processes `leave` leaves behind, Node's own included."""


async def main(rung: str, folder: Path) -> None:
    async with RungBench(rung, folder).open() as bench:
        sandbox = await bench.bound(LEAVE)
        assert (await bench.run(sandbox, "leave")).kind is OutcomeKind.OK
        await until(lambda: len(stopped(sandbox)) == PROCESSES_LEFT, "all is stopped")
        os.write(1, json.dumps(processes_of(sandbox)).encode() + b"\n")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
