"""Which adapter stands behind each port: with `rungs` the only place that chooses, by the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from runtime.backends.control_mongodb import ControlMongodb
from runtime.backends.documents_embedded import EmbeddedDocuments
from runtime.backends.documents_mongodb import Client, connect, ping, require_replicas
from runtime.backends.embedded.child import find_server
from runtime.backends.embedded.watch import EmbeddedBounds
from runtime.backends.file_records_mongodb import FileRecordsMongodb
from runtime.backends.files_object import open_file_store
from runtime.backends.http_aiohttp import AiohttpHttpClient
from runtime.backends.intake_rabbitmq import RabbitMqIntake
from runtime.backends.lease_mongodb import LeasesMongodb
from runtime.backends.ledger.clock import LedgerClock
from runtime.backends.ledger_mongodb import LedgerMongodb
from runtime.backends.peers_rabbitmq import RabbitMqPeers
from runtime.backends.platform_alipay import GATEWAY_PATH, AlipayPlatform
from runtime.backends.platform_dingtalk import DingtalkPlatform
from runtime.backends.platform_wechat import WechatPlatform
from runtime.backends.platforms.http import PlatformHttp
from runtime.backends.queue_memory import MemoryQueue
from runtime.backends.queue_memory_async import AsyncLine, AsyncLineBounds
from runtime.backends.queue_rabbitmq import RabbitMqQueue, counts_of
from runtime.backends.rabbitmq.intake_topology import IntakeOptions
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rates_memory import RatesMemory
from runtime.backends.rates_redis import RatesRedis
from runtime.backends.records_mongodb import RecordsMongodb
from runtime.backends.redis.config import read_config
from runtime.backends.redis.connections import RedisConnections
from runtime.backends.redis.options import RedisOptions
from runtime.backends.redis_commands import CommandsRedis
from runtime.backends.roster_mongodb import RosterMongodb
from runtime.backends.space_documents_mongodb import SpaceDocumentsMongodb
from runtime.backends.timers_mongodb import TimersMongodb
from runtime.backends.users_mongodb import UsersMongodb
from runtime.data_dir import DataDir
from runtime.documents.command_room import CommandRooms
from runtime.errors import UnavailableError
from runtime.messages import Provider
from runtime.ports import (
    Clock,
    ControlStore,
    FileRecords,
    FileStore,
    HttpClient,
    Intake,
    LeaseStore,
    Ledger,
    Peers,
    Platform,
    Queue,
    RateStore,
    RecordStore,
    RedisCommands,
    SpaceDocuments,
    TimerStore,
    UserRecords,
    WorkerRoster,
)
from runtime.settings import Settings, SettingsError
from runtime.wiring.egress import egress_access
from runtime.wiring.limits import command_room_bounds, questions_max
from runtime.wiring.rungs import start_spawner
from runtime.wiring.worker_files import WorkerFiles
from sandbox.api import Spawner

_log = structlog.get_logger(__name__)

_SPACES_PREFIX = "yunhan_"
_CONTROL_DATABASE = "yunhan_control"
_FILES_DATABASE = "yunhan_files"
_JOBS_DATABASE = "yunhan_jobs"
_RECORDS_DATABASE = "yunhan_logs"

_CONNECTIONS = 100
"""Of one client to the document database, busy at the same time. They are made when they are needed."""
_ENDINGS_AND_PAGES = 16
"""Connections of spaces beyond those of their commands: transactions that end, pages of exports and
imports. More of these wait for each other for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """One adapter for each port that gateways and workers share."""

    control: ControlStore
    documents: SpaceDocuments
    records: RecordStore
    files: FileStore
    file_records: FileRecords
    users: UserRecords
    redis: RedisCommands | None
    """Of functions; None: no Redis is set."""
    ledger: Ledger
    job_clock: Clock
    """For all times of asynchronous jobs: the same in the whole installation."""
    roster: WorkerRoster
    leases: LeaseStore
    timers: TimerStore
    queue: Queue
    peers: Peers | None
    """Other processes of the installation; None: this is the only one."""
    documents_problem: Callable[[], Awaitable[str | None]]
    """What is wrong with the document database now; None when it answers."""
    queue_counts: Callable[[], Mapping[str, int]]
    """What happened beside the way of a job, for metrics."""
    background: Mapping[str, Callable[[], Awaitable[None]]]
    """What must run as long as the program serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAdapters:
    """What only a program that serves clients needs."""

    platforms: Mapping[Provider, Platform]
    rates: RateStore
    rates_problem: Callable[[], Awaitable[str | None]] | None
    """Why gateways count alone now; None: there is nothing that they could share."""
    http: HttpClient
    """For requests of backends by way of `httpProxyClient`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerAdapters:
    """What only a program that runs functions needs."""

    spawner: Spawner
    http: HttpClient
    files: WorkerFiles
    """Named to the sandboxes already; opened by `build_worker`."""


