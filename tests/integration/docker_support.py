"""The docker rung's tests share an engine's client, a function that does what it is told, and short ways
to start a spawner and call that function."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import docker  # type: ignore[import-untyped]
import pytest

from sandbox.api import (
    Binding,
    Ending,
    Invocation,
    Limits,
    OutcomeKind,
    Sandbox,
    SandboxSpec,
    Spawner,
)
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.spawners.docker import DockerSpawner
from sandbox.spawners.docker_fitness import engine_url
from sandbox.spawners.docker_options import OWNER_LABEL, owner_of
from sandbox.testing_functions import RecordingHost


@contextmanager
def engine_client() -> Iterator[Any]:
    """The SDK's own; without an engine the caller's module is skipped, in CI it fails."""
    url = engine_url()
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.connect(url.removeprefix("unix://"))
        except OSError as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"no Docker engine answers at {url}: {error}")
    client = docker.APIClient(base_url=url, version="auto", timeout=20)
    try:
        yield client
    finally:
        client.close()


def function_folder(folder: Path) -> Path:
    """With the code of `SOURCE` in it."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "index.js").write_text(SOURCE)
    return folder


def make(folder: Path, **more: Any) -> DockerSpawner:
    more.setdefault("bootstrap_dir", bootstrap_dir())
    return DockerSpawner(run_dir=folder / "run", views_dir=folder / "views", **more)


def containers(engine: Any, folder: Path) -> list[str]:
    label = f"{OWNER_LABEL}={owner_of((folder / 'run').resolve())}"
    return [item["Id"] for item in engine.containers(all=True, filters={"label": label})]


SOURCE = """
const fs = require('fs'), os = require('os'), net = require('net'), cp = require('child_process');
const attempt = (f) => { try { return f() ?? null; } catch (e) { return e.code || e.name; } };
const kept = [];
const actions = {
  count: () => kept.push(1),
  title: (ctx) => { process.title = ctx.args.title; },
  walls: () => ({
    user: os.userInfo().username,
    uid: process.getuid(), gid: process.getgid(), groups: process.getgroups(),
    root: attempt(() => fs.writeFileSync('/x', '')),
    code: attempt(() => fs.writeFileSync('/code/x', '')),
    channel: attempt(() => fs.readdirSync('/channel')),
    unlink: attempt(() => fs.unlinkSync('/channel/channel')),
    interfaces: attempt(() => Object.keys(os.networkInterfaces())),
    resolv: attempt(() => fs.readFileSync('/etc/resolv.conf', 'utf8')
      .split('\\n').filter((line) => line.startsWith('nameserver'))),
    status: Object.fromEntries(fs.readFileSync('/proc/self/status', 'utf8').split('\\n')
      .map((line) => line.split(':\\t')).filter(([k]) => ['CapEff', 'CapBnd', 'NoNewPrivs',
        'Seccomp'].includes(k))),
    environment: Object.keys(process.env).sort(),
    top: fs.readdirSync('/').sort(),
    shm: attempt(() => fs.writeFileSync('/dev/shm/x', '')),
    limits: fs.readFileSync('/proc/self/limits', 'utf8').split('\\n')
      .filter((line) => /^Max (open files|core)/.test(line)).map((line) => line.split(/\\s{2,}/)[2]),
  }),
  loopback: () => new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.end('hello')).listen(0, 'localhost', () => {
      net.connect(server.address().port, 'localhost')
        .on('data', (data) => { server.close(); resolve(String(data)); }).on('error', reject);
    }).on('error', reject);
  }),
  outside: () => new Promise((resolve) => {
    net.connect(80, '192.0.2.1').on('connect', () => resolve('connected'))
      .on('error', (error) => resolve(error.code));
  }),
  noexec: () => {
    fs.writeFileSync('/tmp/x', '#!/usr/local/bin/node\\n', { mode: 0o755 });
    return attempt(() => { throw cp.spawnSync('/tmp/x').error; });
  },
  disk: () => {
    const block = Buffer.alloc(1 << 20);
    const fd = fs.openSync('/tmp/big', 'w');
    for (let i = 0; i < 200; i += 1) {
      const said = attempt(() => { fs.writeSync(fd, block); });
      if (said) { fs.closeSync(fd); fs.unlinkSync('/tmp/big'); return [i, said]; }
    }
    return null;
  },
  inodes: () => {
    for (let i = 0; i < 20000; i += 1) {
      const said = attempt(() => { fs.writeFileSync('/tmp/f' + i, ''); });
      if (said) return [i, said];
    }
    return null;
  },
  forks: async () => {
    for (let i = 0; i < 200; i += 1) {
      const code = 'setInterval(() => {}, 1e6)';
      const child = cp.spawn(process.execPath, ['-e', code], { detached: true });
      const said = await new Promise((resolve) => {
        child.on('error', (e) => resolve(e.code));
        child.on('spawn', () => resolve(null));
      });
      if (said) return [i, said];
      child.unref();
    }
    return null;
  },
  buffers: () => { for (;;) kept.push(Buffer.alloc(1 << 22, 1)); },
  heap: () => { for (;;) kept.push({ a: [1] }); },
  abort: () => process.abort(),
  kill: () => { process.kill(process.pid, 'SIGKILL'); return new Promise(() => {}); },
  segv: () => { process.kill(process.pid, 'SIGSEGV'); return new Promise(() => {}); },
  exit: (ctx) => process.exit(ctx.args.code),
  spin: () => { for (;;); },
  never: (ctx) => { ctx.logger.info('here'); return new Promise(() => {}); },
};
module.exports = async (ctx) => actions[ctx.args.do](ctx);
"""


