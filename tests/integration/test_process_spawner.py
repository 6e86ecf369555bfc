"""The process rung around its sandboxes: start, leftovers, a killed worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from sandbox.api import (
    SandboxError,
)
from tests.harness.processes import all_stats
from tests.integration.process_spawner_support import (
    entries,
    spawner_in,
    spec,
    write,
)

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")


# --- start ------------------------------------------------------------------------------------


async def test_the_start_warns_that_nobody_is_protected(folder: Path) -> None:
    spawner = spawner_in(folder)
    with structlog.testing.capture_logs() as logs:
        await spawner.start()
    await spawner.stop()
    [warning] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert warning["event"] == "sandbox_without_isolation"
    assert not spawner.isolates


async def test_a_bootstrap_that_is_not_there_is_refused_at_the_start(folder: Path) -> None:
    with pytest.raises(SandboxError, match=r"index\.mjs"):
        await spawner_in(folder, bootstrap=folder).start()


async def test_a_run_directory_too_deep_for_sockets_is_refused_at_the_start(folder: Path) -> None:
    with pytest.raises(SandboxError, match="shorter directory"):
        await spawner_in(folder / ("x" * 80)).start()


async def test_a_run_directory_that_is_a_file_is_refused_at_the_start(folder: Path) -> None:
    write(folder / "run", "")
    with pytest.raises(SandboxError, match="run directory"):
        await spawner_in(folder).start()


async def test_a_long_id_is_refused_and_leaves_nothing(folder: Path) -> None:
    spawner = spawner_in(folder)
    await spawner.start()
    with pytest.raises(SandboxError, match="fewer than 100"):
        await spawner.spawn(spec("x" * 100))
    assert entries(folder / "run") == ["worker"]
    await spawner.stop()


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ("process.stderr.write('no luck'); process.exit(7)", "code 7 and wrote: no luck"),
        ("process.abort()", "SIGABRT"),
        ("setInterval(() => {}, 1000)", "silent for 0.5 s"),
        (
            "import net from 'node:net'; net.connect(process.env.YUNHAN_CHANNEL).write('x'.repeat(99))",
            "broke the protocol",
        ),
        (
            "import net from 'node:net'; net.connect(process.env.YUNHAN_CHANNEL).end();"
            "setInterval(() => {}, 1000)",
            "closed its channel",
        ),
    ],
    ids=["exit", "abort", "silence", "garbage", "close"],
)
async def test_a_bootstrap_that_fails_is_our_error_and_leaves_nothing(
    folder: Path, index: str, reason: str
) -> None:
    write(folder / "bootstrap" / "index.mjs", index)
    spawner = spawner_in(folder, bootstrap=folder / "bootstrap")
    await spawner.start()
    with pytest.raises(SandboxError, match=reason):
        await spawner.spawn(spec("one", start_timeout_s=0.5 if "silent" in reason else 20))
    assert entries(folder / "run") == ["worker"]
    await spawner.stop()


async def test_stopping_the_spawner_ends_a_start_under_way(folder: Path) -> None:
    write(folder / "bootstrap" / "index.mjs", "setInterval(() => {}, 1000)")
    spawner = spawner_in(folder, bootstrap=folder / "bootstrap")
    await spawner.start()
    spawning = asyncio.create_task(spawner.spawn(spec("one")))
    await asyncio.sleep(0)
    await spawner.stop()
    with pytest.raises(SandboxError):
        await spawning
    assert not (folder / "run").exists()


@pytest.mark.parametrize("what", ["link", "foreign"])
async def test_a_run_directory_that_is_not_ours_is_refused(folder: Path, what: str) -> None:
    spawner = spawner_in(folder)
    run_dir = folder / "run"
    elsewhere = folder / "elsewhere"
    precious = elsewhere / "sb-one"
    precious.mkdir(parents=True)
    if what == "link":
        run_dir.symlink_to(elsewhere)
    elif os.geteuid() != 0:
        pytest.skip("only root can make a folder of somebody else")
    else:
        run_dir.mkdir()
        os.chown(run_dir, 65534, 65534)
    with pytest.raises(SandboxError, match="not a directory of this user"):
        await spawner.start()
    assert precious.exists()


async def test_an_open_run_directory_of_ours_is_closed(folder: Path) -> None:
    spawner = spawner_in(folder)
    run_dir = folder / "run"
    run_dir.mkdir(mode=0o777)
    await spawner.start()
    assert run_dir.stat().st_mode & 0o777 == 0o700
    await spawner.stop()


# --- leftovers ----------------------------------------------------------------------------------


async def test_leftovers_of_a_dead_worker_are_swept_and_nothing_else(folder: Path) -> None:
    run_dir = folder / "run"
    (run_dir / "sb-old" / "work" / "deep").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left_socket:
        left_socket.bind(str(run_dir / "sb-old" / "channel"))
    write(run_dir / "notes.txt", "not ours")
    inside = sleeper(run_dir / "sb-old" / "work" / "deep")
    outside = sleeper(folder)
    spawner = spawner_in(folder)
    try:
        await spawner.start()
        assert await asyncio.to_thread(inside.wait, 10) == -signal.SIGKILL
        assert entries(run_dir) == ["notes.txt", "worker"]
        assert outside.poll() is None
    finally:
        for process in (inside, outside):
            process.kill()
            process.wait()
        await spawner.stop()


def sleeper(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "1000"], cwd=directory)


WORKER = """
import asyncio, sys
from pathlib import Path
from sandbox.api import *
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.spawners.process import ProcessSpawner