async def open_worker_adapters(
    settings: Settings, data_dir: DataDir, stack: AsyncExitStack
) -> WorkerAdapters:
    """Closed with `stack`. Raises SettingsError, SandboxError."""
    files = WorkerFiles()
    spawner = await start_spawner(
        settings, run_dir=data_dir.run, views_dir=data_dir.views, internal=files.internal
    )
    stack.push_async_callback(spawner.stop)
    return WorkerAdapters(
        spawner=spawner, http=AiohttpHttpClient(egress_access(settings)), files=files
    )


async def open_adapters(
    settings: Settings, data_dir: DataDir, clock: Clock, stack: AsyncExitStack
) -> Adapters:
    """Open them all; they are closed with `stack`. Raises SettingsError, OursError."""
    data, spaces, logs, background = await _open_documents(settings, data_dir, stack)
    try:
        await require_replicas(data)
    except SettingsError as error:
        if settings.queue_url != "memory:":
            raise
        _log.warning("documents_not_durable", problem=str(error))
    control = ControlMongodb(data[_CONTROL_DATABASE])
    timers = TimersMongodb(data[_CONTROL_DATABASE])
    ledger = LedgerMongodb(data[_JOBS_DATABASE])
    records = RecordsMongodb(logs[_RECORDS_DATABASE])
    file_records = FileRecordsMongodb(data[_FILES_DATABASE])
    users = UsersMongodb(data[_CONTROL_DATABASE])
    for store in (control, timers, ledger, records, file_records, users):
        await store.ensure_indexes()
    job_clock = LedgerClock(data, clock, lease_s=settings.async_lease_s)
    await job_clock.start()
    queue = _choose_queue(settings, ledger, clock, job_clock)
    await stack.enter_async_context(queue.open())

    async def documents_problem() -> str | None:
        try:
            await ping(data)
        except UnavailableError as error:
            return error.message
        return None

    return Adapters(
        control=control,
        documents=SpaceDocumentsMongodb(spaces, prefix=_SPACES_PREFIX, asking=data),
        records=records,
        files=open_file_store(
            settings.files_url, data_dir.files, secret_file=settings.files_secret_file
        ),
        file_records=file_records,
        users=users,
        redis=await _open_redis(settings, stack),
        ledger=ledger,
        job_clock=job_clock,
        roster=RosterMongodb(data[_CONTROL_DATABASE]),
        leases=LeasesMongodb(data[_CONTROL_DATABASE]),
        timers=timers,
        queue=queue,
        peers=_choose_peers(settings),
        documents_problem=documents_problem,
        queue_counts=lambda: counts_of(queue),
        background={"follow the database's clock": job_clock.run, **background},
    )


async def open_gateway_adapters(
    settings: Settings, clock: Clock, stack: AsyncExitStack
) -> GatewayAdapters:
    """Closed with `stack`. Asks nobody yet. Raises OursError."""
    http = PlatformHttp(response_max_bytes=settings.platform_response_max_bytes)
    await stack.enter_async_context(http.open())
    alone = RatesMemory(clock=clock, keys_max=settings.rate_keys_max)
    shared = None
    if settings.redis_url:
        options = RedisOptions.from_settings(settings, timeout_s=settings.redis_rate_timeout_s)
        shared = RatesRedis(
            await stack.enter_async_context(RedisConnections.opened(options)),
            prefix=settings.redis_prefix,
            alone=alone,
            clock=clock,
            timeout_s=settings.redis_rate_timeout_s,
            pause_s=settings.redis_rate_pause_s,
        )
    return GatewayAdapters(
        platforms={
            Provider.ALIPAY: AlipayPlatform(
                http=http, clock=clock, url=f"{settings.platform_alipay_url}{GATEWAY_PATH}"
            ),
            Provider.WECHAT: WechatPlatform(http=http, url=settings.platform_wechat_url),
            Provider.DINGTALK: DingtalkPlatform(
                http=http,
                clock=clock,
                url=settings.platform_dingtalk_url,
                oapi_url=settings.platform_dingtalk_oapi_url,
            ),
        },
        rates=shared or alone,
        rates_problem=shared.tell_problem if shared else None,
        http=AiohttpHttpClient(egress_access(settings)),
    )


