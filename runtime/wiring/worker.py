"""The worker's parts: code, sandboxes, slots, executor."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from runtime.code_cache import CodeCache
from runtime.execute import Executor
from runtime.messages import SpaceStatus
from runtime.pool import SandboxPool
from runtime.pool_state import Content
from runtime.services.directory import SpaceView
from runtime.services.egress_rules import rules_of
from runtime.services.function_calls import FunctionCalls
from runtime.services.http_proxy import HttpProxy
from runtime.services.sealed_env import SealedEnv, digest_of
from runtime.slots import Slots
from runtime.wiring.common import Common
from runtime.wiring.limits import http_proxy_limits, package_limits
from runtime.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """A built worker."""

    worker: Worker
    pool: SandboxPool
    slots: Slots


async def build_worker(common: Common, stack: AsyncExitStack) -> WorkerParts:
    """Sandboxes are stopped when `stack` is left."""
    settings, adapters = common.settings, common.adapters
    code = CodeCache(
        common.data_dir.code,
        adapters.files,
        max_bytes=settings.code_cache_max_bytes,
        limits=package_limits(settings),
    )
    await stack.enter_async_context(code.open())
    pool = SandboxPool(
        spawner=adapters.spawner,
        code=code,
        environments=SealedEnv(common.box),
        clock=common.clock,
        limits=settings.sandbox_limits(),
        max_sandboxes=settings.sandboxes_max,
        prewarm=settings.sandboxes_prewarmed,
        prewarm_memory_mb=settings.sandbox_prewarm_memory_mb,
        idle_s=settings.sandbox_idle_s,
    )
    await stack.enter_async_context(pool.open())
    common.directory.on_read = lambda space_id, view: pool.retire(space_id, _live(view))
    calls = FunctionCalls(
        directory=common.directory,
        jobs=common.jobs,
        http=HttpProxy(adapters.http, http_proxy_limits(settings)),
        depth_max=settings.call_depth_max,
    )
    slots = Slots(settings.slots)
    worker = Worker(
        queue=adapters.queue,
        executor=Executor(
            pool=pool,
            calls=calls,
            records=common.records,
            clock=common.clock,
            node_majors=adapters.spawner.node_majors(),
        ),
        slots=slots,
        records=common.records,
        clock=common.clock,
    )
    calls.attach(worker.run_child)
    return WorkerParts(worker=worker, pool=pool, slots=slots)


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
