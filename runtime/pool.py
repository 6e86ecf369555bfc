"""The pool of live sandboxes: carries out what `pool_state` decides.

A lease is an invocation's hold on a sandbox. The unpacked code stays leased from the code cache as long as
a sandbox is bound to it. Every task started here belongs to the task group of `open`; when one of them
fails, the program ends, because a pool that lost its keeper would only pretend to work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog

from runtime.errors import OursError
from runtime.messages import Job
from runtime.pool_state import (
    Bind,
    Content,
    Full,
    PoolState,
    SandboxClass,
    SandboxKey,
    Start,
    Warm,
)
from runtime.ports import Clock
from sandbox.api import (
    Binding,
    Ending,
    FileHosts,
    InvocationHost,
    Limits,
    Sandbox,
    SandboxError,
    SandboxSpec,
    Spawner,
    Usage,
)

_log = structlog.get_logger(__name__)


class CodeSource(Protocol):
    """Where unpacked code comes from (`runtime.code_cache`)."""

    def lease(self, digest: str, function: str) -> AbstractAsyncContextManager[Path]:
        """The folder with index.js at its top; it stays there until the context is left."""


class Environments(Protocol):
    """Opens what a job carries sealed (`runtime.services.sealed_env`)."""

    def open(self, job: Job) -> Mapping[str, str]:
        """The environment variables of the job's function. Raises OursError."""


class PoolFullError(OursError):
    """Every sandbox of this worker is in use."""

    def __init__(self, max_sandboxes: int) -> None:
        super().__init__(
            "FunctionResourceExhausted",
            f"all {max_sandboxes} sandboxes of this worker are in use (YUNHAN_SANDBOXES_MAX);"
            " try again later",
            retry_after_s=1,
        )


