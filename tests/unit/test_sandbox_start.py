"""A sandbox until it is ready to run: connection, hello, bind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import Ending, Limits, LogLevel, LogLine, OutcomeKind, SandboxError, Usage
from sandbox.channel import ChannelListener
from sandbox.frames import Bind, Bound, Call, Frame, Hello, Log, Result
from sandbox.handle import Exit
from sandbox.protocol import encode
from tests.harness.log_lines import write_log_lines
from tests.harness.sandbox_bench import BINDING, HELLO, Bench

# --- start ------------------------------------------------------------------------------------


async def test_the_listener_is_gone_after_the_one_connection(bench: Bench) -> None:
    await bench.connected()
    assert bench.sandbox.alive
    assert not bench.path.exists()
    with pytest.raises(OSError):
        await bench.peer()


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "broke the protocol"),
        (encode(Bound(id="x", load_ms=1.0)), "first frame is not hello"),
        (encode(Hello(protocol=2, node="v24.0.0", pid=1)), "protocol 2"),
        (encode(Hello(protocol=1, node="v18.4.0", pid=1)), "Node v18.4.0 instead of 24"),
    ],
    ids=["another protocol", "bound", "another version", "another Node"],
)
async def test_a_wrong_first_frame_is_a_failed_start(
    bench: Bench, first: bytes, reason: str
) -> None:
    peer = await bench.peer()
    await peer.send_bytes(first)
    with pytest.raises(SandboxError, match=reason):
        await bench.connecting
    assert not bench.sandbox.alive
    assert bench.handle.kills


async def test_a_closed_channel_before_hello_is_a_failed_start(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.close()
    with pytest.raises(SandboxError, match="closed its channel"):
        await bench.connecting


async def test_an_early_exit_is_told_with_its_output(bench: Bench) -> None:
    bench.handle.die(Exit(code=1, output=b"Error: cannot find module\n"))
    with pytest.raises(SandboxError, match="exited with code 1 and wrote: Error: cannot find"):
        await bench.connecting
    assert not bench.sandbox.alive


async def test_the_exit_is_a_better_reason_than_the_closed_channel(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.close()
    bench.handle.die(Exit(signal=11))
    with pytest.raises(SandboxError, match="SIGSEGV"):
        await bench.connecting


@pytest.mark.parametrize("connects", [True, False])
async def test_silence_is_a_failed_start(make_bench: Any, connects: bool) -> None:
    bench = make_bench(start_timeout_s=0.05)
    if connects:
        await bench.peer()
    with pytest.raises(SandboxError, match=r"silent for 0\.05 s"):
        await bench.connecting
    assert bench.handle.kills


async def test_a_cancelled_start_leaves_nothing(bench: Bench) -> None:
    await asyncio.sleep(0)
    bench.connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bench.connecting
    assert bench.handle.kills
    assert bench.handle.removed == 1


async def test_too_long_a_socket_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="fewer than 100") as caught:
        ChannelListener(tmp_path / ("x" * 100))
    assert "shorter directory" in caught.value.what_next


async def test_an_impossible_socket_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot be made"):
        ChannelListener(Path("/nonexistent/channel"))


# --- bind -------------------------------------------------------------------------------------


async def test_bind_says_what_the_sandbox_needs(bench: Bench) -> None:
    peer = await bench.connected()
    binding = asyncio.create_task(bench.sandbox.bind(BINDING, request_id="load", host=bench.host))
    assert await peer.receive(Bind) == Bind(
        id="load",
        space="mp-space",
        function="f",
        deployment="dep-1",
        code_dir="/code",
        limits=Limits(),
    )
    line = LogLine(level=LogLevel.INFO, time_ms=1, text="loading")
    await peer.send(
        Log(id="load", cut=False, lines=write_log_lines([line])), Bound(id="load", load_ms=2.5)
    )
    assert await binding == Ending(kind=OutcomeKind.OK, usage=Usage(run_ms=2.5))
    assert bench.host.logs == [(["loading"], False)]


@pytest.mark.parametrize(
    "frame",
    [
        Bound(id="other", load_ms=1.0),
        Result(id="load", value=b"1"),
        Call(id="load", call=1, method="m", params=b"{}"),
        HELLO,
    ],
    ids=["bound of another", "result", "call", "hello"],
)
async def test_a_frame_that_does_not_fit_ends_the_bind(bench: Bench, frame: Frame) -> None:
    peer = await bench.connected()
    binding = asyncio.create_task(bench.sandbox.bind(BINDING, request_id="load", host=bench.host))
    await peer.receive(Bind)
    await peer.send(frame)
    assert (await binding).kind is OutcomeKind.PROTOCOL_ERROR
    assert not bench.sandbox.alive


async def test_a_death_while_loading_is_told(bench: Bench) -> None:
    peer = await bench.connected()
    binding = asyncio.create_task(bench.sandbox.bind(BINDING, request_id="load", host=bench.host))
    await peer.receive(Bind)
    bench.handle.die(Exit(code=3))
    await peer.close()
    ending = await binding
    assert ending.kind is OutcomeKind.EXITED
    assert not ending.reusable


async def test_a_cancelled_bind_ends_the_sandbox(bench: Bench) -> None:
    peer = await bench.connected()
    binding = asyncio.create_task(bench.sandbox.bind(BINDING, request_id="load", host=bench.host))
    await peer.receive(Bind)
    binding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await binding
    assert bench.handle.kills