@asynccontextmanager
async def started(folder: Path, **more: Any) -> AsyncIterator[DockerSpawner]:
    spawner = make(folder, **more)
    await spawner.start()
    try:
        yield spawner
    finally:
        await spawner.stop()


async def bound(
    spawner: Spawner, folder: Path, sandbox_id: str = "one", memory_mb: int = 128
) -> Sandbox:
    spec = SandboxSpec(
        sandbox_id=sandbox_id, node_major=24, memory_mb=memory_mb, limits=Limits(stop_grace_s=10)
    )
    sandbox = await spawner.spawn(spec)
    binding = Binding(
        space_id="mp-space", function="f", deployment_id="d", code_dir=folder / "code"
    )
    ending = await sandbox.bind(binding, request_id="load", host=RecordingHost())
    assert ending.kind is OutcomeKind.OK, ending
    return sandbox


async def do(sandbox: Sandbox, action: str, timeout_s: float = 30.0, **args: Any) -> Ending:
    invocation = Invocation(
        request_id=f"req-{action}",
        args=json.dumps({"do": action, **args}).encode(),
        env={},
        timeout_s=timeout_s,
    )
    return await sandbox.run(invocation, RecordingHost())


async def value(sandbox: Sandbox, action: str) -> Any:
    ending = await do(sandbox, action)
    assert ending.kind is OutcomeKind.OK, ending
    return json.loads(ending.value or b"null")


WORKER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from docker_support import bound, do, make

async def main():
    spawner = make(Path({folder!r}))
    await spawner.start()
    sandbox = await bound(spawner, Path({folder!r}))
    run = asyncio.create_task(do(sandbox, {action!r}))
    await asyncio.sleep(0)
    print("up", flush=True)
    await run

asyncio.run(main())
"""


async def killed_worker(folder: Path, action: str = "never") -> None:
    """One that was killed while its function was at `action`; its run directory is `folder / "run"`."""
    source = WORKER.format(tests=str(Path(__file__).parent), folder=str(folder), action=action)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    while (await worker.stdout.readline()) not in {b"up\n", b""}:
        pass
    worker.kill()
    await worker.communicate()
