from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
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
    SandboxError,
    SandboxSpec,
    Spawner,
)
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.host_process import HostProcess
from sandbox.spawners.docker import DockerSpawner
from sandbox.spawners.docker_fitness import engine_url
from sandbox.spawners.docker_options import OWNER_LABEL, DockerOptions, owner_of
from sandbox.testing import SpawnerContract
from sandbox.testing_functions import RecordingHost, write_js_functions

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[Any]:
    """The SDK's own client; without an engine the module is skipped, in CI it fails."""
    url = engine_url()
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.connect(url.removeprefix("unix://"))
        except OSError as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"no Docker engine answers at {url}: {error}")
    client = docker.APIClient(base_url=url, version="auto", timeout=20)
    yield client
    client.close()


def make(folder: Path, **more: Any) -> DockerSpawner:
    return DockerSpawner(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        **more,
    )


def containers(engine: Any, folder: Path) -> list[str]:
    label = f"{OWNER_LABEL}={owner_of((folder / 'run').resolve())}"
    return [item["Id"] for item in engine.containers(all=True, filters={"label": label})]


class TestDockerSpawner(SpawnerContract):
    def make_spawner(self, folder: Path) -> Spawner:
        write_js_functions(folder / "code")
        return make(folder)

    def code_dir(self, folder: Path, function: str) -> Path:
        return folder / "code" / function


# --- functions of this module ---------------------------------------------------------------------

