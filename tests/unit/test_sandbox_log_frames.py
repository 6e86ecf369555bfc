"""Log lines that a sandbox sends while its invocations run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sandbox.api import LogLevel, LogLine, OutcomeKind
from sandbox.frames import Call, Log, Result
from sandbox.protocol import encode
from tests.harness.log_lines import write_log_lines
from tests.harness.sandbox_bench import Bench, Host


def lines(*texts: str) -> bytes:
    return write_log_lines([LogLine(level=LogLevel.INFO, time_ms=1, text=text) for text in texts])


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


async def test_a_sandbox_that_ignores_the_log_limits_is_cut(make_bench: Any) -> None:
    bench = make_bench(log_lines_max=3, log_line_max_bytes=4)
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
    cut = Log(id="req", cut=True, lines=lines())
    await peer.send(cut, cut, Result(id="req", value=b"1"))
    await run
    assert bench.host.logs == [([], True)]


async def test_beyond_its_bounds_a_log_is_not_even_read(make_bench: Any) -> None:
    bench = make_bench(log_lines_max=1)
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(
        Log(id="req", cut=False, lines=lines("one", "two")),
        Log(id="req", cut=False, lines=b"no JSON"),
        Log(id="req", cut=True, lines=b"no JSON"),
        Result(id="req", value=b"1"),
    )
    assert (await run).kind is OutcomeKind.OK
    assert bench.host.logs == [(["one"], True)]


async def test_lines_that_are_none_end_the_sandbox_while_the_log_is_open(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(Log(id="req", cut=False, lines=b"no JSON"))
    assert (await run).kind is OutcomeKind.PROTOCOL_ERROR


@pytest.mark.parametrize("payload", [b"[]", lines("x")])
async def test_more_log_frames_than_lines_end_the_sandbox(make_bench: Any, payload: bytes) -> None:
    bench = make_bench(log_lines_max=3)
    peer = await bench.bound()
    run = await bench.begin(peer, "one")
    frames = [Log(id="one", cut=False, lines=payload)] * 103
    await peer.send(*frames, Result(id="one", value=b"1"))
    assert (await run).kind is OutcomeKind.OK
    run = await bench.begin(peer, "two")
    await peer.send(*[Log(id="two", cut=False, lines=payload)] * 104)
    ending = await run
    assert ending.kind is OutcomeKind.PROTOCOL_ERROR
    assert ending.fault is not None
    assert "log frames" in ending.fault.message


async def test_others_get_their_turn_between_the_frames_of_one_read(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    await peer.send(*[Log(id="req", cut=False, lines=lines("x"))] * 100, Result(id="req"))
    seen: set[int] = set()
    while not run.done():
        seen.add(len(bench.host.logs))
        await asyncio.sleep(0)
    assert len(bench.host.logs) == 100
    assert len(seen - {0, 100}) >= 3


async def test_what_came_before_the_end_of_the_channel_counts(bench: Bench) -> None:
    peer = await bench.bound()
    run = await bench.begin(peer)
    logs = [Log(id="req", cut=False, lines=lines("x"))] * 100
    channel = bench.sandbox._channel
    data = b"".join([*map(encode, logs), encode(Result(id="req", value=b"1"))])
    transport = channel._transport
    assert transport is not None
    channel.data_received(data)
    transport.abort()
    assert len(bench.host.logs) < 100
    assert (await run).value == b"1"
    assert len(bench.host.logs) == 100


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
