"""How the death of a sandbox's process ends its runs, and who is blamed."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.api import (
    Fault,
    OutcomeKind,
    Usage,
)
from sandbox.frames import Exiting, Result
from sandbox.handle import Exit
from tests.harness.sandbox_bench import Bench


async def test_a_result_before_the_death_counts(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    bench.handle.die(Exit(code=0))
    await asyncio.sleep(0)  # the worker knows of the exit before it has read the result
    await peer.send(Result(id="req", value=b"1"))
    assert (await run).value == b"1"


@pytest.mark.parametrize(
    ("exit_", "kind"),
    [
        (Exit(code=0), OutcomeKind.EXITED),
        (Exit(signal=11), OutcomeKind.CRASHED),
        (Exit(signal=6, output=b"JavaScript heap out of memory"), OutcomeKind.OUT_OF_MEMORY),
    ],
    ids=["exit", "crash", "heap"],
)
@pytest.mark.parametrize("closes_first", [True, False])
async def test_a_death_ends_every_run_with_its_reason(
    bench: Bench, exit_: Exit, kind: OutcomeKind, closes_first: bool
) -> None:
    peer = await bench.bound()
    runs = [await bench.begin(peer, request_id) for request_id in ("one", "two")]
    if closes_first:
        await peer.close()
    bench.handle.die(exit_)
    assert [(await run).kind for run in runs] == [kind, kind]
    assert not bench.sandbox.alive


@pytest.mark.parametrize(
    ("code", "exit_", "kind"),
    [
        (3, Exit(code=3), OutcomeKind.EXITED),
        (137, Exit(signal=9), OutcomeKind.EXITED),
        (139, Exit(signal=11), OutcomeKind.EXITED),
        (None, Exit(signal=6), OutcomeKind.CRASHED),
    ],
    ids=["exit", "like SIGKILL", "like SIGSEGV", "abort"],
)
async def test_who_ends_the_process_is_named_and_the_others_are_lost(
    bench: Bench, code: int | None, exit_: Exit, kind: OutcomeKind
) -> None:
    peer = await bench.bound()
    runs = [await bench.begin(peer, request_id) for request_id in ("one", "two", "three")]
    await peer.send(Exiting(id="two", code=code))
    bench.handle.die(exit_)
    lost = OutcomeKind.SANDBOX_LOST
    assert [(await run).kind for run in runs] == [lost, kind, lost]


async def test_nobody_is_blamed_for_what_an_ended_invocation_does(bench: Bench) -> None:
    peer = await bench.bound()
    first = await bench.begin(peer, "one")
    second = await bench.begin(peer, "two")
    fault, kind = Fault(name="Error", message="late"), OutcomeKind.FUNCTION_ERROR
    await peer.send(
        Result(id="one", kind=kind, fault=fault, recycle=True), Exiting(id="one", code=70)
    )
    bench.handle.die(Exit(code=70))
    assert (await first).kind is kind
    assert (await second).kind is OutcomeKind.SANDBOX_LOST


async def test_an_exit_of_nobody_is_everybodys(bench: Bench) -> None:
    peer = await bench.bound()
    runs = [await bench.begin(peer, request_id) for request_id in ("one", "two")]
    await peer.send(Exiting(id=None, code=70))
    bench.handle.die(Exit(code=70))
    assert [(await run).kind for run in runs] == [OutcomeKind.EXITED] * 2


async def test_whose_memory_it_was_is_not_known(bench: Bench) -> None:
    peer = await bench.bound()
    runs = [await bench.begin(peer, request_id) for request_id in ("one", "two")]
    await peer.send(Exiting(id="one", code=1))
    bench.handle.die(Exit(signal=9, oom=True))
    assert [(await run).kind for run in runs] == [OutcomeKind.OUT_OF_MEMORY] * 2


HEAP_FULL = Exit(signal=6, output=b"JavaScript heap out of memory")


@pytest.mark.parametrize(
    ("exiting", "exit_", "kind"),
    [
        (Exiting(id="nobody", code=0), Exit(code=0), OutcomeKind.EXITED),
        (Exiting(id="nobody", code=0), Exit(code=3), OutcomeKind.EXITED),
        (Exiting(id="nobody", code=0), Exit(signal=11), OutcomeKind.CRASHED),
        (Exiting(id="nobody", code=0), HEAP_FULL, OutcomeKind.OUT_OF_MEMORY),
        (Exiting(id="nobody", code=None), HEAP_FULL, OutcomeKind.OUT_OF_MEMORY),
        (Exiting(id="nobody", code=None), Exit(signal=6), OutcomeKind.CRASHED),
        (Exiting(id="one", code=134), HEAP_FULL, OutcomeKind.OUT_OF_MEMORY),
        (Exiting(id="one", code=0), Exit(code=3), OutcomeKind.EXITED),
        (Exiting(id="one", code=0), Exit(signal=11), OutcomeKind.CRASHED),
        (Exiting(id="one", code=None), Exit(signal=11), OutcomeKind.CRASHED),
        (Exiting(id="one", code=None), Exit(code=134), OutcomeKind.EXITED),
    ],
    ids=str,
)
@pytest.mark.parametrize("ids", [["one"], ["one", "two"]], ids=["alone", "beside another"])
async def test_a_lie_about_the_end_hides_it_from_nobody(
    bench: Bench, exiting: Exiting, exit_: Exit, kind: OutcomeKind, ids: list[str]
) -> None:
    peer = await bench.bound()
    runs = [await bench.begin(peer, request_id) for request_id in ids]
    await peer.send(exiting)
    bench.handle.die(exit_)
    assert [(await run).kind for run in runs] == [kind] * len(ids)


async def test_what_was_said_while_idle_is_not_about_the_next_invocation(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer, "one")
    await peer.send(Result(id="one", value=b"1"), Exiting(id="two", code=3))
    await run
    await until_announced(bench)
    runs = [await bench.begin(peer, request_id) for request_id in ("two", "three")]
    bench.handle.die(Exit(code=3))
    assert [(await run).kind for run in runs] == [OutcomeKind.EXITED] * 2


async def test_what_is_said_of_an_earlier_invocation_hurts_no_later_one(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer, "one")
    await peer.send(Result(id="one", value=b"1"))
    await run
    run = await bench.begin(peer, "two")
    await peer.send(Exiting(id="one", code=3))
    bench.handle.die(Exit(code=3))
    assert (await run).kind is OutcomeKind.EXITED


async def test_the_last_announcement_counts_and_endless_ones_end_the_sandbox(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.attempts.STRAY_FRAMES_MAX", 3)
    peer = await bench.bound()
    one, two, three = [await bench.begin(peer, name) for name in ("one", "two", "three")]
    exiting = Exiting(id="two", code=3)
    await peer.send(*[exiting] * 3, Result(id="one", value=b"1"), *[exiting] * 2)
    assert (await one).value == b"1"
    await until_announced(bench)
    assert bench.sandbox.stray_frames == 3
    await peer.send(exiting)
    assert [(await run).kind for run in (two, three)] == [OutcomeKind.PROTOCOL_ERROR] * 2


async def until_announced(bench: Bench) -> None:
    while bench.sandbox._attempts._exiting is None:
        await asyncio.sleep(0)


async def test_a_process_that_goes_on_after_all_has_not_said_how_it_ends(bench: Bench) -> None:
    peer = await bench.bound()
    first = await bench.begin(peer, "one")
    second = await bench.begin(peer, "two")
    await peer.send(Exiting(id="one", code=137), Result(id="one", value=b"1"))
    assert (await first).value == b"1"
    bench.handle.die(Exit(signal=11))
    assert (await second).kind is OutcomeKind.CRASHED


async def test_a_process_killed_for_memory_ends_the_sandbox_with_the_result(bench: Bench) -> None:
    peer = await bench.bound()
    runs = [await bench.begin(peer, request_id) for request_id in ("one", "two")]
    bench.handle.meter.killed = True
    await peer.send(Result(id="one", value=b"1", usage=Usage(run_ms=7.0)))
    endings = [await run for run in runs]
    assert [ending.kind for ending in endings] == [OutcomeKind.OUT_OF_MEMORY] * 2
    assert endings[0].usage.run_ms == 7.0
    assert endings[0].value is None
    assert not bench.sandbox.alive


async def test_figures_of_one_that_died_come_from_outside(bench: Bench) -> None:
    peer = await bench.bound()
    bench.handle.meter.cpu = 100.0
    run = await bench.begin(peer)
    bench.handle.meter.cpu = 350.0
    bench.handle.meter.peak = 99.0
    bench.handle.die(Exit(signal=11))
    usage = (await run).usage
    assert usage.run_ms is not None
    assert (usage.cpu_ms, usage.peak_memory_mb) == (250.0, 99.0)
