"""The life of one program: start, serve, drain, end.

Everything long-lived is entered into one exit stack and left in reverse order. Background work runs in one
task group: when a part of it fails, the program ends with an error instead of limping on.

Shutdown: say "not ready", go on for `drain_notice_s` so that load balancers see it, refuse new calls, take no
more jobs and give back those that did not start, let running ones end (`drain_grace_s`), write what is
buffered, stop the sandboxes, then the databases. A second signal ends the program at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import structlog

from runtime.data_dir import DataDir
from runtime.ports import Queue
from runtime.settings import Settings
from runtime.tasks import end_tasks
from runtime.wiring.program import Program, bind, build_program
from runtime.wiring.roles import Role, settings_for
from runtime.worker import Worker

_log = structlog.get_logger(__name__)


_COLLECT_AFTER = 10_000
"""Objects made and not yet freed, before the collector looks at them."""


class PartFailedError(Exception):
    """A background part ended that must not end."""


def run_program(role: Role, settings: Settings) -> int:
    """`yunhan up`, `gateway` or `worker`. Returns the exit code. Raises the start-up errors."""
    settings = settings_for(role, settings)
    owned = DataDir(settings.data_dir).own()
    with owned, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(role, settings))


async def _run(role: Role, settings: Settings) -> int:
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        addresses = stack.enter_context(bind(role, settings))
        program = await build_program(role, settings, stack)
        parts = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            parts.create_task(_must_not_end(name, run, stop), name=name)
            for name, run in program.background.items()
        ]
        if program.gateway is not None:
            tasks.append(parts.create_task(program.gateway.sweep(), name="sweep code packages"))
        stack.push_async_callback(end_tasks, tasks)
        await program.listen(addresses)
        stack.enter_context(DataDir(settings.data_dir).announce(program.endpoint))
        _spare_collector()
        _log.info("ready", program=role.value, endpoint=program.endpoint, rung=program.rung)
        await stop.wait()
        await _drain(program, settings)
    _log.info("stopped")
    return 0


async def _drain(program: Program, settings: Settings) -> None:
    """Calls that were accepted are answered, those that wait for a slot too, within the grace period. Those
    of a gateway without a worker are waited for when its connections are closed."""
    program.health.draining = True
    parts = program.worker
    worker = parts.worker if parts else None
    _tell_stopping(worker, program.queue, settings.drain_grace_s)
    await asyncio.sleep(settings.drain_notice_s)
    if program.gateway is not None:
        await program.gateway.stop_accepting()
    if parts is None:
        return
    try:
        async with asyncio.timeout(settings.drain_grace_s):
            await parts.dead.stop()
            await parts.worker.stop_taking_async()
            await program.queue.wait_empty()
            await parts.worker.drain()
    except TimeoutError:
        _log.warning("drain_incomplete", running=parts.worker.running)


def _tell_stopping(worker: Worker | None, queue: Queue, grace_s: float) -> None:
    running = worker.running if worker else 0
    if busy := running + queue.waiting:
        _log.warning(
            "stopping",
            running=running,
            waiting=queue.waiting,
            what_next=f"waits up to {grace_s:g} s for {busy} call{'' if busy == 1 else 's'};"
            " Ctrl-C again ends it at once",
        )
    else:
        _log.info("stopping")


async def _must_not_end(name: str, run: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    await run()
    if not stop.is_set():
        raise PartFailedError(f"{name} ended by itself")


def _stop_on_signals() -> asyncio.Event:
    """Set at the first SIGINT or SIGTERM; the second one ends the process."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            _log.warning("killed_by_second_signal")
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


def _spare_collector() -> None:
    """What was made until now lives as long as the program: the garbage collector need not look at it again.
    A call leaves hardly any cycles behind, so looking for them less often is enough."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
