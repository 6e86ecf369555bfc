"""The life of one sandbox over its channel and its process; the same on every rung of isolation."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from sandbox import endings
from sandbox.api import (
    Binding,
    Ending,
    Invocation,
    InvocationHost,
    OutcomeKind,
    Sandbox,
    SandboxError,
    SandboxSpec,
)
from sandbox.attempt import Attempt
from sandbox.attempts import Attempts
from sandbox.call_budget import CallBudget
from sandbox.channel import Channel, ChannelListener
from sandbox.egress.access import EgressAccess
from sandbox.frames import PROTOCOL_VERSION, Bind, Frame, FrameError, Hello, Invoke
from sandbox.handle import Exit, ProcessHandle
from sandbox.meter import Measurement
from sandbox.pausing import Pausing
from sandbox.protocol import FrameParser, ResultTooLongError
from sandbox.sandbox_egress import EGRESS, SandboxEgress
from sandbox.service_calls import ServiceCalls

_log = structlog.get_logger(__name__)

# Process and channel end at nearly the same time, in either order. How long the channel may take
# after the process before it is judged without (the other way round: `ProcessHandle.exit_delay_s`);
# an ending is due within 1 s of its event.
_SECOND_SIGN_S = 0.3


class NodeSandbox(Sandbox):
    """A started Node process that runs the bootstrap; `connect` comes first.

    The process behind `handle` belongs to the sandbox from its construction on: whatever happens,
    in the end it is killed and its files are removed. `on_removed` is called once, after that.
    """

    def __init__(
        self,
        spec: SandboxSpec,
        handle: ProcessHandle,
        *,
        egress: EgressAccess | None = None,
        call_budget: CallBudget | None = None,
        folder: Path | None = None,
        on_removed: Callable[[], object] = lambda: None,
    ) -> None:
        """With `egress` the sandbox gets a gate in `folder`, its own one on this machine. `call_budget`
        is that of all sandboxes of a worker."""
        self.spec = spec
        loop = asyncio.get_running_loop()
        self._handle = handle
        self._alive = True
        self._killed = False
        self._bind_called = False
        self._bound = False
        parser = FrameParser.for_worker(spec.limits, self._call_bound)
        self._channel = Channel(parser, self)
        self._channel_closed = asyncio.Event()
        self._attempts = Attempts(
            ServiceCalls(self._channel, spec.limits, call_budget or CallBudget())
        )
        self._pausing = Pausing(handle, after_s=spec.limits.pause_after_s)
        self._egress_access = egress
        self._folder = folder
        self._egress: SandboxEgress | None = None
        self._hello: asyncio.Future[Hello | str] = loop.create_future()
        self._exit: asyncio.Future[Exit | None] = loop.create_future()
        self._life = loop.create_task(self._live(), name=f"life of sandbox {spec.sandbox_id}")
        self._life.add_done_callback(lambda _: on_removed())

    async def connect(self, listener: ChannelListener) -> None:
        """Wait until the bootstrap is connected and ready to bind; closes the listener.

        Raises SandboxError when it is not within `limits.start_timeout_s`. After a failure or a
        cancellation the sandbox is stopped.
        """
        try:
            self._open_egress()
            await self._connect(listener)
        except BaseException:
            await self.stop()
            raise
        finally:
            listener.close()

    @property
    def stray_frames(self) -> int:
        """Frames for no invocation under way, which were ignored, and ends that were announced again."""
        return self._attempts.stray_frames

    # --- Sandbox --------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self._alive

    async def bind(self, binding: Binding, *, request_id: str, host: InvocationHost) -> Ending:
        if self._bind_called:
            raise RuntimeError(f"sandbox {self.spec.sandbox_id} is bound already")
        self._bind_called = True
        limits = self.spec.limits
        try:
            code_dir = await self._handle.show_code(binding.code_dir)
        except BaseException:
            self._condemn(endings.lost("its code could not be shown"))
            raise
        if self._egress is not None:
            self._egress.admit(binding.egress)
        frame = Bind(
            id=request_id,
            space=binding.space_id,
            function=binding.function,
            deployment=binding.deployment_id,
            code_dir=code_dir,
            limits=limits,
            env=binding.env,
            files=binding.files,
        )
        attempt = Attempt(request_id, host, limits, limit_s=limits.load_timeout_s, is_bind=True)
        ending = await self._carry_out(attempt, frame)
        self._bound = ending.kind is OutcomeKind.OK
        return ending

    async def run(self, invocation: Invocation, host: InvocationHost) -> Ending:
        request_id, limit_s = invocation.request_id, invocation.timeout_s
        if not self._bound:
            raise RuntimeError(f"sandbox {self.spec.sandbox_id} is not bound")
        if request_id in self._attempts:
            raise RuntimeError(f"invocation {request_id} is under way already")
        frame = Invoke(
            id=request_id,
            env=invocation.env,
            timeout_ms=math.ceil(limit_s * 1000),
            args=invocation.args,
            trigger_path=invocation.trigger_path,
            user=invocation.user,
        )
        attempt = Attempt(request_id, host, self.spec.limits, limit_s=limit_s)
        self._pausing.begin()
        try:
            return await self._carry_out(attempt, frame)
        finally:
            self._pausing.end()

    async def stop(self) -> None:
        self._condemn(endings.lost("the worker stopped it"))
        await asyncio.wait({self._exit}, timeout=self.spec.limits.stop_grace_s)
        if self._exit.done():
            await asyncio.wait({self._life})
        else:
            _log.error(
                "sandbox_not_gone",
                sandbox_id=self.spec.sandbox_id,
                hint="its process was killed but is still there; see its state in ps",
            )

    async def wait_ended(self) -> None:
        await asyncio.wait({self._exit})

    def _open_egress(self) -> None:
        if self._egress_access is None or self._folder is None:
            return
        egress = SandboxEgress(self._egress_access, self._folder / EGRESS, self._attempts.note)
        self._egress = egress
        try:
            self._handle.admit_socket(egress.path)
        except OSError as error:
            raise SandboxError(
                f"the socket {egress.path} cannot be opened to its sandbox: {error.strerror}."
            ) from error

    async def _carry_out(self, attempt: Attempt, frame: Bind | Invoke) -> Ending:
        if not self._alive:
            return endings.lost("it had ended before the invocation started")
        egress = self._egress
        before = egress.counts() if egress is not None else None
        measurement = Measurement(
            self._handle.meter, asyncio.get_running_loop().time, alone=not len(self._attempts)
        )
        self._channel.send(frame)
        self._attempts.begin(attempt)
        attempt.start(self._on_time_limit)
        try:
            ending = await attempt.ended
            if self._alive and self._handle.meter.out_of_memory():
                # A process that Node started: where the kernel ends a whole group, Node is gone, too.
                over = endings.out_of_memory(self.spec.memory_mb)
                self._condemn(over)
                ending = replace(over, usage=ending.usage)
            usage = measurement.complete(ending.usage)
            if egress is not None and before is not None:
                egress.tell_rest()
                usage = egress.billed(usage, before)
            return replace(ending, usage=usage)
        except asyncio.CancelledError:
            self._attempts.end(attempt, endings.lost("the invocation was cancelled"))
            self._condemn(endings.lost("another invocation in it was cancelled"))
            raise
        finally:
            if attempt.calls:
                await asyncio.wait(attempt.calls, timeout=self.spec.limits.stop_grace_s)

    def _on_time_limit(self, attempt: Attempt) -> None:
        doing = "loading the function's modules" if attempt.is_bind else "the function"
        beside = len(self._attempts) - 1
        self._attempts.end(attempt, endings.timed_out(attempt.limit_s, doing, beside=beside))
        self._condemn(endings.lost("another invocation in it passed its time limit"))

    # --- start and end --------------------------------------------------------------------------

    async def _connect(self, listener: ChannelListener) -> None:
        spec, limit_s = self.spec, self.spec.limits.start_timeout_s
        connecting = asyncio.create_task(
            self._accept(listener), name=f"connection of sandbox {spec.sandbox_id}"
        )
        said: Hello | str | None = f"was silent for {limit_s:g} s"
        try:
            signs: set[asyncio.Future[Any]] = {connecting, self._exit}
            await asyncio.wait(signs, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                said = connecting.result()
        finally:
            connecting.cancel()
            await asyncio.wait({connecting})
        if isinstance(said, Hello):
            said = _objection(said, spec)
        if said is None:
            return
        if not self._killed:
            # A dying process tells more by its exit than by its closed channel.
            await asyncio.wait({self._exit}, timeout=self._handle.exit_delay_s)
            if self._exit.done():
                said = _describe_early_exit(self._exit.result())
        raise SandboxError(
            f"sandbox {spec.sandbox_id} did not start: its process {said}.",
            what_next="Run `yunhan doctor` to see what is missing on this machine.",
        )

    async def _accept(self, listener: ChannelListener) -> Hello | str:
        try:
            await listener.accept(self._channel)
        except OSError as error:
            return f"cannot be connected: {error}"
        return await self._hello

    async def _live(self) -> None:
        """Outlive the process: tell its attempts, then remove what is left of it."""
        exit_: Exit | None = None
        try:
            exit_ = await self._handle.wait()
            self._alive = False
            if self._channel.connected:
                # What it wrote before it died, perhaps a result, may still be unread.
                closed = asyncio.create_task(self._channel_closed.wait())
                await asyncio.wait({closed}, timeout=_SECOND_SIGN_S)
                closed.cancel()
            self._attempts.end_with_process(exit_, self.spec.memory_mb)
            self._condemn(endings.lost("its process has ended"))
            self._exit.set_result(exit_)
            if self._egress is not None:
                await self._egress.close()
            await self._handle.remove()
        except Exception:  # noqa: BLE001 - a defect of ours; nobody else would tell the attempts
            _log.exception("sandbox_watch_failed", sandbox_id=self.spec.sandbox_id)
            self._condemn(endings.lost("the worker failed to watch it"))
        finally:
            self._handle.kill()  # also when the program ends without a word to this sandbox
            if not self._exit.done():
                self._exit.set_result(exit_)

    def _condemn(self, ending: Ending) -> None:
        """End every attempt that is under way and kill the process. Idempotent."""
        self._killed |= self._alive
        self._alive = False
        self._pausing.close()
        self._attempts.end_all(ending)
        self._handle.kill()
        self._channel.abort()

    # --- ChannelPeer ----------------------------------------------------------------------------

    def on_frame(self, frame: Frame) -> None:
        try:
            self._take(frame)
        except FrameError:
            raise
        except Exception:  # noqa: BLE001 - a defect of ours must not be blamed on the function
            _log.exception("sandbox_frame_failed", sandbox_id=self.spec.sandbox_id)
            self._condemn(endings.lost("the worker failed to handle a frame"))

    def _take(self, frame: Frame) -> None:
        if self._hello.done():
            self._attempts.on_frame(frame)
        elif type(frame) is Hello:
            self._hello.set_result(frame)
        else:
            raise FrameError("bad_state", "the first frame is not hello")

    def _call_bound(self, request_id: object, number: object) -> int:
        return self._attempts.call_bound(request_id, number)

    def on_frame_error(self, error: FrameError) -> None:
        if not self._hello.done():
            self._hello.set_result(f"broke the protocol: {error}")
        if isinstance(error, ResultTooLongError):
            run = self._attempts.run_with_id(error.request_id)
            if run is not None:
                self._attempts.end(run, endings.result_too_large(str(error)))
                self._condemn(endings.lost("another invocation in it sent too large a result"))
                return
        self._condemn(endings.protocol_error(str(error)))

    def on_channel_closed(self) -> None:
        self._channel_closed.set()
        if not self._hello.done():
            self._hello.set_result("closed its channel")
        if self._alive:
            asyncio.get_running_loop().call_later(self._handle.exit_delay_s, self._on_silence)

    def _on_silence(self) -> None:
        """The channel is closed, but the process lives on."""
        if not self._alive or self._handle.over:
            return
        if self._channel.truncated:
            self._condemn(endings.protocol_error("it was closed inside a frame"))
        else:
            self._condemn(endings.no_result())


def _objection(hello: Hello, spec: SandboxSpec) -> str | None:
    if hello.protocol != PROTOCOL_VERSION:
        return f"speaks protocol {hello.protocol} instead of {PROTOCOL_VERSION}"
    if not hello.node.startswith(f"v{spec.node_major}."):
        return f"is Node {hello.node} instead of {spec.node_major}"
    return None


def _describe_early_exit(exit_: Exit | None) -> str:
    if exit_ is None:
        return "could not be watched"
    output = exit_.output.decode("utf-8", "replace").strip()
    return endings.describe_exit(exit_) + (f" and wrote: {output}" if output else "")