@dataclass(slots=True)
class _Live:
    sandbox_id: str
    sandbox: Sandbox
    code: AsyncExitStack = field(default_factory=AsyncExitStack)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A hold on a sandbox. `failed` is set when the user's module could not be loaded; the lease is
    then over already and must not be released. `load` is what loading it used; None when it was warm."""

    sandbox_id: str
    sandbox: Sandbox
    cold: bool
    start_ms: float = 0.0
    load: Usage | None = None
    failed: Ending | None = None


class SandboxPool:
    """See the module."""

    def __init__(
        self,
        *,
        spawner: Spawner,
        code: CodeSource,
        environments: Environments,
        clock: Clock,
        limits: Limits,
        max_sandboxes: int,
        prewarm: int,
        prewarm_memory_mb: int,
        idle_s: float,
        file_hosts: FileHosts | None = None,
    ) -> None:
        self._spawner = spawner
        self._code = code
        self._environments = environments
        self._clock = clock
        self._limits = limits
        self._file_hosts = file_hosts
        self._max = max_sandboxes
        self._state = PoolState(
            max_sandboxes=max_sandboxes,
            prewarm=prewarm,
            prewarm_class=SandboxClass(spawner.node_majors()[-1], prewarm_memory_mb),
            idle_s=idle_s,
        )
        self._check_every_s = max(0.05, min(idle_s / 4, 10.0))
        self._live: dict[str, _Live] = {}
        self._wake = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.problem: str | None = None
        """Why the last start of a sandbox failed; None after one that did not."""

    def __len__(self) -> int:
        return len(self._state)

    def spaces(self) -> set[str]:
        """Those that have a sandbox here."""
        return self._state.spaces()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep the pool: make sandboxes ahead, stop idle ones. On exit every sandbox is stopped."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            keeper = tasks.create_task(self._keep(), name="keep the sandbox pool")
            try:
                yield
            finally:
                keeper.cancel()
                self._tasks = None
                for live in list(self._live.values()):
                    await self._discard(live)
                for task in self._running:  # a process that cannot be killed must not hold us up
                    task.cancel()

    async def lease(self, key: SandboxKey, job: Job, host: InvocationHost) -> Lease:
        """A sandbox bound to the job's deployment and environment.

        Raises PoolFullError, SandboxError (no sandbox could be made) or OursError (no code, or an
        environment that does not open). Cancellation leaves nothing behind.
        """
        while True:
            decision = self._state.lease(key)
            match decision:
                case Warm(sandbox_id):
                    live = self._live[sandbox_id]
                    if live.sandbox.alive:
                        return Lease(sandbox_id=sandbox_id, sandbox=live.sandbox, cold=False)
                    self._state.ended(sandbox_id)  # died in this very moment
                case Bind(sandbox_id):
                    live = self._live[sandbox_id]
                    if live.sandbox.alive:
                        return await self._bind(live, key, job, host, self._clock.monotonic())
                    self._state.ended(sandbox_id)
                case Start(sandbox_id, evict):
                    began = self._clock.monotonic()
                    live = await self._start(sandbox_id, key.sandbox_class, evict)
                    return await self._bind(live, key, job, host, began)
                case Full():
                    raise PoolFullError(self._max)

    def release(self, lease: Lease, *, reusable: bool) -> None:
        """End a lease. A sandbox that is not reusable is stopped when its last lease ends."""
        usable = reusable and lease.sandbox.alive
        if self._state.released(lease.sandbox_id, reusable=usable, now=self._clock.monotonic()):
            live = self._live.get(lease.sandbox_id)
            if live is not None:
                self._spawn_task(self._discard(live), f"stop sandbox {lease.sandbox_id}")

    def retire(self, space_id: str, keep: frozenset[Content]) -> None:
        """Stop sandboxes of this space whose content is not in `keep`, as they become idle."""
        for sandbox_id in self._state.retire(space_id=space_id, keep=keep):
            live = self._live.get(sandbox_id)
            if live is not None:
                self._spawn_task(self._discard(live), f"stop sandbox {sandbox_id}")

    async def _start(
        self, sandbox_id: str, sandbox_class: SandboxClass, evict: str | None = None
    ) -> _Live:
        try:
            if evict is not None and evict in self._live:
                await self._discard(self._live[evict])
            spec = SandboxSpec(
                sandbox_id=sandbox_id,
                node_major=sandbox_class.node_major,
                memory_mb=sandbox_class.memory_mb,
                limits=self._limits,
            )
            sandbox = await self._spawner.spawn(spec)
        except OSError as error:  # descriptors or processes are used up
            self._state.ended(sandbox_id)
            self.problem = f"sandbox {sandbox_id} cannot be started: {error}."
            raise SandboxError(self.problem) from error
        except BaseException as error:
            self._state.ended(sandbox_id)
            if isinstance(error, SandboxError):
                self.problem = str(error)
            raise
        self.problem = None
        live = _Live(sandbox_id, sandbox)
        self._live[sandbox_id] = live
        self._spawn_task(self._attend(live), f"attend sandbox {sandbox_id}")
        return live

    async def _bind(
        self, live: _Live, key: SandboxKey, job: Job, host: InvocationHost, began: float
    ) -> Lease:
        try:
            code_dir = await live.code.enter_async_context(
                self._code.lease(job.code.digest, job.function)
            )
            ending = await live.sandbox.bind(
                Binding(
                    space_id=job.space_id,
                    function=job.function,
                    deployment_id=job.code.deployment_id,
                    code_dir=code_dir,
                    env=self._environments.open(job),
                    egress=job.egress,
                    files=self._file_hosts,
                ),
                request_id=job.request_id,
                host=host,
            )
        except BaseException:
            await self._discard(live)
            raise
        finally:
            self._wake.set()  # a prewarmed sandbox may be gone: make the next one
        start_ms = (self._clock.monotonic() - began) * 1000
        lease = Lease(
            sandbox_id=live.sandbox_id,
            sandbox=live.sandbox,
            cold=True,
            start_ms=start_ms,
            load=ending.usage,
        )
        if ending.value is None and ending.fault is not None:
            await self._discard(live)
            return replace(lease, failed=ending)
        self._state.bound(live.sandbox_id)
        return lease

    async def _discard(self, live: _Live) -> None:
        """Stop a sandbox and forget it. Idempotent."""
        self._state.ended(live.sandbox_id)
        self._live.pop(live.sandbox_id, None)
        try:
            await live.sandbox.stop()
        finally:
            await live.code.aclose()

    async def _attend(self, live: _Live) -> None:
        """Notice the death of a sandbox, whoever uses it or not."""
        await live.sandbox.wait_ended()
        await self._discard(live)
        self._wake.set()

    async def _keep(self) -> None:
        while True:
            for sandbox_id in self._state.idle(self._clock.monotonic()):
                if sandbox_id in self._live:
                    await self._discard(self._live[sandbox_id])
            for sandbox_id, sandbox_class in self._state.prewarm():
                try:
                    await self._start(sandbox_id, sandbox_class)
                except SandboxError as error:
                    _log.error("sandbox_prewarm_failed", error=str(error))
                    break  # the next check tries again; first calls will say why they fail
                self._state.prewarmed(sandbox_id)
            self._wake.clear()
            try:
                async with asyncio.timeout(self._check_every_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _spawn_task(self, work: object, name: str) -> None:
        assert asyncio.iscoroutine(work)
        if self._tasks is None:  # closing: `open` stops what is left itself
            work.close()
            return
        task: asyncio.Task[None] = self._tasks.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
