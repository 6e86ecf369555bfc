"""A gateway with HTTP triggers on a real socket of this process, over a worker with scripted functions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from runtime.backends.control_memory import ControlMemory
from runtime.backends.ledger_memory import LedgerMemory
from runtime.gateway.app import make_app
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.client_api import ClientApi
from runtime.gateway.connections import Connections
from runtime.gateway.cross_origin import CrossOrigin
from runtime.gateway.health import HealthApi
from runtime.gateway.listeners import Listener
from runtime.gateway.sdk_requests import SdkRequests
from runtime.gateway.server_api import ServerApi
from runtime.gateway.triggers.api import TriggerApi
from runtime.job_ids import JobIds
from runtime.jobs.submit import AsyncSubmitter
from runtime.messages import AsyncConfig, Function, HttpTriggerConfig, Space, SpaceStatus
from runtime.ports import SystemClock
from runtime.sealing import SecretBox
from runtime.services.async_calls import AsyncCalls
from runtime.services.async_terms import AsyncDefaults
from runtime.services.client_calls import ClientCalls
from runtime.services.custom_domains import CustomDomains
from runtime.services.directory import SpaceDirectory
from runtime.services.invoke import InvokeService, JobFactory
from runtime.services.server_calls import ServerCalls
from runtime.services.space_keys import client_secret_context
from runtime.services.tokens import TokenService
from runtime.settings import Settings
from runtime.trigger.addresses import TriggerNames
from runtime.wiring.limits import trigger_limits
from runtime.wiring.listeners import make_connections
from sandbox.api import Ending, OutcomeKind
from sandbox.spawners.memory import EndWith, MemoryContext
from tests.harness.async_jobs import ListQueue
from tests.harness.doors import no_limits, open_door
from tests.harness.service_calls import memory_parts, user_service
from tests.harness.small_worker import SmallWorker
from tests.harness.strict_http import WireAnswer
from tests.harness.wire import Wire

ON = "mp-on"
OFF = "mp-off"
PAUSED = "mp-paused"
WIDE = "mp-wide"
"""Its bounds are raised to 1 MB."""
DOMAIN = "shop.example.com"
"""The custom domain of `ON`."""
OFF_DOMAIN = "off.example.com"
LONG_PATH = "/http/" + "x" * 122
"""128 characters."""
PATHS = {
    "f": "/http/f",
    "below": "/http/f/below",
    "upper": "/http/F",
    "dots": "/http/a.b-c_d",
    "long": LONG_PATH,
    "word": "/httpword",
    "later": "/http/later",
}
MIB = 1024 * 1024
_ANSWER_MAX_S = 20.0
"""A hang is a failure that says where, not a test that runs out of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """JSON text that a function's result is, byte by byte, as no Python value gives it."""

    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a function was given."""

    function: str
    args: dict[str, Any]
    env: Mapping[str, str]
    trigger_path: str | None


@dataclass(kw_only=True)
class TriggerGateway:
    """For tests to reach into. `script` answers for every function."""

    port: int
    small: SmallWorker
    connections: Connections
    domains: CustomDomains
    invoker: InvokeService
    async_calls: AsyncCalls
    line: ListQueue
    """Where asynchronous jobs end up; nobody runs them."""
    script: Callable[[MemoryContext], Any] = lambda _: "done"
    seen: list[Seen] = field(default_factory=list)

    def returns(self, value: Any) -> None:
        """From now on every function returns `value`; `Raw` and endings as what they are."""
        self.script = lambda _: value

    async def run(self, context: MemoryContext) -> Any:
        """What the scripted spawner calls."""
        invocations = context.sandbox.invocations
        [invocation] = [each for each in invocations if each.request_id == context.request_id]
        invocations.clear()
        assert context.sandbox.binding is not None
        self.seen.append(
            Seen(
                function=context.sandbox.binding.function,
                args=context.args,
                env=dict(context.env),
                trigger_path=invocation.trigger_path,
            )
        )
        value = self.script(context)
        if asyncio.iscoroutine(value):
            value = await value
        if isinstance(value, Raw):
            raise EndWith(Ending(kind=OutcomeKind.OK, value=value.text))
        if isinstance(value, Ending):
            raise EndWith(value)
        return value

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        wire = Wire(reader, writer)
        try:
            yield wire
        finally:
            await wire.close()

    async def exchange(self, data: bytes, *, method: str = "GET") -> WireAnswer:
        """One request as bytes over a connection of its own."""
        async with self.connect() as wire:
            await wire.send(data)
            return await wire.answer(method=method)

    async def pipeline(
        self, requests: Sequence[bytes], methods: Sequence[str] = ()
    ) -> AsyncIterator[WireAnswer]:
        """Their answers in order, all requests sent at once.

        When the gateway ends the connection after an answer, the others are sent again over a new one: they
        have not been run. At the end nothing is left over.
        """
        number = 0
        while number < len(requests):
            async with self.connect() as wire:
                await wire.send(b"".join(requests[number:]))
                closes = False
                while number < len(requests) and not closes:
                    answer = await wire.answer(method=methods[number] if methods else "GET")
                    closes = answer.closes
                    number += 1
                    yield answer
                if not closes:
                    await wire.send(
                        raw_request("/healthz", host="", headers=("connection: close",))
                    )
                    assert (await wire.answer()).closes
                with suppress(ConnectionError):
                    assert await wire.rest() == []

    async def ask(
        self,
        target: str = "/http/f",
        *,
        method: str = "GET",
        host: str = f"{ON}.fn.localhost",
        headers: tuple[str, ...] = (),
        body: bytes | None = None,
    ) -> WireAnswer:
        """One request over a connection of its own. `headers` are whole lines."""
        request = raw_request(target, method=method, host=host, headers=headers, body=body)
        return await self.exchange(request, method=method)


def raw_request(
    target: str,
    *,
    method: str = "GET",
    host: str = f"{ON}.fn.localhost",
    headers: tuple[str, ...] = (),
    body: bytes | None = None,
) -> bytes:
    """The bytes of a request. `body` comes with its length."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", *headers]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + (body or b"")


