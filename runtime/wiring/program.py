"""One whole program, built and ready to be started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from runtime.ports import Queue
from runtime.settings import Settings
from runtime.wiring.common import build_common
from runtime.wiring.gateway import GatewayParts, build_gateway
from runtime.wiring.worker import WorkerParts, build_worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What `lifecycle` starts, serves and ends."""

    gateway: GatewayParts
    worker: WorkerParts
    queue: Queue
    rung: str
    background: Mapping[str, Callable[[], Awaitable[None]]]
    """Parts that must run as long as the program serves."""


async def build_up(settings: Settings, stack: AsyncExitStack) -> Program:
    """Gateway and worker in one process, on the adapters of the settings."""
    common = await build_common(settings, stack)
    worker = await build_worker(common, stack)

    def gauges() -> Mapping[str, float]:
        return {
            "jobs_waiting": common.adapters.queue.waiting,
            "invocations_running": worker.worker.running,
            "slots_free": worker.slots.free,
            "sandboxes": len(worker.pool),
            "records_written_total": common.records.written,
            "records_dropped_total": common.records.dropped,
        }

    gateway = await build_gateway(common, gauges, stack)
    return Program(
        gateway=gateway,
        worker=worker,
        queue=common.adapters.queue,
        rung=common.adapters.spawner.rung,
        background={
            "worker": worker.worker.run,
            "record writer": common.records.wait_failed,
            **gateway.background,
            **common.adapters.background,
        },
    )
