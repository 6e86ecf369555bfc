"""When a sandbox is paused and continued, and which processes that means."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import OutcomeKind
from sandbox.frames import Result
from sandbox.pausing import Pausing
from sandbox.process_tree import ProcessTree
from tests.harness.processes import stat_of
from tests.harness.sandbox_bench import Bench, FakeHandle


async def paused(handle: FakeHandle) -> int:
    async with asyncio.timeout(5):
        return await handle.paused.get()


# --- when -----------------------------------------------------------------------------------------


async def test_a_sandbox_is_paused_after_its_last_run_and_continued_before_the_next(
    make_bench: Any,
) -> None:
    bench: Bench = make_bench(pause_after_s=0.0)
    peer = await bench.bound()
    handle = bench.handle
    one, two = await bench.begin(peer, "one"), await bench.begin(peer, "two")
    await peer.send(Result(id="one", value=b"1"))
    await one
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert handle.pauses == 0
    await peer.send(Result(id="two", value=b"2"))
    await two
    assert await paused(handle) == 1
    assert handle.resumes == 0
    three = await bench.begin(peer, "three")
    assert handle.resumes == 1
    await peer.send(Result(id="three", value=b"3"))
    assert (await three).kind is OutcomeKind.OK
    assert await paused(handle) == 2


async def test_a_bound_sandbox_is_not_paused_before_its_first_run(make_bench: Any) -> None:
    bench: Bench = make_bench(pause_after_s=0.0)
    await bench.bound()
    for _ in range(5):
        await asyncio.sleep(0)
    assert bench.handle.pauses == 0


async def test_a_busy_sandbox_is_not_stopped_at_every_call(make_bench: Any) -> None:
    bench: Bench = make_bench(pause_after_s=30.0)
    peer = await bench.bound()
    for number in range(3):
        run = await bench.begin(peer, f"r{number}")
        await peer.send(Result(id=f"r{number}", value=b"1"))
        await run
    assert (bench.handle.pauses, bench.handle.resumes) == (0, 0)


async def test_the_death_of_a_paused_sandbox_ends_it(make_bench: Any) -> None:
    bench: Bench = make_bench(pause_after_s=0.0)
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(Result(id="req", value=b"1"))
    await run
    await paused(bench.handle)
    await bench.sandbox.stop()
    assert bench.handle.kills
    assert bench.handle.resumes == 0


async def test_a_cancelled_run_does_not_pause_a_dead_sandbox(make_bench: Any) -> None:
    bench: Bench = make_bench(pause_after_s=0.0)
    run = await bench.begin(await bench.bound())
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run
    for _ in range(5):
        await asyncio.sleep(0)
    assert bench.handle.pauses == 0


async def test_it_is_looked_again_until_nothing_ran_twice_but_not_for_ever() -> None:
    for needed, looks in ((1, 2), (3, 4), (1000, 8)):
        handle = FakeHandle()
        handle.looks_needed = needed
        pausing = Pausing(handle, after_s=0.0)
        pausing.begin()
        pausing.end()
        for look in range(1, looks + 1):
            assert await paused(handle) == look
        assert pausing._timer is None
        pausing.begin()
        assert handle.resumes == 1
        pausing.end()
        pausing.close()


# --- which ----------------------------------------------------------------------------------------

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

# A shell with a child in its group and one in a session of its own.
FAMILY = "sleep 1000 & setsid sleep 1000 & echo ready; wait"


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        ["/bin/sh", "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True
    ) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        members = ProcessTree(shell.pid, walled=False)._members()
        yield shell
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def rests(pid: int) -> bool:
    return stat_of(pid)[0] == "T"


def all_rest(pids: list[int], *, wanted: bool = True) -> bool:
    """Whether all, or none, of them are stopped soon: a signal takes its time, and nothing tells."""
    deadline = time.monotonic() + 5
    while any(rests(pid) is not wanted for pid in pids):
        if time.monotonic() > deadline:
            return False
    return True


@linux
@pytest.mark.parametrize("lists", [True, False], ids=["lists", "no-lists"])
def test_everything_below_is_stopped_and_continued(
    family: subprocess.Popen[bytes], lists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ProcessTree(family.pid, walled=False)
    if not lists:
        monkeypatch.setattr(os.path, "exists", lambda _: False)
    members = tree._members()
    assert members[0] == family.pid
    assert len(members) == 3
    assert tree.stop()
    assert all_rest(members)
    assert not tree.stop()
    tree.resume()
    assert all_rest(members, wanted=False)
    tree.resume()
    assert tree.stop()
    tree.resume()


@linux
def test_what_the_function_stopped_itself_is_not_continued(
    family: subprocess.Popen[bytes],
) -> None:
    tree = ProcessTree(family.pid, walled=False)
    own = tree._members()[-1]
    os.kill(own, signal.SIGSTOP)
    assert all_rest([own])
    tree.stop()
    tree.resume()
    assert all_rest([family.pid], wanted=False)
    assert rests(own)


@linux
def test_without_an_init_there_is_nothing_behind_walls(family: subprocess.Popen[bytes]) -> None:
    tree = ProcessTree(family.pid, walled=True)
    assert not tree.stop()
    assert all_rest([family.pid], wanted=False)


@linux
def test_only_stopped_processes_are_killed_and_only_once(family: subprocess.Popen[bytes]) -> None:
    tree = ProcessTree(family.pid, walled=False)
    tree.kill_stopped()
    assert family.poll() is None
    tree.stop()
    # A number that was given to another process since.
    tree._stopped = dict.fromkeys(tree._stopped, b"0")
    tree.kill_stopped()
    assert family.poll() is None
    os.kill(family.pid, signal.SIGCONT)
    assert all_rest([family.pid], wanted=False)
    tree.stop()
    tree.kill_stopped()
    assert family.wait() == -signal.SIGKILL
    assert tree._stopped == {}


def test_nothing_happens_where_processes_are_not_seen(tmp_path: Path) -> None:
    tree = ProcessTree(os.getpid(), walled=True, proc=tmp_path / "none")
    assert not tree.stop()
    tree.resume()
    tree.kill_stopped()


def test_a_process_that_is_gone_is_passed_over() -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    tree = ProcessTree(gone.pid, walled=False)
    assert not tree.stop()
    tree._stopped = {gone.pid: b"1"}
    tree.resume()
