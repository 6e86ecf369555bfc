"""A scripted rung for tests: functions are Python callables, nothing is started.

Held to the same contract suite as the real rungs, so that what is tested over it holds there too.

    spawner = MemorySpawner()
    spawner.functions["hello"] = lambda context: {"hi": context.args["name"]}
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import orjson

from sandbox import endings
from sandbox.api import (
    Binding,
    Ending,
    Fault,
    Invocation,
    InvocationHost,
    LogLevel,
    LogLine,
    OutcomeKind,
    Sandbox,
    SandboxError,
    SandboxSpec,
    Spawner,
    Usage,
)
from sandbox.json_text import dump_json
from sandbox.log_bounds import LogBounds


class EndWith(BaseException):
    """Raised by a scripted function to end its invocation in a given way.

    An ending that is not reusable is what a process's death looks like: the sandbox is gone, and
    other runs in it end likewise.
    """

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.kind.value)
        self.ending = ending


class MemoryContext:
    """What a scripted function gets instead of `ctx`."""

    def __init__(
        self, sandbox: MemorySandbox, request_id: str, host: InvocationHost, args: Any
    ) -> None:
        self.sandbox = sandbox
        self.request_id = request_id
        self.args = args
        self.env: dict[str, str] = {}
        self.calls: set[asyncio.Task[bytes]] = set()
        self._host = host
        self._bounds = LogBounds(sandbox.spec.limits)
        self._cut_told = False

    def log(self, text: str, level: LogLevel = LogLevel.INFO) -> None:
        """Write one log line."""
        line = LogLine(level=level, time_ms=time.time_ns() // 1_000_000, text=text)
        lines, cut = self._bounds.admit([line])
        if lines or (cut and not self._cut_told):
            self._host.on_log(lines, cut=cut and not self._cut_told)
        self._cut_told |= cut

    def begin_call(
        self, method: str, params: Any, *, user_id: str | None = None
    ) -> asyncio.Task[bytes]:
        """Start a service call; it is cancelled when the invocation ends."""
        call = asyncio.ensure_future(self._host.on_call(method, dump_json(params), user_id=user_id))
        self.calls.add(call)
        call.add_done_callback(self.calls.discard)
        return call

    async def call(self, method: str, params: Any, *, user_id: str | None = None) -> Any:
        """One service call; the decoded envelope."""
        return orjson.loads(await self.begin_call(method, params, user_id=user_id))

    async def never(self) -> NoReturn:
        """Do not end, as a promise that nobody resolves or an endless loop."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    def exit(self, code: int) -> NoReturn:
        """End the sandbox as `process.exit(code)` does."""
        fault = Fault(name="Exited", message=f"the function's process exited with code {code}")
        raise EndWith(Ending(kind=OutcomeKind.EXITED, fault=fault, reusable=False))


MemoryFunction: TypeAlias = Callable[[MemoryContext], Any | Awaitable[Any]]


