"""What a sandbox sends while its invocations run: log lines and service calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sandbox.api import LogLevel, LogLine, OutcomeKind
from sandbox.frames import Call, Log, Reply, Result
from tests.harness.sandbox_bench import Bench, Host, benches

MIB = 1024 * 1024


@pytest.fixture
async def make(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    async with benches(tmp_path_factory.mktemp("b")) as make_bench:
        yield make_bench


@pytest.fixture
async def bench(make: Any) -> Bench:
    made: Bench = make()
    return made


# --- logs -------------------------------------------------------------------------------------


def lines(*texts: str) -> tuple[LogLine, ...]:
    return tuple(LogLine(level=LogLevel.INFO, time_ms=1, text=text) for text in texts)


async def test_log_lines_go_to_their_own_invocation(bench: Bench) -> None:
    peer = await bench.bound()
    one = await bench.begin(peer, "one")
    first_host, bench.host = bench.host, Host()
    two = await bench.begin(peer, "two")
    await peer.send(
        Log(id="two", cut=False, lines=lines("b")),
        Log(id="one", cut=False, lines=lines("a")),
        Result(id="one", value=b"1"),
        Log(id="one", cut=False, lines=lines("too late")),
        Result(id="two", value=b"2"),
    )
    assert [(await run).kind for run in (one, two)] == [OutcomeKind.OK, OutcomeKind.OK]
    assert first_host.logs == [(["a"], False)]
    assert bench.host.logs == [(["b"], False)]
    assert bench.sandbox.stray_frames == 1


async def test_a_sandbox_that_ignores_the_log_limits_is_cut(make: Any) -> None:
    bench = make(log_lines_max=3, log_line_max_bytes=4)
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(
        Log(id="req", cut=False, lines=lines("one")),
        Log(id="req", cut=False, lines=lines("too long")),
        Log(id="req", cut=False, lines=lines("3", "4", "5")),
        *[Log(id="req", cut=False, lines=lines("more"))] * 10,
        Result(id="req", value=b"1"),
    )
    assert (await run).kind is OutcomeKind.OK
    assert bench.host.logs == [(["one"], False), (["too "], True), (["3"], False)]


async def test_a_cut_is_told_once_even_without_lines(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    cut = Log(id="req", cut=True, lines=())
    await peer.send(cut, cut, Result(id="req", value=b"1"))
    await run
    assert bench.host.logs == [([], True)]


async def test_a_host_that_fails_to_log_does_not_end_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(lines: Sequence[LogLine], *, cut: bool) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(bench.host, "on_log", fail)
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(Log(id="req", cut=False, lines=lines("a")), Result(id="req", value=b"1"))
    assert (await run).value == b"1"


async def test_endless_frames_for_ended_invocations_end_the_sandbox(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.attempts.STRAY_FRAMES_MAX", 5)
    peer = await bench.bound()
    run = await bench.begin(peer)
    stray = Call(id="ended", call=1, method="m", params=b"")
    await peer.send(*[stray] * 6)
    assert (await run).kind is OutcomeKind.PROTOCOL_ERROR


# --- service calls ------------------------------------------------------------------------------


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


async def test_one_call_too_many_ends_the_sandbox(make: Any) -> None:
    bench = make(calls_in_flight_max=2)
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


async def test_answered_and_abandoned_calls_do_not_count(make: Any) -> None:
    bench = make(calls_in_flight_max=1)
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


async def test_too_large_an_answer_becomes_an_error(make: Any) -> None:
    bench = make(call_max_bytes=100)
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(call(1))
    (*_, answer) = await bench.host.calls.get()
    answer.set_result(b"1" * 101)
    envelope = json.loads((await peer.receive(Reply)).envelope)
    assert envelope["error"]["code"] == "ResponseContentLength.Exceeded"
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
