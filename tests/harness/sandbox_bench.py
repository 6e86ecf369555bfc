"""A sandbox whose process and peer the test plays itself, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sandbox.api import Binding, Ending, Invocation, Limits, LogLine, OutcomeKind, SandboxSpec
from sandbox.channel import ChannelListener
from sandbox.frame_codec import WORKER_DECODERS
from sandbox.frames import Bind, Bound, Frame, Hello, Invoke
from sandbox.handle import Exit, ProcessHandle
from sandbox.meter import Meter
from sandbox.node_sandbox import NodeSandbox
from sandbox.protocol import FrameParser, encode

HELLO = Hello(protocol=1, node="v24.19.0", pid=1)
BINDING = Binding(space_id="mp-space", function="f", deployment_id="dep-1", code_dir=Path("/code"))

_PAYLOAD_MAX = 16 * 1024 * 1024

FrameT = TypeVar("FrameT", bound=Frame)
Run: TypeAlias = asyncio.Task[Ending]


class FakeMeter(Meter):
    """Says what the test says."""

    cpu: float | None = None
    peak: float | None = None
    killed = False

    def cpu_ms(self) -> float | None:
        return self.cpu

    def peak_mb(self, told: float | None) -> float | None:
        return told if self.peak is None else self.peak

    def out_of_memory(self) -> bool:
        return self.killed


class FakeHandle(ProcessHandle):
    """A process that dies when it is killed or when the test says so."""

    def __init__(self) -> None:
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.kills = 0
        self._meter = FakeMeter()
        self.removed = 0
        self.unkillable = False
        self.pauses = 0
        self.resumes = 0
        self.looks_needed = 1
        self.paused: asyncio.Queue[int] = asyncio.Queue()

    @property
    def meter(self) -> FakeMeter:
        return self._meter

    def die(self, exit_: Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(exit_)

    async def show_code(self, code_dir: Path) -> str:
        return str(code_dir)

    def admit_socket(self, path: Path) -> None:
        pass

    def pause(self) -> bool:
        self.pauses += 1
        self.paused.put_nowait(self.pauses)
        return self.pauses < self.looks_needed

    def resume(self) -> None:
        self.resumes += 1

    def kill(self) -> None:
        self.kills += 1
        if not self.unkillable:
            self.die(Exit(signal=9))

    async def wait(self) -> Exit:
        return await asyncio.shield(self.exited)

    async def remove(self) -> None:
        assert self.exited.done()
        self.removed += 1


class Host:
    """Keeps what it gets; answers calls through futures that the test resolves."""

    def __init__(self) -> None:
        self.logs: list[tuple[list[str], bool]] = []
        self.calls: asyncio.Queue[tuple[str, bytes, str | None, asyncio.Future[bytes]]] = (
            asyncio.Queue()
        )
        self.cancelled = 0

    def on_log(self, lines: Sequence[LogLine], *, cut: bool) -> None:
        self.logs.append(([line.text for line in lines], cut))

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.calls.put_nowait((method, params, user_id, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # as a host that has something to clean up
            await asyncio.sleep(0)
            self.cancelled += 1
            raise


class Peer:
    """The sandbox's side of the channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        bounds = {"bind": 0, "invoke": _PAYLOAD_MAX, "reply": _PAYLOAD_MAX, "grant": 0}
        self._parser = FrameParser(WORKER_DECODERS, bounds)
        self._frames: list[Frame] = []

    async def send(self, *frames: Frame) -> None:
        await self.send_bytes(b"".join(map(encode, frames)))

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self, kind: type[FrameT]) -> FrameT:
        while not self._frames:
            data = await self._reader.read(65536)
            assert data, "the worker closed the channel"
            self._frames += self._parser.feed(data)
        frame = self._frames.pop(0)
        assert isinstance(frame, kind)
        return frame

    async def wait_closed_by_worker(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            while await self._reader.read(65536):
                pass

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await self._writer.wait_closed()


class Bench:
    """One sandbox, its fake process and the way to its channel."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.path = folder / "channel"
        self.handle = FakeHandle()
        self.listener = ChannelListener(self.path)
        self.removals: list[bool] = []
        self.spec = SandboxSpec(sandbox_id="one", node_major=24, memory_mb=128, limits=limits)
        self.sandbox = NodeSandbox(
            self.spec, self.handle, on_removed=lambda: self.removals.append(True)
        )
        self.connecting = asyncio.create_task(self.sandbox.connect(self.listener))
        self.peers: list[Peer] = []
        self.host = Host()

    async def peer(self) -> Peer:
        peer = Peer(*await asyncio.open_unix_connection(self.path))
        self.peers.append(peer)
        return peer

    async def connected(self) -> Peer:
        peer = await self.peer()
        await peer.send(HELLO)
        await self.connecting
        return peer

    async def bound(self) -> Peer:
        peer = await self.connected()
        binding = asyncio.create_task(self.sandbox.bind(BINDING, request_id="load", host=self.host))
        await peer.receive(Bind)
        await peer.send(Bound(id="load", load_ms=1.0))
        assert (await binding).kind is OutcomeKind.OK
        return peer

    async def begin(self, peer: Peer, request_id: str = "req", timeout_s: float = 30) -> Run:
        """Start a run; the peer has its invoke frame."""
        invocation = Invocation(request_id=request_id, args=b"{}", env={}, timeout_s=timeout_s)
        run = asyncio.create_task(self.sandbox.run(invocation, self.host))
        await peer.receive(Invoke)
        return run

    async def close(self) -> None:
        self.handle.unkillable = False
        self.connecting.cancel()
        await asyncio.wait({self.connecting})
        await self.sandbox.stop()
        for peer in self.peers:
            await peer.close()
        assert self.handle.removed == 1
        assert self.removals == [True]
        assert not self.path.exists()


@asynccontextmanager
async def benches(folder: Path) -> AsyncIterator[Any]:
    """A function that makes benches with given `Limits`; they are closed at the end."""
    made: list[Bench] = []

    def make(**limits: Any) -> Bench:
        own = folder / str(len(made))
        own.mkdir()
        made.append(Bench(own, Limits(**limits)))
        return made[-1]

    yield make
    for bench in made:
        await bench.close()