@asynccontextmanager
async def open_gateway(**changes: Any) -> AsyncIterator[TriggerGateway]:
    """Spaces, functions and addresses as the constants above say. `changes` are settings, by their names."""
    settings = Settings(**changes)
    box = SecretBox(b"k" * 32)
    store = ControlMemory()
    for space in _spaces(box):
        await store.create_space(space)
    clock = SystemClock()
    small = SmallWorker(slots=4, max_sandboxes=64)
    directory = SpaceDirectory(
        store=store, box=box, clock=clock, max_age_s=3600, poll_s=3600, max_spaces=100
    )
    domains = CustomDomains(store=store, box=box)
    await domains.poll()
    budget = BodyBudget(settings.bodies_max_bytes)
    jobs = JobFactory(
        args_max_bytes=MIB, timeout_sync_max_s=60, timeout_async_max_s=7200, queue_wait_s=30
    )
    invoker = InvokeService(
        directory=directory, queue=small.queue, jobs=jobs, records=small.records, clock=clock
    )
    line = ListQueue()
    async_calls = AsyncCalls(
        directory=directory,
        jobs=jobs,
        submitter=AsyncSubmitter(ledger=LedgerMemory(), queue=line, clock=clock),
        ids=JobIds(b"k" * 32),
        records=small.records,
        clock=clock,
        defaults=AsyncDefaults(),
        depth_max=3,
    )
    tokens = TokenService(store=store, box=box, clock=clock, ttl_s=60, rotate_s=3600, settle_s=10)
    await tokens.load()
    requests = SdkRequests(
        directory=directory,
        clock=clock,
        body_max_bytes=settings.body_max_bytes,
        clock_skew_s=0,
        body_timeout_s=settings.body_timeout_s,
        budget=budget,
        door=open_door(),
        origins=CrossOrigin(),
    )
    parts = memory_parts(directory, box=box, clock=clock)
    app = make_app(
        client=ClientApi(
            requests=requests,
            calls=ClientCalls(
                tokens=tokens,
                invoker=invoker,
                documents=None,  # type: ignore[arg-type]
                users=user_service(tokens, parts.users, box=box, clock=clock),
                profiles=parts.profiles,
                files=parts.files.calls,
                rates=no_limits(),
            ),
        ),
        server=ServerApi(
            requests=requests,
            calls=ServerCalls(
                invoker=invoker,
                documents=None,  # type: ignore[arg-type]
                profiles=parts.profiles,
                files=parts.files.calls,
                redis=parts.redis,
                http=None,  # type: ignore[arg-type]
            ),
        ),
        management=_teapot,
        upload=_teapot,
        download=_teapot,
        health=HealthApi(checks={}, gauges=dict),
        triggers=TriggerApi(
            directory=directory,
            names=TriggerNames(
                domain=settings.trigger_domain,
                own_hosts=settings.own_hosts,
                space_of_domain=domains.space_of,
            ),
            invoker=invoker,
            async_calls=async_calls,
            limits=trigger_limits(settings),
            budget=budget,
            door=open_door(),
        ),
    )
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=5)
    async with small.open(), AsyncExitStack() as stack:
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        connections = make_connections(runner, settings)
        address = socket.create_server(("127.0.0.1", 0))
        await Listener(runner, connections, address, backlog=512).start()
        gateway = TriggerGateway(
            port=address.getsockname()[1],
            small=small,
            connections=connections,
            domains=domains,
            invoker=invoker,
            async_calls=async_calls,
            line=line,
        )
        for name in PATHS:
            small.spawner.functions[name] = gateway.run
        yield gateway


async def _teapot(request: web.Request) -> web.StreamResponse:
    """An address of the gateway itself that no request to a trigger may reach."""
    return web.Response(status=418)


def _spaces(box: SecretBox) -> list[Space]:
    functions = {
        name: Function(
            name=name,
            http_path=path,
            timeout_s=5,
            concurrency=1,
            asynchronous=AsyncConfig(http=name == "later"),
            live_deployment_id=f"dep-{name}",
            live_digest=f"digest-{name}",
        )
        for name, path in PATHS.items()
    }
    functions["hidden"] = Function(name="hidden", live_deployment_id="dep-h", live_digest="h")
    functions["empty"] = Function(name="empty", http_path="/http/no-code")
    on = HttpTriggerConfig(enabled=True, custom_domain=DOMAIN)

    def space(space_id: str, **changes: Any) -> Space:
        made = Space(
            space_id=space_id,
            name=space_id,
            client_secret_sealed=box.seal(b"secret", context=client_secret_context(space_id)),
            private_key_sealed=b"",
            public_key_pem="",
            created_ms=1,
            modified_ms=1,
            functions=functions,
        )
        return replace(made, **changes)

    wide = HttpTriggerConfig(enabled=True, request_max_bytes=MIB, response_max_bytes=MIB)
    return [
        space(ON, http_triggers=on),
        space(OFF, http_triggers=replace(on, enabled=False, custom_domain=OFF_DOMAIN)),
        space(PAUSED, http_triggers=replace(on, custom_domain=""), status=SpaceStatus.PAUSED),
        space(WIDE, http_triggers=wide),
    ]


async def serves(gateway: TriggerGateway) -> None:
    """A good client gets its answer."""
    gateway.returns("good")
    answer = await gateway.ask()
    assert (answer.status, answer.body) == (200, b"good")