async def _open_redis(settings: Settings, stack: AsyncExitStack) -> RedisCommands | None:
    if not settings.redis_url:
        return None
    options = RedisOptions.from_settings(settings)
    return CommandsRedis(await stack.enter_async_context(RedisConnections.opened(options)))


async def read_redis_config(settings: Settings, *names: str) -> dict[str, str]:
    """See `read_config`, of the Redis that is set. Raises OursError and CallerError."""
    return await read_config(RedisOptions.from_settings(settings), names)


async def open_intake(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Intake:
    """The public intake of a gateway; closed with `stack`. Raises SettingsError, OursError."""
    if settings.queue_url == "memory:":
        raise SettingsError(
            "YUNHAN_INTAKE_USERS needs RabbitMQ: set YUNHAN_QUEUE_URL=amqp://user@host/vhost"
        )
    intake = RabbitMqIntake(
        RabbitMqOptions.from_settings(settings), IntakeOptions.from_settings(settings), clock=clock
    )
    await stack.enter_async_context(intake.open())
    return intake


def _choose_queue(settings: Settings, ledger: Ledger, clock: Clock, job_clock: Clock) -> Queue:
    scheme = settings.queue_url.partition(":")[0]
    if settings.queue_url == "memory:":
        bounds = AsyncLineBounds(
            max_jobs=settings.async_max_jobs,
            max_jobs_per_space=settings.async_max_jobs_per_space,
            max_bytes=settings.queue_max_bytes,
        )
        return MemoryQueue(
            max_jobs=settings.queue_max_jobs,
            max_jobs_per_space=settings.queue_max_jobs_per_space,
            max_bytes=settings.queue_max_bytes,
            clock=clock,
            line=AsyncLine(ledger, bounds, job_clock),
        )
    if scheme in {"amqp", "amqps"} and urlsplit(settings.queue_url).hostname:
        return RabbitMqQueue(RabbitMqOptions.from_settings(settings), clock=clock)
    raise SettingsError(
        f"YUNHAN_QUEUE_URL={scheme}: is no queue; use memory:, amqp://user@host/vhost or"
        " amqps://user@host/vhost"
    )


def _choose_peers(settings: Settings) -> Peers | None:
    if settings.queue_url == "memory:":
        return None
    options = RabbitMqOptions.from_settings(settings)
    return RabbitMqPeers(options, questions_max=questions_max(settings))


def find_embedded_documents() -> str:
    """The command that starts the embedded document server. Raises OursError, which says what to do, when it
    is not installed in the version that is known."""
    return " ".join(find_server())


async def _open_documents(
    settings: Settings, data_dir: DataDir, stack: AsyncExitStack
) -> tuple[Client, Client, Client, Mapping[str, Callable[[], Awaitable[None]]]]:
    """Clients for data, for the databases of spaces, which are on the same server, and for logs; embedded,
    each server is a child process of its own.

    Spaces have connections of their own: no number of their commands keeps those for data busy."""
    if settings.documents_url != "embedded:":
        file = settings.documents_password_file
        client = _connect(settings.documents_url, settings, stack, password_file=file)
        spaces = _connect(
            settings.documents_url,
            settings,
            stack,
            password_file=file,
            connections_max=_connections_of_spaces(settings),
        )
        return client, spaces, client, {}
    bounds = EmbeddedBounds(
        deaf_s=settings.documents_embedded_deaf_s,
        stuck_s=settings.documents_embedded_stuck_s,
        memory_max_bytes=settings.documents_embedded_memory_max_bytes,
    )
    data = EmbeddedDocuments(data_dir.documents / "data", "data", bounds=bounds)
    logs = EmbeddedDocuments(data_dir.documents / "logs", "logs", bounds=bounds)
    async with asyncio.TaskGroup() as starts:  # both at once: half the time
        starts.create_task(stack.enter_async_context(data))
        starts.create_task(stack.enter_async_context(logs))
    return (
        _connect(data.url, settings, stack),
        _connect(data.url, settings, stack, connections_max=_connections_of_spaces(settings)),
        _connect(logs.url, settings, stack),
        {
            "document database for data": data.wait_failed,
            "document database for logs": logs.wait_failed,
        },
    )


def _connections_of_spaces(settings: Settings) -> int:
    return CommandRooms.at_once_max(command_room_bounds(settings)) + _ENDINGS_AND_PAGES


def _connect(
    url: str,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    password_file: str = "",
    connections_max: int = _CONNECTIONS,
) -> Client:
    client = connect(
        url,
        timeout_s=settings.documents_timeout_s,
        password_file=password_file,
        connections_max=connections_max,
    )
    stack.push_async_callback(client.close)
    return client
