"""The runs of one sandbox, and every way to end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.api import (
    Ending,
    Fault,
    Invocation,
    OutcomeKind,
    Usage,
    WechatUser,
)
from sandbox.frames import Bind, Bound, Invoke, Result
from sandbox.handle import Exit
from sandbox.protocol import encode
from tests.harness.sandbox_bench import BINDING, HELLO, Bench


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
        user=WechatUser(open_id="o1", app_id="wx1"),
    )
    run = asyncio.create_task(bench.sandbox.run(invocation, bench.host))
    assert await peer.receive(Invoke) == Invoke(
        id="req",
        env={"MP_SOURCE": "http"},
        timeout_ms=1235,
        args=b'{"a":1}',
        trigger_path="/http/x",
        user=WechatUser(open_id="o1", app_id="wx1"),
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


async def test_too_large_a_result_is_refused_before_it_is_read(make_bench: Any) -> None:
    bench = make_bench(result_max_bytes=10)
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


async def test_a_process_that_cannot_be_killed_does_not_hold_up_the_stop(make_bench: Any) -> None:
    bench = make_bench(stop_grace_s=0.05)
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