class MemorySandbox(Sandbox):
    """A sandbox without a process. Tests may read everything and call `die`."""

    def __init__(self, spawner: MemorySpawner, spec: SandboxSpec) -> None:
        self.spec = spec
        self.binding: Binding | None = None
        self.invocations: list[Invocation] = []
        """Every invocation that was started here, oldest first."""
        self.state: dict[str, Any] = {}
        """For scripted functions: what a module's variables are in Node."""
        self._spawner = spawner
        self._bound = False
        self._running: dict[str, asyncio.Future[Ending]] = {}
        self._ended = asyncio.Event()

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    def die(self, ending: Ending) -> None:
        """The process is gone: every run under way ends with `ending`. Idempotent."""
        self._ended.set()
        self._spawner.forget(self)
        for running in list(self._running.values()):
            if not running.done():
                running.set_result(ending)

    async def bind(self, binding: Binding, *, request_id: str, host: InvocationHost) -> Ending:
        if self.binding is not None:
            raise RuntimeError(f"sandbox {self.spec.sandbox_id} is bound already")
        self.binding = binding
        load = self._spawner.loads.get(binding.function)
        if load is None and binding.function not in self._spawner.functions:
            load = _missing_module
        context = MemoryContext(self, request_id, host, None)
        limit_s = self.spec.limits.load_timeout_s
        ending = await self._carry_out(
            context, load or (lambda _: None), limit_s, "loading the function's modules"
        )
        self._bound = ending.kind is OutcomeKind.OK
        return Ending(
            kind=ending.kind,
            fault=ending.fault,
            usage=ending.usage,
            reusable=self._bound,
        )

    async def run(self, invocation: Invocation, host: InvocationHost) -> Ending:
        if not self._bound or self.binding is None:
            raise RuntimeError(f"sandbox {self.spec.sandbox_id} is not bound")
        if invocation.request_id in self._running:
            raise RuntimeError(f"invocation {invocation.request_id} is under way already")
        if self.alive:
            self.invocations.append(invocation)
        args = orjson.loads(invocation.args) if invocation.args else {}
        context = MemoryContext(self, invocation.request_id, host, args)
        context.env.update(invocation.env)
        function = self._spawner.functions[self.binding.function]
        return await self._carry_out(context, function, invocation.timeout_s, "the function")

    async def stop(self) -> None:
        self.die(endings.lost("the worker stopped it"))

    async def wait_ended(self) -> None:
        await self._ended.wait()

    async def _carry_out(
        self, context: MemoryContext, function: MemoryFunction, limit_s: float, doing: str
    ) -> Ending:
        if not self.alive:
            return endings.lost("it had ended before the invocation started")
        script = asyncio.ensure_future(self._perform(context, function))
        ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._running[context.request_id] = ended
        script.add_done_callback(lambda _: _settle(ended, script))
        try:
            await asyncio.wait({ended}, timeout=limit_s)
            if not ended.done():
                ended.set_result(endings.timed_out(limit_s, doing))
                self.die(endings.lost("another invocation in it passed its time limit"))
            return ended.result()
        except asyncio.CancelledError:
            ended.cancel()
            self.die(endings.lost("another invocation in it was cancelled"))
            raise
        finally:
            del self._running[context.request_id]
            left_over = {script, *context.calls}
            for task in left_over:
                task.cancel()
            await asyncio.wait(left_over)

    async def _perform(self, context: MemoryContext, function: MemoryFunction) -> Ending:
        started = time.perf_counter()
        try:
            value = function(context)
            if inspect.isawaitable(value):
                value = await value
        except EndWith as end:
            if not end.ending.reusable:
                self.die(end.ending)
            return end.ending
        except Exception as error:  # noqa: BLE001 - what a function throws is its result
            code = getattr(error, "code", None)
            fault = Fault(
                name=type(error).__name__,
                message=str(error),
                code=None if code is None else str(code),
            )
            return Ending(kind=OutcomeKind.FUNCTION_ERROR, fault=fault)
        usage = Usage(run_ms=(time.perf_counter() - started) * 1000)
        return self._ending_with(value, usage)

    def _ending_with(self, value: Any, usage: Usage) -> Ending:
        limit = self.spec.limits.result_max_bytes
        try:
            text = dump_json(value)
        except (TypeError, ValueError) as error:
            fault = Fault(name="TypeError", message=str(error))
            return Ending(kind=OutcomeKind.RESULT_NOT_SERIALIZABLE, fault=fault, usage=usage)
        if len(text) > limit:
            message = f"the result has {len(text)} bytes, the limit is {limit} bytes"
            fault = Fault(name="ResultTooLarge", message=message)
            return Ending(kind=OutcomeKind.RESULT_TOO_LARGE, fault=fault, usage=usage)
        return Ending(kind=OutcomeKind.OK, value=text, usage=usage)


def _settle(ended: asyncio.Future[Ending], script: asyncio.Future[Ending]) -> None:
    if not script.cancelled() and not ended.done():
        ended.set_result(script.result())


def _missing_module(_: MemoryContext) -> NoReturn:
    error = LookupError("Cannot find the function's index.js")
    error.code = "MODULE_NOT_FOUND"  # type: ignore[attr-defined]
    raise error


class MemorySpawner(Spawner):
    """Makes `MemorySandbox`es. What its functions do is set by name in `functions` and `loads`."""

    rung = "memory"
    isolates = False

    def __init__(self, *, node_majors: Sequence[int] = (24,)) -> None:
        self.functions: dict[str, MemoryFunction] = {}
        """What each function of that name does when it is invoked."""
        self.loads: dict[str, MemoryFunction] = {}
        """What happens when that function's modules load; nothing by default."""
        self.live: dict[str, MemorySandbox] = {}
        self.spawned: list[MemorySandbox] = []
        """Every sandbox ever made, oldest first."""
        self.before_spawn: Callable[[SandboxSpec], Awaitable[None]] | None = None
        """Awaited before each start; may wait, or raise SandboxError for one that fails."""
        self._node_majors = sorted(node_majors)
        self._started = False

    async def start(self) -> None:
        self._started = True

    async def spawn(self, spec: SandboxSpec) -> Sandbox:
        if not self._started:
            raise SandboxError("the memory spawner is not started.")
        if spec.node_major not in self._node_majors:
            raise SandboxError(f"Node.js {spec.node_major} is not installed.")
        if spec.sandbox_id in self.live:
            raise SandboxError(f"a sandbox {spec.sandbox_id} exists already.")
        if self.before_spawn is not None:
            await self.before_spawn(spec)
        sandbox = MemorySandbox(self, spec)
        self.live[spec.sandbox_id] = sandbox
        self.spawned.append(sandbox)
        return sandbox

    def forget(self, sandbox: MemorySandbox) -> None:
        """Called by a sandbox that has ended."""
        self.live.pop(sandbox.spec.sandbox_id, None)

    async def stop(self) -> None:
        self._started = False
        for sandbox in list(self.live.values()):
            await sandbox.stop()

    def node_majors(self) -> Sequence[int]:
        return self._node_majors
