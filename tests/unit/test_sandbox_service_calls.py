"""Service calls that a sandbox makes while its invocations run."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sandbox.api import OutcomeKind
from sandbox.frames import UNGRANTED_MAX_BYTES, Call, Grant, Reply, Reserve, Result
from sandbox.protocol import encode
from tests.harness.sandbox_bench import Bench

MIB = 1024 * 1024


def call(number: int, request_id: str = "req", user_id: str | None = None) -> Call:
    return Call(id=request_id, call=number, method="m", params=b"[1]", user_id=user_id)


async def test_calls_are_answered_in_any_order(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(call(1), call(2, user_id="user"))
    method, params, user_id, first = await bench.host.calls.get()
    assert (method, params, user_id) == ("m", b"[1]", None)
    _, _, user_id, second = await bench.host.calls.get()
    assert user_id == "user"
    second.set_result(b'"two"')
    assert await peer.receive(Reply) == Reply(id="req", call=2, envelope=b'"two"')
    first.set_result(b'"one"')
    assert await peer.receive(Reply) == Reply(id="req", call=1, envelope=b'"one"')
    await peer.send(Result(id="req", value=b"1"))
    await run


async def test_calls_left_behind_are_cancelled_before_the_run_returns(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(call(1), call(2))
    await bench.host.calls.get()
    await bench.host.calls.get()
    await peer.send(Result(id="req", value=b"1"))
    assert (await run).value == b"1"
    assert bench.host.cancelled == 2


async def test_a_call_that_has_not_begun_is_cancelled_too(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(call(1), Result(id="req", value=b"1"))
    assert (await run).value == b"1"
    assert bench.host.calls.empty()
    # Its number is free again.
    run = await bench.begin(peer, "req2")
    await peer.send(call(1, "req2"))
    (*_, answer) = await bench.host.calls.get()
    answer.set_result(b"1")
    await peer.receive(Reply)
    await peer.send(Result(id="req2", value=b"2"))
    assert (await run).value == b"2"


async def test_one_call_too_many_ends_the_sandbox(make_bench: Any) -> None:
    bench = make_bench(calls_in_flight_max=2)
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(call(1), call(2), call(3))
    ending = await run
    assert ending.kind is OutcomeKind.PROTOCOL_ERROR
    assert ending.fault is not None
    assert "more than 2" in ending.fault.message


async def test_a_number_in_use_ends_the_sandbox(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(call(1), call(1))
    assert (await run).kind is OutcomeKind.PROTOCOL_ERROR


async def test_answered_and_abandoned_calls_do_not_count(make_bench: Any) -> None:
    bench = make_bench(calls_in_flight_max=1)
    peer = await bench.bound()
    one = await bench.begin(peer, "one")
    two = await bench.begin(peer, "two")
    await peer.send(call(1, "one"))
    (*_, answer) = await bench.host.calls.get()
    answer.set_result(b"1")
    await peer.receive(Reply)
    # In one piece: the call of "one" is abandoned by its result, so "two" may call at once.
    await peer.send(call(2, "one"), Result(id="one", value=b"1"), call(3, "two"))
    assert (await one).value == b"1"
    (*_, answer) = await bench.host.calls.get()
    answer.set_result(b"2")
    assert await peer.receive(Reply) == Reply(id="two", call=3, envelope=b"2")
    await peer.send(Result(id="two", value=b"2"))
    assert (await two).value == b"2"


async def test_a_failing_host_is_answered_as_a_service_error(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(call(1))
    (*_, answer) = await bench.host.calls.get()
    answer.set_exception(RuntimeError("defect with a secret"))
    envelope = json.loads((await peer.receive(Reply)).envelope)
    assert envelope["success"] is False
    assert envelope["error"]["code"] == "InternalServerError"
    assert "secret" not in envelope["error"]["message"]
    await peer.send(Result(id="req", value=b"1"))
    await run


async def test_too_large_an_answer_becomes_an_error(make_bench: Any) -> None:
    bench = make_bench(call_max_bytes=100)
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(call(1))
    (*_, answer) = await bench.host.calls.get()
    answer.set_result(b"1" * 101)
    envelope = json.loads((await peer.receive(Reply)).envelope)
    assert envelope["error"]["code"] == "ResponseContentLength.Exceeded"
    await peer.send(Result(id="req", value=b"1"))
    await run


def long_call(number: int, size: int, request_id: str = "req") -> Call:
    return Call(id=request_id, call=number, method="m", params=b"1" * size)


def reserve(number: int, size: int, request_id: str = "req") -> Reserve:
    return Reserve(id=request_id, call=number, size=size)


async def test_a_long_call_is_asked_for_and_granted(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    size = UNGRANTED_MAX_BYTES + 1
    await peer.send(reserve(1, size))
    assert await peer.receive(Grant) == Grant(id="req", call=1)
    await peer.send(long_call(1, size))
    _, params, _, answer = await bench.host.calls.get()
    assert len(params) == size
    answer.set_result(b"1")
    await peer.receive(Reply)
    await peer.send(Result(id="req", value=b"1"))
    assert (await run).value == b"1"


@pytest.mark.parametrize(
    "frames",
    [
        [long_call(1, UNGRANTED_MAX_BYTES + 1)],
        [reserve(1, UNGRANTED_MAX_BYTES + 1), long_call(1, UNGRANTED_MAX_BYTES + 2)],
        [reserve(1, 100_000), reserve(1, 100_000)],
        [reserve(1, 100_000), long_call(1, 10), long_call(1, 10)],
        [reserve(1, 100_000), reserve(2, 16 * MIB), reserve(3, 16 * MIB), long_call(3, 100_000)],
        [reserve(1, 16 * MIB + 1)],
        [reserve(number, 1) for number in range(101)],
    ],
    ids=[
        "not asked for",
        "longer than granted",
        "asked for twice",
        "sent twice",
        "not granted yet",
        "too long",
        "too many",
    ],
)
async def test_long_calls_against_the_rules_end_the_sandbox(
    bench: Bench, frames: list[Any]
) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(*frames)
    assert (await run).kind is OutcomeKind.PROTOCOL_ERROR


@pytest.mark.parametrize("before", ["nothing", "another's", "shorter", "begun", "ended"])
async def test_a_long_call_that_was_not_granted_is_refused_before_it_is_read(
    bench: Bench, before: str
) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    long = long_call(1, 16 * MIB)
    if before == "another's":
        await bench.begin(peer, "other")
        await peer.send(reserve(1, 16 * MIB, "other"))
        await peer.receive(Grant)
    elif before == "shorter":
        await peer.send(reserve(1, 16 * MIB - 1))
        await peer.receive(Grant)
    elif before == "begun":
        await peer.send(reserve(1, 16 * MIB), long)
        await peer.receive(Grant)
        await bench.host.calls.get()
    elif before == "ended":
        await peer.send(reserve(1, 16 * MIB), Result(id="req", value=b"1"))
        await peer.receive(Grant)
        await run
        run = await bench.begin(peer, "next")
    await peer.send_bytes(encode(long)[: -16 * MIB])  # the header; nothing else comes
    ending = await run
    assert ending.kind is OutcomeKind.PROTOCOL_ERROR
    assert ending.fault is not None
    assert "was not granted" in ending.fault.message


@pytest.mark.parametrize("header", [b'{"t":"call","id":[],"call":1}', b'{"t":"call","id":"req"}'])
async def test_a_long_call_of_nobody_is_refused(bench: Bench, header: bytes) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send_bytes(len(header).to_bytes(4) + (MIB).to_bytes(4) + header)
    assert (await run).kind is OutcomeKind.PROTOCOL_ERROR


async def test_long_calls_wait_in_the_sandbox_and_nothing_else_does(make_bench: Any) -> None:
    bench = make_bench(calls_max_bytes=2 * MIB)
    peer = await bench.bound()
    run = await bench.begin(peer)
    other = await bench.begin(peer, "other")
    await peer.send(*[reserve(number, MIB) for number in (1, 2, 3, 4)])
    assert [(await peer.receive(Grant)).call for _ in "12"] == [1, 2]
    # Of another invocation in the same sandbox: one call is always granted, and its result comes.
    await peer.send(reserve(5, MIB, "other"))
    assert (await peer.receive(Grant)).call == 5
    await peer.send(call(6, "other"), long_call(5, MIB, "other"))
    for _ in "56":
        (*_, answer) = await bench.host.calls.get()
        answer.set_result(b"1")
        await peer.receive(Reply)
    await peer.send(Result(id="other", value=b"2"))
    assert (await other).value == b"2"
    await peer.send(long_call(1, MIB))
    (*_, answer) = await bench.host.calls.get()
    answer.set_result(b"1")
    assert {type(await peer.receive(object)) for _ in "12"} == {Reply, Grant}
    await peer.send(Result(id="req", value=b"1"))
    await run
    # What it held is free again.
    run = await bench.begin(peer, "next")
    await peer.send(reserve(1, MIB, "next"), reserve(2, MIB, "next"))
    assert [(await peer.receive(Grant)).call for _ in "12"] == [1, 2]
    await peer.send(Result(id="next", value=b"1"))
    await run


async def test_answers_that_are_not_read_are_dropped_beyond_both_bounds(make_bench: Any) -> None:
    bench = make_bench(calls_max_bytes=MIB, calls_worker_max_bytes=MIB)
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(*[call(number) for number in range(1, 6)])
    answers = [(await bench.host.calls.get())[-1] for _ in range(5)]
    for answer in answers:
        answer.set_result(b"1" * (MIB // 2))
    await settled()
    # Not begun while so much waits.
    await peer.send(call(6))
    await settled()
    assert bench.host.calls.empty()
    sizes = [len((await peer.receive(Reply)).envelope) for _ in range(5)]
    assert sorted(size == MIB // 2 for size in sizes) == [False] * 2 + [True] * 3
    (*_, answer) = await bench.host.calls.get()
    answer.set_result(b"1")
    assert (await peer.receive(Reply)).call == 6
    await peer.send(Result(id="req", value=b"1"))
    await run


async def test_answers_wait_for_a_sandbox_that_does_not_read(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    size = MIB // 2
    for number in range(1, 21):
        await peer.send(call(number))
        (*_, answer) = await bench.host.calls.get()
        answer.set_result(b"1" * size)
        await settled()
    transport = bench.sandbox._channel._transport
    assert transport is not None
    assert transport.get_write_buffer_size() < 2 * size
    replies = [(await peer.receive(Reply)).call for _ in range(20)]
    assert sorted(replies) == list(range(1, 21))
    await peer.send(Result(id="req", value=b"1"))
    assert (await run).value == b"1"


async def settled() -> None:
    """Let everything run that is ready to."""
    for _ in range(10):
        await asyncio.sleep(0)
