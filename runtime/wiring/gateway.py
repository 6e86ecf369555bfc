"""The gateway's parts: signatures, tokens, management API, uploads, health, routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
from aiohttp import web

from runtime.errors import UnavailableError
from runtime.gateway.app import make_app
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.client_api import ClientApi
from runtime.gateway.connections import Connections
from runtime.gateway.cross_origin import FILE_METHODS, CrossOrigin, preflight
from runtime.gateway.door import Door
from runtime.gateway.files.routes import add_file_routes
from runtime.gateway.health import HealthApi
from runtime.gateway.sdk_requests import SdkRequests
from runtime.gateway.server_api import ServerApi
from runtime.gateway.triggers.api import TriggerApi
from runtime.gateway.visitors import Visitors
from runtime.services.async_calls import AsyncCalls
from runtime.services.client_calls import ClientCalls
from runtime.services.code_blobs import CodeBlobs
from runtime.services.custom_domains import CustomDomains
from runtime.services.http_proxy import HttpProxy
from runtime.services.intake import IntakeService
from runtime.services.invoke import InvokeService
from runtime.services.rate_limits import RateLimits
from runtime.services.sealed_platform_keys import SealedPlatformKeys
from runtime.services.server_calls import ServerCalls
from runtime.services.tokens import TokenService
from runtime.services.users import UserService
from runtime.settings import Settings
from runtime.timers.timers import Timers
from runtime.trigger.addresses import TriggerNames
from runtime.wiring.adapters import GatewayAdapters
from runtime.wiring.administration import build_administration
from runtime.wiring.common import Common
from runtime.wiring.file_http import outside
from runtime.wiring.intake import build_intake
from runtime.wiring.keys import management_key
from runtime.wiring.limits import (
    http_proxy_limits,
    login_limits,
    trigger_limits,
)
from runtime.wiring.listeners import Addresses, Tls, make_connections, make_tls, serve
from runtime.wiring.timers import build_timers

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayParts:
    """A built gateway. `background` must run as long as it serves."""

    endpoint: str
    settings: Settings
    runner: web.AppRunner
    connections: Connections
    tls: Tls | None
    blobs: CodeBlobs
    invoker: InvokeService
    async_calls: AsyncCalls
    timers: Timers
    intake: IntakeService | None
    """None where no user of the broker may send anything."""
    background: Mapping[str, Callable[[], Awaitable[None]]]

    async def sweep(self) -> None:
        """Once after a start: remove code packages that a crash left behind."""
        try:
            swept = await self.blobs.sweep()
        except UnavailableError as error:
            _log.warning("code_not_swept", error=error.message)
            return
        if swept:
            _log.info("code_swept", packages=swept)

    async def listen(self, addresses: Addresses) -> None:
        """Serve on the sockets of `bind_addresses`."""
        await serve(self.runner, self.connections, addresses, self.tls, self.settings)

    async def stop_accepting(self) -> None:
        """Take no new connections and no new calls; those under way go on."""
        self.invoker.accepting = False
        self.async_calls.accepting = False
        self.timers.accepting = False
        if self.intake is not None:
            await self.intake.stop()
        for site in list(self.runner.sites):
            await site.stop()


async def build_gateway(
    common: Common, adapters: GatewayAdapters, health: HealthApi, stack: AsyncExitStack
) -> GatewayParts:
    """Ready to listen; its connections are closed when `stack` is left. `health` gets its parts."""
    settings = common.settings
    rates = RateLimits.from_settings(adapters.rates, settings)
    door = Door(
        Visitors(
            trusted=settings.trusted_proxy_networks,
            header=settings.trusted_proxy_header,
            allow=settings.clients_allow_networks,
            deny=settings.clients_deny_networks,
        ),
        rates,
    )
    origins = CrossOrigin(always=settings.cors_always_hosts)
    endpoint = settings.endpoint
    tokens = TokenService(
        store=common.adapters.control,
        box=common.box,
        clock=common.clock,
        ttl_s=settings.token_ttl_s,
        rotate_s=settings.token_key_rotate_s,
        settle_s=2 * settings.control_max_age_s,
    )
    await tokens.load()
    invoker = InvokeService(
        directory=common.directory,
        queue=common.adapters.queue,
        jobs=common.jobs,
        records=common.records,
        clock=common.clock,
    )
    blobs = CodeBlobs(control=common.adapters.control, files=common.adapters.files)
    budget = BodyBudget(settings.bodies_max_bytes)
    domains = CustomDomains(store=common.adapters.control, box=common.box)
    await domains.poll()
    for name in filter(domains.space_of, settings.own_hosts):
        _log.warning("custom_domain_is_ours", domain=name, space=domains.space_of(name))
    management, uploads = build_administration(
        common,
        health=health,
        invoker=invoker,
        blobs=blobs,
        domains=domains,
        budget=budget,
        door=door,
        access_key=await management_key(
            settings, common.data_dir, common.box, common.adapters.control
        ),
    )
    timers = build_timers(common)
    intake = await build_intake(common, stack)
    triggers = TriggerApi(
        directory=common.directory,
        names=TriggerNames(
            domain=settings.trigger_domain,
            own_hosts=settings.own_hosts,
            space_of_domain=domains.space_of,
        ),
        invoker=invoker,
        async_calls=common.async_calls,
        limits=trigger_limits(settings),
        budget=budget,
        door=door,
    )
    requests = SdkRequests(
        directory=common.directory,
        clock=common.clock,
        body_max_bytes=settings.body_max_bytes,
        clock_skew_s=settings.client_clock_skew_s,
        body_timeout_s=settings.body_timeout_s,
        budget=budget,
        door=door,
        origins=origins,
    )
    client_calls = ClientCalls(
        tokens=tokens,
        invoker=invoker,
        documents=common.documents,
        users=UserService(
            tokens=tokens,
            records=common.adapters.users,
            platforms=adapters.platforms,
            keys=SealedPlatformKeys(common.box),
            clock=common.clock,
            limits=login_limits(settings),
        ),
        profiles=common.profiles,
        files=common.files.calls,
        rates=rates,
    )
    server_calls = ServerCalls(
        invoker=invoker,
        documents=common.documents,
        profiles=common.profiles,
        files=common.files.calls,
        redis=common.redis,
        http=HttpProxy(adapters.http, http_proxy_limits(settings)),
    )
    app = make_app(
        client=ClientApi(requests=requests, calls=client_calls),
        server=ServerApi(requests=requests, calls=server_calls),
        management=management,
        upload=uploads.upload,
        download=uploads.download,
        health=health,
        triggers=triggers,
    )
    file_http = outside(common, budget, door, origins)
    add_file_routes(
        app,
        door=door,
        receive=file_http.receive,
        downloads=file_http.downloads,
        preflight=preflight(FILE_METHODS),
    )
    tls = await make_tls(common, domains, endpoint)
    runner = web.AppRunner(app, shutdown_timeout=settings.drain_grace_s)
    await runner.setup()
    connections = make_connections(runner, settings)
    stack.callback(connections.abort)
    stack.push_async_callback(runner.cleanup)
    health.watch(
        beside={
            **({"intake": intake.tell_problem} if intake else {}),
            **({"rates in Redis": adapters.rates_problem} if adapters.rates_problem else {}),
        },
        gauges=lambda: {
            **timers.gauges(),
            **(intake.gauges() if intake else {}),
            **connections.gauges(),
            "request_bodies_bytes": budget.held,
            "file_uploads_under_way": file_http.receive.at_once.count,
            "file_downloads_under_way": file_http.downloads.at_once.count,
            "clients_refused_total": door.refused,
            "rates_exceeded_total": rates.refused,
            "origins_refused_total": origins.refused,
            "trigger_requests_refused_total": triggers.refused,
        },
    )
    return GatewayParts(
        endpoint=endpoint,
        settings=settings,
        runner=runner,
        connections=connections,
        tls=tls,
        blobs=blobs,
        invoker=invoker,
        async_calls=common.async_calls,
        timers=timers,
        intake=intake,
        background={
            "timer triggers": timers.run,
            **({"intake": intake.run} if intake else {}),
            "sweep files": common.files.sweeper.run,
            "follow custom domains": lambda: domains.run(settings.control_poll_s),
            "follow token keys": lambda: tokens.run(settings.control_max_age_s),
            **(tls.background if tls else {}),
        },
    )
