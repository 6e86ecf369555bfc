"""One whole program of any role, built and ready to be started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from runtime.data_dir import DataDir
from runtime.gateway.health import HealthApi
from runtime.ports import Queue
from runtime.services.worker_roster import WorkersSeen
from runtime.settings import Settings
from runtime.wiring.adapters import open_gateway_adapters, open_worker_adapters
from runtime.wiring.common import build_common
from runtime.wiring.gateway import GatewayParts, build_gateway
from runtime.wiring.listeners import Addresses, bind_addresses, bind_worker_address
from runtime.wiring.roles import Role
from runtime.wiring.worker import WorkerParts, build_worker
from runtime.wiring.worker_http import WorkerHttp, build_worker_http


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What `lifecycle` starts, serves and ends."""

    gateway: GatewayParts | None
    worker: WorkerParts | None
    worker_http: WorkerHttp | None
    health: HealthApi
    queue: Queue
    rung: str
    """Empty where no functions run."""
    background: Mapping[str, Callable[[], Awaitable[None]]]
    """Parts that must run as long as the program serves."""

    @property
    def endpoint(self) -> str:
        """Where clients reach it; empty for a worker."""
        return self.gateway.endpoint if self.gateway else ""

    async def listen(self, addresses: Addresses) -> None:
        """Serve on the sockets of `bind`."""
        if self.gateway is not None:
            await self.gateway.listen(addresses)
        if self.worker_http is not None:
            await self.worker_http.listen(addresses)


def bind(role: Role, settings: Settings) -> Addresses:
    """Take the role's addresses. Raises StartError."""
    return bind_addresses(settings) if role.serves_clients else bind_worker_address(settings)


async def build_program(role: Role, settings: Settings, stack: AsyncExitStack) -> Program:
    """The parts of the role, on the adapters of the settings; closed with `stack`."""
    adapters = None
    if role.runs_functions:
        # First: what is missing on this machine is told before anything is started.
        adapters = await open_worker_adapters(settings, DataDir(settings.data_dir), stack)
    common = await build_common(settings, stack)
    health = HealthApi(checks=common.checks(), gauges=common.gauges)
    health.watch(beside=common.beside())
    background = dict(common.background)
    gateway = worker = worker_http = None
    if adapters is not None:
        worker = await build_worker(common, adapters, stack)
        health.watch(checks=worker.checks(), gauges=worker.gauges)
        background |= worker.background
    if role.serves_clients:
        clients = await open_gateway_adapters(settings, common.clock, stack)
        gateway = await build_gateway(common, clients, health, stack)
        background |= gateway.background
        if worker is None:
            workers = WorkersSeen(common.adapters.roster, common.clock)
            await workers.poll()
            health.watch(beside={"workers": workers.tell_problem})
            background["follow workers"] = lambda: workers.run(settings.control_poll_s)
    else:
        worker_http = await build_worker_http(settings, health, stack)
    return Program(
        gateway=gateway,
        worker=worker,
        worker_http=worker_http,
        health=health,
        queue=common.adapters.queue,
        rung=adapters.spawner.rung if adapters else "",
        background=background,
    )
