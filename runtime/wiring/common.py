"""Parts that gateway and worker both need."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from runtime.data_dir import AccessKey, DataDir
from runtime.ports import Clock, SystemClock
from runtime.sealing import SecretBox
from runtime.services.directory import SpaceDirectory
from runtime.services.invoke import JobFactory
from runtime.services.record_writer import RecordWriter
from runtime.settings import Settings
from runtime.wiring.adapters import Adapters, open_adapters


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """See the module."""

    settings: Settings
    data_dir: DataDir
    clock: Clock
    box: SecretBox
    access_key: AccessKey
    adapters: Adapters
    directory: SpaceDirectory
    jobs: JobFactory
    records: RecordWriter


async def build_common(settings: Settings, stack: AsyncExitStack) -> Common:
    """Open the adapters and what stands directly on them; closed with `stack`."""
    clock = SystemClock()
    data_dir = DataDir(settings.data_dir)
    box = SecretBox(data_dir.master_key(settings))
    access_key = data_dir.access_key(settings)
    adapters = await open_adapters(settings, data_dir, clock, stack)
    directory = SpaceDirectory(
        store=adapters.control,
        box=box,
        clock=clock,
        max_age_s=settings.control_max_age_s,
        poll_s=settings.control_poll_s,
        max_spaces=settings.control_cache_spaces,
    )
    jobs = JobFactory(
        args_max_bytes=settings.args_max_bytes,
        timeout_sync_max_s=settings.timeout_sync_max_s,
        queue_wait_s=settings.queue_wait_s,
    )
    records = RecordWriter(
        adapters.records,
        clock=clock,
        buffer_max=settings.record_buffer_max,
        buffer_max_bytes=settings.record_buffer_max_bytes,
        batch_max=settings.record_batch_max,
        flush_s=settings.record_flush_s,
        keep_days=settings.record_keep_days,
        keep_per_space=settings.record_keep_per_space,
        prune_s=settings.record_prune_s,
        shutdown_flush_s=settings.shutdown_flush_s,
        ship_lines=settings.log_function_lines,
    )
    await stack.enter_async_context(records)
    return Common(
        settings=settings,
        data_dir=data_dir,
        clock=clock,
        box=box,
        access_key=access_key,
        adapters=adapters,
        directory=directory,
        jobs=jobs,
        records=records,
    )
