"""The runs of one sandbox, and every way to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox.api import (
    Ending,
    Fault,
    Invocation,
    OutcomeKind,
    Usage,
)
from sandbox.frames import Bind, Bound, Exiting, Invoke, Result
from sandbox.handle import Exit
from sandbox.protocol import encode
from tests.harness.sandbox_bench import BINDING, HELLO, Bench, benches


@pytest.fixture
async def make(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    async with benches(tmp_path_factory.mktemp("b")) as make_bench:
        yield make_bench


@pytest.fixture
async def bench(make: Any) -> Bench:
    made: Bench = make()
    return made


def fault_of(ending: Ending) -> str:
    assert ending.fault is not None
    assert ending.value is None
    return ending.fault.message


# --- runs -------------------------------------------------------------------------------------


async def test_a_run_carries_everything_there_and_back(bench: Bench) -> None:
    peer = await bench.bound()
    invocation = Invocation(
        request_id="req",
        args=b'{"a":1}',
        env={"MP_SOURCE": "http"},
        timeout_s=1.2345,
        trigger_path="/http/x",
    )
    run = asyncio.create_task(bench.sandbox.run(invocation, bench.host))
    assert await peer.receive(Invoke) == Invoke(
        id="req",
        env={"MP_SOURCE": "http"},
        timeout_ms=1235,
        args=b'{"a":1}',
        trigger_path="/http/x",
    )
    usage = Usage(run_ms=3.0, cpu_ms=2.0, peak_memory_mb=40.0)
    await peer.send(Result(id="req", value=b'{"b":2}', usage=usage))
    assert await run == Ending(kind=OutcomeKind.OK, value=b'{"b":2}', usage=usage)


async def test_recycle_makes_the_sandbox_not_reusable(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    fault, kind = Fault(name="Error", message="late"), OutcomeKind.FUNCTION_ERROR
    await peer.send(Result(id="req", kind=kind, fault=fault, recycle=True))
    bench.handle.die(Exit(code=70))
    ending = await run
    assert (ending.kind, ending.fault, ending.reusable) == (kind, fault, False)
    await bench.sandbox.wait_ended()
    assert not bench.sandbox.alive


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


async def test_a_failed_load_says_how_long_it_took(bench: Bench) -> None:
    peer = await bench.connected()
    binding = asyncio.create_task(bench.sandbox.bind(BINDING, request_id="load", host=bench.host))
    await peer.receive(Bind)
    await peer.send(Bound(id="load", fault=Fault(name="Error", message="no"), load_ms=12.5))
    assert (await binding).usage.run_ms == 12.5


async def test_a_channel_held_open_by_somebody_else_does_not_delay_the_ending(
    bench: Bench,
) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    bench.handle.die(Exit(code=1))  # the peer stays connected
    async with asyncio.timeout(5):
        assert (await run).kind is OutcomeKind.EXITED
    await peer.wait_closed_by_worker()


async def test_a_closed_channel_of_a_live_process_is_no_result(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.close()
    assert (await run).kind is OutcomeKind.NO_RESULT
    assert bench.handle.kills


async def test_a_channel_closed_inside_a_frame_is_a_protocol_error(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send_bytes(encode(Result(id="req", value=b"123"))[:-1])
    await peer.close()
    assert (await run).kind is OutcomeKind.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "data",
    [
        b"garbage on the channel",
        b"\xff" * 100,
        b"\x00\x00\x00\x02\xff\xff\xff\xff{}",
        encode(HELLO),
        encode(Bound(id="load", load_ms=1.0)),
        encode(Result(id="other", value=b"1")),
        encode(Result(id="req", value=b"not json")),
        encode(Result(id="req", value=b"")),
        encode(Result(id="req", value=b"NaN")),
    ],
    ids=[
        "text",
        "huge header",
        "huge payload",
        "hello",
        "bound",
        "result of another",
        "value no JSON",
        "value empty",
        "value NaN",
    ],
)
async def test_breaking_the_protocol_ends_every_run(bench: Bench, data: bytes) -> None:
    peer = await bench.bound()
    runs = [await bench.begin(peer, request_id) for request_id in ("req", "two")]
    await peer.send_bytes(data)
    assert [(await run).kind for run in runs] == [OutcomeKind.PROTOCOL_ERROR] * 2
    assert bench.handle.kills
    await peer.wait_closed_by_worker()


async def test_a_second_result_is_a_protocol_error(bench: Bench) -> None:
    peer = await bench.bound()
    first = await bench.begin(peer, "one")
    second = await bench.begin(peer, "two")
    await peer.send(Result(id="one", value=b"1"), Result(id="one", value=b"2"))
    assert (await first).value == b"1"
    assert (await second).kind is OutcomeKind.PROTOCOL_ERROR


async def test_too_large_a_result_is_refused_before_it_is_read(make: Any) -> None:
    bench = make(result_max_bytes=10)
    peer = await bench.bound()
    run = await bench.begin(peer, "one")
    neighbour = await bench.begin(peer, "two")
    await peer.send_bytes(encode(Result(id="one", value=b"1" * 11)))
    ending = await run
    assert ending.kind is OutcomeKind.RESULT_TOO_LARGE
    assert "11 bytes, the limit is 10" in fault_of(ending)
    assert (await neighbour).kind is OutcomeKind.SANDBOX_LOST


async def test_lone_surrogates_in_a_value_pass_untouched(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(Result(id="req", value=b'["\\ud800"]'))
    assert (await run).value == b'["\\ud800"]'


async def test_too_deep_a_value_is_refused_and_the_sandbox_lives(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    usage = Usage(run_ms=3.0, cpu_ms=2.0, peak_memory_mb=40.0)
    await peer.send(Result(id="req", value=b"[" * 5000 + b"]" * 5000, usage=usage))
    ending = await run
    assert ending.kind is OutcomeKind.RESULT_NOT_SERIALIZABLE
    assert ending.reusable
    assert ending.usage.cpu_ms == 2.0
    assert bench.sandbox.alive


async def test_the_time_limit_kills_and_says_so(bench: Bench) -> None:
    peer = await bench.bound()
    neighbour = await bench.begin(peer, "two")
    run = await bench.begin(peer, "one", timeout_s=0.05)
    ending = await run
    assert ending.kind is OutcomeKind.TIMEOUT
    assert "0.05 s" in fault_of(ending)
    assert "1 other ran in the same sandbox" in fault_of(ending)
    assert (await neighbour).kind is OutcomeKind.SANDBOX_LOST
    await bench.sandbox.wait_ended()
    assert bench.handle.kills


async def test_an_id_under_way_cannot_run_twice(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    again = Invocation(request_id="req", args=b"", env={}, timeout_s=30)
    with pytest.raises(RuntimeError, match="req"):
        await bench.sandbox.run(again, bench.host)
    await peer.send(Result(id="req", value=b"1"))
    assert (await run).value == b"1"


# --- stop -------------------------------------------------------------------------------------


async def test_our_own_kill_is_never_a_crash(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await bench.sandbox.stop()
    assert (await run).kind is OutcomeKind.SANDBOX_LOST


async def test_a_process_that_cannot_be_killed_does_not_hold_up_the_stop(make: Any) -> None:
    bench = make(stop_grace_s=0.05)
    await bench.connected()
    bench.handle.unkillable = True
    async with asyncio.timeout(5):
        await bench.sandbox.stop()
    assert bench.handle.removed == 0  # what it may still use stays
    assert not bench.sandbox.alive


async def test_a_failing_handle_ends_the_runs_and_blames_us(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    bench.handle.exited.set_exception(RuntimeError("defect"))
    assert (await run).kind is OutcomeKind.SANDBOX_LOST
    await bench.sandbox.wait_ended()
    assert not bench.sandbox.alive
    bench.handle.removed = 1  # nobody can tell when it would be safe
