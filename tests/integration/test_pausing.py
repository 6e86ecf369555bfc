"""What a function leaves running rests while no invocation is under way, on every rung."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.api import Ending, OutcomeKind
from sandbox.egress.access import EgressAccess
from sandbox.egress.limits import EgressLimits
from sandbox.egress.policy import EgressPolicy
from sandbox.node_sandbox import NodeSandbox
from sandbox.testing_functions import RecordingHost
from tests.harness.polling import until
from tests.harness.rung_bench import (
    LEAVE,
    PROCESSES_LEFT,
    RUNGS,
    RungBench,
    missing,
    processes_of,
    state,
    stopped,
    ticks,
)

pytestmark = pytest.mark.integration

WAIT_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=RUNGS)
def rung(request: pytest.FixtureRequest) -> str:
    rung: str = request.param
    if reason := missing(rung):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    return rung


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")


@pytest.fixture
async def bench(rung: str, folder: Path) -> AsyncIterator[RungBench]:
    async with RungBench(rung, folder).open() as bench:
        yield bench


async def leave(bench: RungBench, sandbox: NodeSandbox) -> None:
    """Run the function that leaves much behind, and wait until all of it is stopped."""
    assert value(await bench.run(sandbox, "leave")) == "leave"
    await until(lambda: len(stopped(sandbox)) == PROCESSES_LEFT, "all is stopped")


def value(ending: Ending) -> object:
    assert ending.kind is OutcomeKind.OK, ending
    return json.loads(ending.value or b"")


async def test_an_idle_sandbox_uses_no_processor_and_its_next_call_works(bench: RungBench) -> None:
    sandbox = await bench.bound(LEAVE)
    await leave(bench, sandbox)
    before = ticks(stopped(sandbox))
    clock = await asyncio.create_subprocess_exec("/bin/sh", "-c", "while :; do :; done")
    await until(lambda: ticks([clock.pid]) > 20, "another process has run for 0.2 s")
    clock.kill()
    await clock.wait()
    assert ticks(stopped(sandbox)) == before
    assert len(stopped(sandbox)) == PROCESSES_LEFT
    host = RecordingHost()
    assert value(await bench.run(sandbox, "count", host)) == 1
    assert host.texts == []
    await until(lambda: len(stopped(sandbox)) == PROCESSES_LEFT, "it is stopped again")
    assert ticks(stopped(sandbox)) >= before
    assert value(await bench.run(sandbox, "count", host)) == 2


async def test_nothing_rests_while_another_invocation_is_under_way(bench: RungBench) -> None:
    sandbox = await bench.bound(LEAVE, pause_after_s=0.0)
    host = RecordingHost(gate_open=False)
    waiting = asyncio.create_task(bench.run(sandbox, "wait", host))
    await host.wait_for_calls(1)
    for number in range(1, 6):
        assert value(await bench.run(sandbox, "count")) == number
    assert stopped(sandbox) == []
    host.gate.set()
    assert value(await waiting) == 6
    await until(lambda: len(stopped(sandbox)) == 1, "Node is stopped")


async def test_a_paused_sandbox_stops_quickly_and_leaves_nothing(bench: RungBench) -> None:
    sandbox = await bench.bound(LEAVE, stop_grace_s=10.0)
    await leave(bench, sandbox)
    pids = processes_of(sandbox)
    async with asyncio.timeout(5):
        await sandbox.stop()
        await sandbox.wait_ended()
    await until(lambda: not any(map(state, pids)), "its processes are gone")


async def test_the_death_of_a_paused_sandbox_is_noticed(bench: RungBench) -> None:
    sandbox = await bench.bound(LEAVE)
    await leave(bench, sandbox)
    pids = processes_of(sandbox)
    node = stopped(sandbox)[0]
    os.kill(node, signal.SIGKILL)
    async with asyncio.timeout(WAIT_S):
        await sandbox.wait_ended()
    assert not sandbox.alive
    assert (await bench.run(sandbox, "count")).kind is OutcomeKind.SANDBOX_LOST
    await sandbox.stop()
    await until(lambda: not any(map(state, pids)), "its processes are gone")


async def test_an_exception_that_was_due_meanwhile_does_not_fail_the_next_call(
    bench: RungBench,
) -> None:
    sandbox = await bench.bound(LEAVE, pause_after_s=0.0)
    host = RecordingHost()
    assert (await bench.run(sandbox, "throwLater", ms=300)).kind is OutcomeKind.OK
    await until(lambda: len(stopped(sandbox)) == 1, "Node is stopped")
    await asyncio.sleep(0.4)  # the timer is due, and nothing tells
    assert sandbox.alive
    ending = await bench.run(sandbox, "wait", host)
    assert value(ending) == 1
    assert not ending.reusable
    assert host.texts == []


async def test_nothing_outlives_a_worker_that_is_killed(rung: str, folder: Path) -> None:
    command = [sys.executable, "-m", "tests.harness.rung_bench", rung, str(folder)]
    worker = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    while (line := await worker.stdout.readline()) and not line.startswith(b"["):
        pass  # its log
    pids = json.loads(line)
    assert sum(state(pid) == "T" for pid in pids) == PROCESSES_LEFT
    worker.kill()
    await worker.wait()
    if rung == "process":
        # Without walls, a child that left its group is found by the next start of the worker.
        async with RungBench(rung, folder).open():
            pass
    await until(lambda: not any(state(pid) for pid in pids), "its processes are gone")


@pytest.mark.parametrize("rung", ["bubblewrap", "landlock", "docker"], indirect=True)
async def test_a_connection_that_is_kept_alive_stays_open(rung: str, folder: Path) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    access = EgressAccess(policy=EgressPolicy.from_text(allow="127.0.0.1"), limits=EgressLimits())
    async with server, RungBench(rung, folder, access).open() as bench:
        sandbox = await bench.bound(LEAVE)
        for _ in range(2):
            assert value(await bench.run(sandbox, "get", url=url)) == 200
            await until(lambda: len(stopped(sandbox)) == 1, "Node is stopped")
        await sandbox.stop()
    assert connections == 1
