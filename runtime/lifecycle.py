"""The life of one program: start, serve, drain, end.

Everything long-lived is entered into one exit stack and left in reverse order. Background work runs in one
task group: when a part of it fails, the program ends with an error instead of limping on.

Shutdown: say "not ready", refuse new calls, let running ones end (`drain_grace_s`), write what is
buffered, stop the sandboxes, then the databases. A second signal ends the program at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import structlog

from runtime.data_dir import DataDir
from runtime.settings import Settings, reserved_in
from runtime.tasks import end_tasks
from runtime.wiring.listeners import bind_addresses
from runtime.wiring.program import Program, build_up

_log = structlog.get_logger(__name__)


class PartFailedError(Exception):
    """A background part ended that must not end."""


def run_up(settings: Settings) -> int:
    """`yunhan up`: everything in one process. Returns the exit code. Raises the start-up errors."""
    for variable in reserved_in():
        _log.warning("setting_without_effect", variable=variable)
    owned = DataDir(settings.data_dir).own()
    with owned, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_up(settings))


async def _up(settings: Settings) -> int:
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        addresses = stack.enter_context(bind_addresses(settings))
        program = await build_up(settings, stack)
        parts = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            parts.create_task(_must_not_end(name, run, stop), name=name)
            for name, run in program.background.items()
        ]
        tasks.append(parts.create_task(program.gateway.sweep(), name="sweep code packages"))
        stack.push_async_callback(end_tasks, tasks)
        await program.gateway.listen(addresses)
        endpoint = program.gateway.endpoint
        stack.enter_context(DataDir(settings.data_dir).announce(endpoint))
        _log.info("ready", endpoint=endpoint, rung=program.rung)
        await stop.wait()
        await _drain(program, settings)
    _log.info("stopped")
    return 0


async def _drain(program: Program, settings: Settings) -> None:
    """Calls that were accepted are answered, those that wait for a slot too, within the grace period."""
    worker = program.worker.worker
    if busy := worker.running + program.queue.waiting:
        _log.warning(
            "stopping",
            running=worker.running,
            waiting=program.queue.waiting,
            what_next=f"waits up to {settings.drain_grace_s:g} s for {busy}"
            f" call{'' if busy == 1 else 's'}; Ctrl-C again ends it at once",
        )
    else:
        _log.info("stopping")
    await program.gateway.stop_accepting()
    try:
        async with asyncio.timeout(settings.drain_grace_s):
            await program.queue.wait_empty()
            await worker.drain()
    except TimeoutError:
        _log.warning("drain_incomplete", running=worker.running)


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


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