SOURCE = """
const fs = require('fs'), os = require('os'), net = require('net'), cp = require('child_process');
const attempt = (f) => { try { return f() ?? null; } catch (e) { return e.code || e.name; } };
const kept = [];
const actions = {
  count: () => kept.push(1),
  walls: () => ({
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


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("s")
    (folder / "code").mkdir()
    (folder / "code" / "index.js").write_text(SOURCE)
    return folder


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


# --- walls ----------------------------------------------------------------------------------------


async def test_what_a_function_sees_and_may_not_do(folder: Path) -> None:
    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        seen = await value(sandbox, "walls")
        assert (seen["uid"], seen["gid"], seen["groups"]) == (65534, 65534, [65534])
        assert seen["root"] == seen["code"] == "EROFS"
        assert seen["unlink"] in {"ENOENT", "EROFS"}
        assert seen["channel"] == ["hosts"]
        # reading them takes a netlink socket, which is refused: an error object without a code
        assert seen["interfaces"] in (["lo"], [], "ERR_SYSTEM_ERROR")
        assert seen["resolv"] in ([], ["nameserver 127.0.0.1"])
        assert seen["status"]["NoNewPrivs"] == "1"
        assert seen["status"]["Seccomp"] == "2"
        assert int(seen["status"]["CapEff"], 16) == int(seen["status"]["CapBnd"], 16) == 0
        known = {"HOME", "HOSTNAME", "LANG", "PATH", "TMPDIR", "TZ"}
        assert set(seen["environment"]) & set(os.environ) <= known
        assert not [name for name in seen["environment"] if name.startswith("YUNHAN")]
        assert seen["shm"] in {"ENOENT", "EROFS", "EACCES"}
        assert seen["limits"] == ["1024", "0"] or seen["limits"] == ["0", "1024"]
        assert "home" not in seen["top"]
        assert await value(sandbox, "noexec") == "EACCES"
        assert await value(sandbox, "loopback") == "hello"
        assert await value(sandbox, "outside") == "ENETUNREACH"


async def test_disk_inodes_and_processes_are_bounded(folder: Path) -> None:
    options = DockerOptions(tmp_mb=8, tmp_inodes_max=500, pids_max=64)
    async with started(folder, options=options) as spawner:
        sandbox = await bound(spawner, folder, memory_mb=512)
        assert await value(sandbox, "disk") == [8, "ENOSPC"]
        files, said = await value(sandbox, "inodes")
        assert files < 500
        assert said == "ENOSPC"
        children, said = await value(sandbox, "forks")
        assert children < 64
        assert said == "EAGAIN"


# --- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "args", "kind", "text"),
    [
        ("buffers", {}, OutcomeKind.OUT_OF_MEMORY, "128 MB"),
        ("heap", {}, OutcomeKind.OUT_OF_MEMORY, "128 MB"),
        ("abort", {}, OutcomeKind.CRASHED, "SIGABRT"),
        ("kill", {}, OutcomeKind.CRASHED, "SIGKILL"),
        ("segv", {}, OutcomeKind.CRASHED, "SIGSEGV"),
        ("exit", {"code": 0}, OutcomeKind.EXITED, "code 0"),
        ("exit", {"code": 7}, OutcomeKind.EXITED, "code 7"),
    ],
)
async def test_ends_are_told_apart(
    folder: Path, action: str, args: dict[str, Any], kind: OutcomeKind, text: str
) -> None:
    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        ending = await do(sandbox, action, **args)
        assert ending.kind is kind, ending
        assert ending.fault is not None
        assert text in ending.fault.message


async def test_a_container_that_somebody_removes_is_our_loss(folder: Path, engine: Any) -> None:
    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        run = asyncio.create_task(do(sandbox, "never"))
        await asyncio.sleep(0)
        [container] = containers(engine, folder)
        await asyncio.to_thread(engine.remove_container, container, force=True)
        ending = await run
        assert ending.kind is OutcomeKind.SANDBOX_LOST, ending
        await sandbox.stop()
        assert (await bound(spawner, folder)).alive


async def test_without_a_view_of_its_processes_the_engine_is_asked(
    folder: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostProcess, "find", lambda *_: None)
    async with started(folder) as spawner:
        busy = await bound(spawner, folder, "busy")
        assert (await do(busy, "spin", timeout_s=0.2)).kind is OutcomeKind.TIMEOUT
        await asyncio.wait_for(busy.wait_ended(), 10)
        aborting = await bound(spawner, folder, "aborting")
        assert (await do(aborting, "abort")).kind is OutcomeKind.CRASHED
        await (await bound(spawner, folder, "idle")).stop()
    assert containers(engine, folder) == []


# --- leftovers ------------------------------------------------------------------------------------


async def test_nothing_is_left_after_stop(folder: Path, engine: Any) -> None:
    async with started(folder) as spawner:
        for sandbox_id in ("one", "two"):
            await bound(spawner, folder, sandbox_id)
        assert len(containers(engine, folder)) == 2
    assert containers(engine, folder) == []
    assert list((folder / "run").iterdir()) == []
    assert list((folder / "views").iterdir()) == []


async def test_reconcile_removes_strangers_and_leaves_ours(folder: Path, engine: Any) -> None:
    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        [ours] = containers(engine, folder)
        config = await asyncio.to_thread(engine.inspect_container, ours)
        stranger = {
            "Image": config["Config"]["Image"],
            "Cmd": ["/usr/local/bin/node", "-e", "setInterval(() => {}, 1e6)"],
            "Labels": config["Config"]["Labels"],
            "HostConfig": {"NetworkMode": "none"},
        }
        made = await asyncio.to_thread(engine.create_container_from_config, stranger)
        await asyncio.to_thread(engine.start, made["Id"])
        assert await spawner.reconcile() == 1
        assert containers(engine, folder) == [ours]
        assert await value(sandbox, "count") == 1


WORKER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_docker_spawner import bound, do, make

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


async def test_a_killed_worker_leaves_nothing_that_runs_nor_after_the_next_start(
    folder: Path, engine: Any
) -> None:
    # Only root may kill a process of another user when the worker is gone; what is not busy sees its
    # channel closed and ends by itself.
    action = "spin" if os.geteuid() == 0 else "never"
    source = WORKER.format(tests=str(Path(__file__).parent), folder=str(folder), action=action)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    while (await worker.stdout.readline()) not in {b"up\n", b""}:
        pass
    worker.kill()
    await worker.communicate()
    [container] = containers(engine, folder)
    await asyncio.to_thread(engine.wait, container, timeout=10)
    async with started(folder):
        assert containers(engine, folder) == []


async def test_a_run_directory_of_somebody_else_is_refused(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "run").symlink_to(folder / "elsewhere")
    with pytest.raises(SandboxError, match="not a directory of this user"):
        await make(folder).start()


async def test_many_starts_at_once_and_none_is_left_when_they_are_cancelled(
    folder: Path, engine: Any
) -> None:
    async with started(folder) as spawner:
        specs = [SandboxSpec(sandbox_id=f"s{i}", node_major=24, memory_mb=128) for i in range(10)]
        spawns = [asyncio.create_task(spawner.spawn(spec)) for spec in specs]
        await spawns[0]
        for spawn in spawns[5:]:
            spawn.cancel()
        await asyncio.wait(set(spawns))
        alive = [spawn.result() for spawn in spawns if not spawn.cancelled()]
        assert len(alive) >= 5
        assert all(sandbox.alive for sandbox in alive)
        assert len(containers(engine, folder)) == len(alive)
        assert await spawner.reconcile() == 0
        assert all(sandbox.alive for sandbox in alive)
    assert containers(engine, folder) == []


# --- what cannot be --------------------------------------------------------------------------------


async def test_an_unknown_runtime_is_refused_with_advice(folder: Path) -> None:
    spawner = make(folder, options=DockerOptions(runtime="no-such-runtime"))
    with pytest.raises(SandboxError, match="YUNHAN_DOCKER_RUNTIME"):
        await spawner.start()


async def test_an_engine_that_does_not_answer_is_refused_with_advice(folder: Path) -> None:
    spawner = make(folder, docker_host=f"unix://{folder}/no.sock")
    with pytest.raises(SandboxError, match="systemctl start docker"):
        await spawner.start()
