"""The worker's parts: code, sandboxes, slots, executor."""

from __future__ import annotations

import dataclasses
import random
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version

from runtime.code_cache import CodeCache
from runtime.execute import Executor
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.health import Check
from runtime.jobs.dead import DeadTaker
from runtime.jobs.runner import AsyncRunner, RunnerLimits
from runtime.messages import SpaceStatus
from runtime.pool import SandboxPool
from runtime.pool_state import Content
from runtime.ports import Quota, WorkerFacts
from runtime.services.at_claim import AtClaim
from runtime.services.directory import SpaceView
from runtime.services.egress_rules import rules_of
from runtime.services.function_calls import FunctionCalls
from runtime.services.http_proxy import HttpProxy
from runtime.services.sealed_env import SealedEnv, digest_of
from runtime.services.worker_roster import Presence
from runtime.slots import Slots
from runtime.wiring.adapters import WorkerAdapters
from runtime.wiring.common import Common, lost, unstarted
from runtime.wiring.file_http import inside
from runtime.wiring.files import file_hosts
from runtime.wiring.limits import http_proxy_limits, package_limits
from runtime.wiring.rungs import has_egress_socket
from runtime.worker import Worker

_HOST_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """A built worker."""

    worker: Worker
    runner: AsyncRunner
    dead: DeadTaker
    pool: SandboxPool
    slots: Slots
    presence: Presence

    @property
    def background(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What must run as long as the program serves."""
        return {
            "worker": self.worker.run,
            "record jobs that the queue gave up": self.dead.run,
            "tell that this worker is here": self.presence.run,
        }

    def gauges(self) -> Mapping[str, float]:
        """Figures of a program that runs functions."""
        asynchronous = dataclasses.asdict(self.runner.counts)
        return {
            "invocations_running": self.worker.running,
            "slots_free": self.slots.free,
            "sandboxes": len(self.pool),
            "async_given_up_by_queue_total": self.dead.buried,
            "async_restarted_total": self.dead.restarted,
            **{f"async_{name}_total": count for name, count in asynchronous.items()},
        }

    def checks(self) -> Mapping[str, Check]:
        """What such a program needs in order to be ready."""

        async def sandboxes() -> str | None:
            return self.pool.problem

        return {"sandboxes": sandboxes}


async def build_worker(
    common: Common, worker_adapters: WorkerAdapters, stack: AsyncExitStack
) -> WorkerParts:
    """Sandboxes are stopped when `stack` is left."""
    settings, adapters = common.settings, common.adapters
    spawner = worker_adapters.spawner
    code = CodeCache(
        common.data_dir.code,
        adapters.files,
        max_bytes=settings.code_cache_max_bytes,
        limits=package_limits(settings),
    )
    await stack.enter_async_context(code.open())
    file_http = inside(common, BodyBudget(settings.bodies_max_bytes))
    files_host = await stack.enter_async_context(
        worker_adapters.files.open(
            settings,
            receive=file_http.receive,
            downloads=file_http.downloads,
            walled=has_egress_socket(spawner.rung),
        )
    )
    pool = SandboxPool(
        spawner=spawner,
        code=code,
        environments=SealedEnv(common.box),
        clock=common.clock,
        limits=settings.sandbox_limits(),
        max_sandboxes=settings.sandboxes_max,
        prewarm=settings.sandboxes_prewarmed,
        prewarm_memory_mb=settings.sandbox_prewarm_memory_mb,
        idle_s=settings.sandbox_idle_s,
        file_hosts=file_hosts(common.files.addresses, files_host),
    )
    await stack.enter_async_context(pool.open())
    common.directory.used = pool.spaces
    common.directory.on_read = lambda space_id, view: pool.retire(space_id, _live(view))
    calls = FunctionCalls(
        directory=common.directory,
        jobs=common.jobs,
        http=HttpProxy(worker_adapters.http, http_proxy_limits(settings)),
        depth_max=settings.call_depth_max,
        async_calls=common.async_calls,
        documents=common.documents,
        profiles=common.profiles,
        files=common.files.calls,
        files_host=files_host,
        redis=common.redis,
    )
    slots = Slots(settings.slots)
    executor = Executor(
        pool=pool,
        calls=calls,
        records=common.records,
        clock=common.clock,
        node_majors=spawner.node_majors(),
        catch_up=common.directory.catch_up,
    )
    at_claim = AtClaim(
        executor=executor,
        directory=common.directory,
        records=common.records,
        clock=common.clock,
        files=common.job_files,
    )
    worker_id = _new_worker_id()
    runner = AsyncRunner(
        ledger=adapters.ledger,
        queue=adapters.queue,
        executor=at_claim,
        may_start=at_claim.may_start,
        clock=adapters.job_clock,
        worker_id=worker_id,
        limits=RunnerLimits(
            quota=Quota(
                per_space=settings.async_running_per_space,
                per_function=settings.async_running_per_function,
            ),
            lease_s=settings.async_lease_s,
            claim_s=settings.async_claim_s,
            settle_s=settings.async_settle_s,
            confirmed_s=settings.async_sweep_confirmed_s,
            quota_delay_s=settings.async_quota_delay_s,
            quota_delay_longest_s=settings.async_quota_delay_longest_s,
        ),
        random=random.random,
        unstarted=unstarted(common.records, common.clock),
        files=common.job_files,
        lost=lost(common.records, common.clock),
    )
    worker = Worker(
        queue=adapters.queue,
        executor=executor,
        runner=runner,
        slots=slots,
        async_slots=settings.slots_for_async,
        records=common.records,
        clock=common.clock,
    )
    calls.attach(worker.run_child)
    dead = DeadTaker(
        queue=adapters.queue,
        ledger=adapters.ledger,
        clock=adapters.job_clock,
        worker_id=worker_id,
        restarts_max=settings.queue_restarts_max,
        lost=lost(common.records, common.clock),
    )
    presence = Presence(
        adapters.roster,
        WorkerFacts(
            worker_id=worker_id,
            version=version("yunhan"),
            rung=spawner.rung,
            isolates=spawner.isolates,
            node_majors=spawner.node_majors(),
            slots=settings.slots,
        ),
        common.clock,
    )
    await presence.tell()
    stack.push_async_callback(presence.leave)
    return WorkerParts(
        worker=worker, runner=runner, dead=dead, pool=pool, slots=slots, presence=presence
    )


def _new_worker_id() -> str:
    """Of this start of this worker, for people who read the ledger: which machine, and no second time."""
    return f"{socket.gethostname()[:_HOST_MAX]}-{secrets.token_hex(4)}"


def _live(space: SpaceView | None) -> frozenset[Content]:
    """What may still be called in a space; sandboxes with anything else can go."""
    if space is None or space.status is not SpaceStatus.RUNNING:
        return frozenset()
    return frozenset(
        Content(
            function.live_deployment_id,
            digest_of(function.env_sealed),
            rules_of(space.egress, function.egress),
        )
        for function in space.functions.values()
        if function.live_deployment_id is not None
    )