folder = Path(sys.argv[1])

class Host:
    def on_log(self, lines, *, cut):
        print("child", lines[0].text, flush=True)

async def main():
    spawner = ProcessSpawner(run_dir=folder / "run", bootstrap_dir=bootstrap_dir())
    await spawner.start()
    runs = []
    for name in ("busy", "idle"):
        sandbox = await spawner.spawn(SandboxSpec(sandbox_id=name, node_major=24, memory_mb=128))
        binding = Binding(
            space_id="s", function="f", deployment_id="d", code_dir=folder / "code" / name
        )
        await sandbox.bind(binding, request_id="load", host=Host())
        invocation = Invocation(request_id="r", args=b"", env={}, timeout_s=1000)
        runs.append(sandbox.run(invocation, Host()))
    await asyncio.gather(*runs)

asyncio.run(main())
"""


async def test_a_killed_worker_takes_its_sandboxes_with_it(folder: Path) -> None:
    busy = """
    const child = require('child_process').spawn('sleep', ['1000'], { stdio: 'ignore' });
    child.on('spawn', () => {});
    module.exports = () => { console.log(child.pid); setTimeout(() => { for (;;); }, 50);
                             return new Promise(() => {}); };
    """
    write(folder / "code" / "busy" / "index.js", busy)
    idle = "module.exports = () => { console.log(process.pid); return new Promise(() => {}); }"
    write(folder / "code" / "idle" / "index.js", idle)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(folder), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert worker.stdout is not None
        pids: list[int] = []
        async with asyncio.timeout(20):
            while len(pids) < 2:
                line = await worker.stdout.readline()
                assert line
                if line.startswith(b"child "):
                    pids.append(int(line.split()[1]))
            groups = {os.getpgid(pid) for pid in pids}
            assert len(groups) == 2
        worker.kill()
        await worker.wait()
        async with asyncio.timeout(5):
            while any(map(group_exists, groups)):
                await asyncio.sleep(0.01)
    finally:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.communicate()
    # What it could not clean up, the next worker does.
    assert entries(folder / "run") == ["sb-busy", "sb-idle", "worker"]
    spawner = spawner_in(folder)
    await spawner.start()
    await spawner.stop()
    assert not (folder / "run").exists()


def group_exists(group: int) -> bool:
    """Whether a process of the group still runs; one that nobody reaps yet does not."""
    return any(int(fields[2]) == group and fields[0] != "Z" for _, fields in all_stats())


async def test_a_killed_guard_is_replaced(folder: Path) -> None:
    spawner = spawner_in(folder)
    await spawner.start()
    first = await spawner.spawn(spec("one"))
    guard = spawner._guard._process
    assert guard is not None
    guard.kill()
    await asyncio.to_thread(guard.wait)
    second = await spawner.spawn(spec("two"))
    replaced = spawner._guard._process
    assert replaced is not None
    assert replaced.pid != guard.pid
    assert first.alive
    assert second.alive
    # The new one knows the groups of before.
    await asyncio.to_thread(spawner._guard.stop)
    await asyncio.gather(first.wait_ended(), second.wait_ended())
    await spawner.stop()
