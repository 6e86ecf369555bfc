"""Parts that gateway and worker both need."""

from __future__ import annotations

import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from runtime.data_dir import DataDir
from runtime.documents.command_room import CommandRooms
from runtime.documents.transactions import Transactions
from runtime.gateway.health import Check
from runtime.job_ids import PURPOSE as JOB_IDS_PURPOSE
from runtime.job_ids import JobIds
from runtime.jobs.accept_rate import AcceptRate
from runtime.jobs.files import JobFiles
from runtime.jobs.submit import AsyncSubmitter
from runtime.jobs.sweeper import Sweeper, SweeperLimits
from runtime.messages import Attempt, Job, Outcome
from runtime.ports import Clock, RecordSink, SystemClock
from runtime.sealing import SecretBox
from runtime.services.async_calls import AsyncCalls
from runtime.services.directory import SpaceDirectory
from runtime.services.documents import DocumentService
from runtime.services.invoke import JobFactory
from runtime.services.profiles import Profiles
from runtime.services.record_writer import RecordWriter
from runtime.services.redis_cli import RedisCli, RedisCliLimits
from runtime.services.transaction_peers import TransactionsElsewhere, answer_for
from runtime.services.unstarted import record_lost, record_unstarted
from runtime.settings import Settings
from runtime.wiring.adapters import Adapters, open_adapters
from runtime.wiring.files import FileParts, build_files
from runtime.wiring.keys import check_master_key
from runtime.wiring.limits import (
    async_defaults,
    command_room_bounds,
    document_limits,
    question_bounds,
    transaction_bounds,
)

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """See the module."""

    settings: Settings
    data_dir: DataDir
    clock: Clock
    box: SecretBox
    adapters: Adapters
    directory: SpaceDirectory
    documents: DocumentService
    files: FileParts
    profiles: Profiles
    redis: RedisCli
    spool: Path
    """Belongs to this process alone: bodies that are too large for memory."""
    jobs: JobFactory
    job_ids: JobIds
    job_files: JobFiles
    submitter: AsyncSubmitter
    accept_rate: AcceptRate
    async_calls: AsyncCalls
    records: RecordWriter
    sweeper: Sweeper

    @property
    def background(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What must run as long as the program serves."""
        return {
            "record writer": self.records.wait_failed,
            "follow control plane changes": self.directory.run,
            "sweep asynchronous jobs": self.sweeper.run,
            "queue": self.adapters.queue.wait_failed,
            **({"other processes": self.adapters.peers.wait_failed} if self.adapters.peers else {}),
            **self.adapters.background,
        }

    def gauges(self) -> Mapping[str, float]:
        """Figures of every program."""
        counts = self.adapters.queue_counts()
        return {
            "jobs_waiting": self.adapters.queue.waiting,
            "records_written_total": self.records.written,
            "records_dropped_total": self.records.dropped,
            "async_jobs_left_to_sweeper_total": self.submitter.left_to_sweeper,
            "async_too_fast_total": self.accept_rate.refused,
            **{f"queue_{name}_total": count for name, count in counts.items()},
        }

    def checks(self) -> Mapping[str, Check]:
        """What every program needs in order to be ready."""

        async def queue() -> str | None:
            return self.adapters.queue.problem

        return {"documents": self.adapters.documents_problem, "queue": queue}

    def beside(self) -> Mapping[str, Check]:
        """What every program serves calls without."""
        peers = self.adapters.peers
        if peers is None:
            return {}

        async def other_processes() -> str | None:
            return peers.problem

        return {"other processes": other_processes}


async def build_common(settings: Settings, stack: AsyncExitStack) -> Common:
    """Open the adapters and what stands directly on them; closed with `stack`."""
    clock = SystemClock()
    data_dir = DataDir(settings.data_dir)
    box = SecretBox(data_dir.master_key(settings))
    adapters = await open_adapters(settings, data_dir, clock, stack)
    await check_master_key(box, adapters.control)
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
        timeout_async_max_s=settings.timeout_async_max_s,
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
    job_clock = adapters.job_clock
    job_ids = JobIds(box.derive(JOB_IDS_PURPOSE), job_clock.now_ms)
    job_files = JobFiles(
        adapters.files,
        inline_max_bytes=settings.async_inline_max_bytes,
        spool=data_dir.empty_job_spool(),
    )
    transactions = Transactions(
        adapters.documents,
        process_id=secrets.token_hex(8),
        idle_s=settings.database_transaction_idle_s,
        life_s=settings.database_transaction_life_s,
        bounds=transaction_bounds(settings),
        waiting_max=settings.database_transaction_waiting_max,
    )
    await stack.enter_async_context(transactions.open())
    documents = DocumentService(
        documents=adapters.documents,
        transactions=transactions,
        limits=document_limits(settings),
        rooms=CommandRooms.of(command_room_bounds(settings)),
        peers=TransactionsElsewhere(adapters.peers) if adapters.peers else None,
    )
    if adapters.peers is not None:
        answer = answer_for(documents.run_here, question_bounds(settings))
        await stack.enter_async_context(adapters.peers.open(transactions.process_id, answer))
    accept_rate = AcceptRate(
        per_s=settings.async_accept_per_space_per_s,
        burst=settings.async_accept_burst_per_space,
        clock=clock,
    )
    submitter = AsyncSubmitter(
        ledger=adapters.ledger,
        queue=adapters.queue,
        clock=job_clock,
        files=job_files,
        confirmed_s=settings.async_sweep_confirmed_s,
        rate=accept_rate,
    )
    return Common(
        settings=settings,
        data_dir=data_dir,
        clock=clock,
        box=box,
        adapters=adapters,
        directory=directory,
        documents=documents,
        files=build_files(
            settings,
            records=adapters.file_records,
            files=adapters.files,
            directory=directory,
            box=box,
            clock=clock,
        ),
        profiles=Profiles(adapters.users),
        redis=RedisCli(
            adapters.redis,
            prefix=settings.redis_prefix,
            limits=RedisCliLimits.from_settings(settings),
        ),
        spool=data_dir.empty_spool(),
        jobs=jobs,
        job_ids=job_ids,
        job_files=job_files,
        submitter=submitter,
        accept_rate=accept_rate,
        async_calls=AsyncCalls(
            directory=directory,
            jobs=jobs,
            submitter=submitter,
            ids=job_ids,
            records=records,
            clock=job_clock,
            defaults=async_defaults(settings),
            depth_max=settings.call_depth_max,
        ),
        records=records,
        sweeper=_sweeper(settings, adapters, records, clock, job_files),
    )


def _sweeper(
    settings: Settings,
    adapters: Adapters,
    records: RecordWriter,
    clock: Clock,
    job_files: JobFiles,
) -> Sweeper:
    return Sweeper(
        ledger=adapters.ledger,
        queue=adapters.queue,
        clock=adapters.job_clock,
        limits=SweeperLimits(
            every_s=settings.async_sweep_s,
            grace_s=settings.async_sweep_grace_s,
            confirmed_s=settings.async_sweep_confirmed_s,
            batch_max=settings.async_sweep_batch_max,
            keep_s=settings.async_ended_keep_days * _DAY_S,
            prune_every_s=settings.async_prune_s,
            files_every_s=settings.async_files_sweep_s,
            waits_s=settings.async_keep_s,
        ),
        random=random.random,
        unstarted=unstarted(records, clock),
        lost=lost(records, clock),
        files=job_files,
    )


def unstarted(records: RecordSink, clock: Clock) -> Callable[[Job, Outcome], None]:
    """Makes the record of a job that ended without a run."""
    return lambda job, outcome: record_unstarted(records, job, outcome, clock)


def lost(records: RecordSink, clock: Clock) -> Callable[[Job, Attempt], None]:
    """Makes the record of an attempt whose worker was lost."""
    return lambda job, attempt: record_lost(records, job, attempt, clock)
