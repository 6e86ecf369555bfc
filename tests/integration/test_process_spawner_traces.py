"""The process rung keeps no descriptor, thread, process or folder of its sandboxes, under both loops."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sandbox.api import (
    OutcomeKind,
)
from sandbox.spawners.process import ProcessSpawner
from tests.harness.processes import all_stats
from tests.integration.process_spawner_support import (
    bind_and_run,
    entries,
    spawner_in,
    spec,
)

pytestmark = pytest.mark.integration

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")


def run_on(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, None]
) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


@pytest.mark.parametrize("loop_factory", LOOPS, ids=["asyncio", "uvloop"])
def test_many_sandboxes_leave_nothing_behind(
    folder: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    run_on(loop_factory, many_sandboxes(folder))


async def many_sandboxes(folder: Path) -> None:
    others = children()  # servers that other tests of this process started
    spawner = spawner_in(folder)
    await spawner.start()
    await round_of_sandboxes(spawner, folder, 0)
    before = possessions()
    for number in range(1, 5):
        await round_of_sandboxes(spawner, folder, number)
        assert entries(folder / "run") == ["worker"]
    assert possessions() == before
    await spawner.stop()
    assert children() == others


async def round_of_sandboxes(spawner: ProcessSpawner, folder: Path, number: int) -> None:
    """One sandbox for each way to end, all at the same time."""
    ways = [
        ("stopped", "module.exports = () => 1", OutcomeKind.OK),
        ("exits", "module.exports = () => process.exit(3)", OutcomeKind.EXITED),
        ("loops", "module.exports = () => { for (;;); }", OutcomeKind.TIMEOUT),
    ]

    async def one(name: str, script: str, kind: OutcomeKind) -> None:
        sandbox = await spawner.spawn(spec(f"{name}-{number}"))
        assert await bind_and_run(sandbox, folder, script, 0.2 if name == "loops" else 30) is kind
        await sandbox.stop()

    async def cancelled() -> None:
        spawning = asyncio.create_task(spawner.spawn(spec(f"cancelled-{number}")))
        await asyncio.sleep(0.005)
        spawning.cancel()
        await asyncio.wait({spawning})
        assert spawning.cancelled()

    await asyncio.gather(cancelled(), *(one(*way) for way in ways))


def possessions() -> tuple[int, list[int], list[str]]:
    """Open descriptors, child processes, threads; a loop's own executor does not count."""
    names = [thread.name for thread in threading.enumerate()]
    threads = [name for name in names if not name.startswith(("asyncio_", "uvloop_"))]
    return len(entries(Path("/proc/self/fd"))), children(), threads


def children() -> list[int]:
    """Children of this process, dead ones that nobody reaped included."""
    return sorted(pid for pid, fields in all_stats() if int(fields[1]) == os.getpid())


@pytest.mark.parametrize("loop_factory", LOOPS, ids=["asyncio", "uvloop"])
def test_without_pidfds_a_thread_watches(
    folder: Path,
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(38, "Function not implemented")

    async def main() -> None:
        spawner = spawner_in(folder)
        await spawner.start()
        monkeypatch.setattr(os, "pidfd_open", refuse)
        sandbox = await spawner.spawn(spec("one"))
        script = "module.exports = () => process.exit(3)"
        assert await bind_and_run(sandbox, folder, script, 30) is OutcomeKind.EXITED
        other = await spawner.spawn(spec("two"))
        await other.stop()
        await spawner.stop()
        assert not (folder / "run").exists()

    run_on(loop_factory, main())
