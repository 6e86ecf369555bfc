"""Which adapter stands behind each port: with `rungs` the only place that chooses, by the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from runtime.backends.control_mongodb import ControlMongodb
from runtime.backends.documents_embedded import EmbeddedDocuments
from runtime.backends.documents_mongodb import Client, connect, ping
from runtime.backends.files_object import open_file_store
from runtime.backends.http_aiohttp import AiohttpHttpClient
from runtime.backends.queue_memory import MemoryQueue
from runtime.backends.records_mongodb import RecordsMongodb
from runtime.data_dir import DataDir
from runtime.errors import UnavailableError
from runtime.ports import Clock, ControlStore, FileStore, HttpClient, Queue, RecordStore
from runtime.settings import Settings, SettingsError
from runtime.wiring.egress import egress_access
from runtime.wiring.rungs import start_spawner
from sandbox.api import Spawner

_CONTROL_DATABASE = "yunhan_control"
_RECORDS_DATABASE = "yunhan_logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """One adapter for each port."""

    control: ControlStore
    records: RecordStore
    files: FileStore
    queue: Queue
    spawner: Spawner
    http: HttpClient
    documents_problem: Callable[[], Awaitable[str | None]]
    """What is wrong with the document database now; None when it answers."""
    background: Mapping[str, Callable[[], Awaitable[None]]]
    """What must run as long as the program serves."""


async def open_adapters(
    settings: Settings, data_dir: DataDir, clock: Clock, stack: AsyncExitStack
) -> Adapters:
    """Open them all; they are closed with `stack`. Raises SettingsError, SandboxError, OursError."""
    spawner = await start_spawner(settings, run_dir=data_dir.run, views_dir=data_dir.views)
    stack.push_async_callback(spawner.stop)
    data, logs, background = await _open_documents(settings, data_dir, stack)
    control, records = (
        ControlMongodb(data[_CONTROL_DATABASE]),
        RecordsMongodb(logs[_RECORDS_DATABASE]),
    )
    await control.ensure_indexes()
    await records.ensure_indexes()
    queue = _choose_queue(settings, clock)
    await stack.enter_async_context(queue.open())

    async def documents_problem() -> str | None:
        try:
            await ping(data)
        except UnavailableError as error:
            return error.message
        return None

    return Adapters(
        control=control,
        records=records,
        files=open_file_store(settings.files_url, data_dir.files),
        queue=queue,
        spawner=spawner,
        http=AiohttpHttpClient(egress_access(settings)),
        documents_problem=documents_problem,
        background=background,
    )


def _choose_queue(settings: Settings, clock: Clock) -> Queue:
    if settings.queue_url != "memory:":
        raise SettingsError(
            f"YUNHAN_QUEUE_URL={settings.queue_url.partition(':')[0]}: is not available in this"
            " version; use memory:"
        )
    return MemoryQueue(
        max_jobs=settings.queue_max_jobs,
        max_jobs_per_space=settings.queue_max_jobs_per_space,
        max_bytes=settings.queue_max_bytes,
        clock=clock,
    )


async def _open_documents(
    settings: Settings, data_dir: DataDir, stack: AsyncExitStack
) -> tuple[Client, Client, Mapping[str, Callable[[], Awaitable[None]]]]:
    """Clients for data and for logs; embedded, each is a child process of its own."""
    if settings.documents_url != "embedded:":
        client = _connect(settings.documents_url, settings, stack)
        return client, client, {}
    data = EmbeddedDocuments(data_dir.documents / "data", "data")
    logs = EmbeddedDocuments(data_dir.documents / "logs", "logs")
    async with asyncio.TaskGroup() as starts:  # both at once: half the time
        starts.create_task(stack.enter_async_context(data))
        starts.create_task(stack.enter_async_context(logs))
    return (
        _connect(data.url, settings, stack),
        _connect(logs.url, settings, stack),
        {
            "document database for data": data.wait_failed,
            "document database for logs": logs.wait_failed,
        },
    )


def _connect(url: str, settings: Settings, stack: AsyncExitStack) -> Client:
    client = connect(url, timeout_s=settings.documents_timeout_s)
    stack.push_async_callback(client.close)
    return client
