"""The way of a job through worker, executor and pool, over scripted sandboxes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.errors import UnavailableError
from runtime.messages import CallKind, FunctionLimits, Job
from runtime.pool_state import Content
from runtime.slots import Slot
from runtime.testing.queue import sample_job
from sandbox import endings
from sandbox.api import Blame, Ending, Fault, OutcomeKind, SandboxError, SandboxSpec
from sandbox.spawners.memory import EndWith, MemoryContext
from tests.harness.small_worker import SmallWorker


async def test_a_job_ends_in_one_outcome_and_one_record() -> None:
    small = SmallWorker()

    def hello(ctx: MemoryContext) -> Any:
        ctx.log(f"hello {ctx.args['name']}")
        return {"env": ctx.env}

    small.spawner.functions["hello"] = hello
    async with small.open():
        job = sample_job(args=b'{"name":"you"}', client_ip="10.0.0.1")
        outcome = await small.queue.call(job)
    assert outcome.ok
    assert outcome.request_id == job.request_id
    assert b'"MP_CLIENT_IP":"10.0.0.1"' in (outcome.value or b"")
    [record] = small.records
    assert (record.kind, record.request_id) == (OutcomeKind.OK, job.request_id)
    assert [line.text for line in record.lines] == ["hello you"]
    assert record.bill.cold is True


async def test_the_second_call_is_warm_and_uses_the_same_sandbox() -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    async with small.open():
        await small.queue.call(sample_job())
        second = await small.queue.call(sample_job())
        assert second.bill.cold is False
        assert len(small.spawner.spawned) == 1


async def test_another_deployment_gets_a_sandbox_of_its_own() -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    async with small.open():
        job = sample_job()
        await small.queue.call(job)
        await small.queue.call(sample_job(space_id="mp-other"))
        bound = {box.binding.space_id for box in small.spawner.spawned if box.binding}
        assert bound == {"mp-space", "mp-other"}


async def test_another_environment_gets_a_sandbox_of_its_own() -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    async with small.open():
        for env in ({"A": "1"}, {"A": "2"}, {}):
            sealed = small.sealed.seal(env, space_id="mp-space", function="hello")
            for cold in (True, False):
                outcome = await small.queue.call(sample_job(env_sealed=sealed))
                assert (outcome.ok, outcome.bill.cold) == (True, cold)
        bound = [box.binding.env for box in small.spawner.spawned if box.binding]
    assert bound == [{"A": "1"}, {"A": "2"}, {}]


async def test_an_environment_that_does_not_open_is_our_blame_and_never_left_out() -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    sealed = small.sealed.seal({"A": "hush"}, space_id="mp-other", function="hello")
    async with small.open():
        outcome = await small.queue.call(sample_job(env_sealed=sealed))
        assert outcome.blame is Blame.OURS
        assert outcome.fault is not None
        assert "YUNHAN_MASTER_KEY_FILE" in outcome.fault.message
        assert small.spawner.live == {}
    assert all(box.binding is None for box in small.spawner.spawned)


async def test_a_failing_function_is_an_outcome_and_the_sandbox_lives() -> None:
    small = SmallWorker()

    def boom(_ctx: MemoryContext) -> Any:
        raise ValueError("boom")

    small.spawner.functions["hello"] = boom
    async with small.open():
        outcome = await small.queue.call(sample_job())
        assert (outcome.kind, outcome.blame) == (OutcomeKind.FUNCTION_ERROR, Blame.FUNCTION)
        assert outcome.fault is not None
        assert outcome.fault.message == "boom"
        await small.queue.call(sample_job())
        assert len(small.spawner.spawned) == 1
    assert small.records[0].lines[-1].text.startswith("[function_error]")


async def test_a_sandbox_that_is_not_reusable_is_replaced() -> None:
    small = SmallWorker()
    ending = Ending(
        kind=OutcomeKind.CRASHED, fault=Fault(name="Crashed", message="x"), reusable=False
    )

    def crash(_ctx: MemoryContext) -> Any:
        raise EndWith(ending)

    small.spawner.functions["hello"] = crash
    async with small.open():
        for _ in range(3):
            assert (await small.queue.call(sample_job())).kind is OutcomeKind.CRASHED
        assert len(small.spawner.spawned) == 3


async def test_a_module_that_does_not_load_is_the_functions_error() -> None:
    small = SmallWorker()
    async with small.open():
        outcome = await small.queue.call(sample_job(function="missing"))
    assert outcome.kind is OutcomeKind.FUNCTION_ERROR
    assert small.records[0].function == "missing"


async def test_a_time_out_ends_the_call_and_its_sandbox() -> None:
    small = SmallWorker()

    async def never(_ctx: MemoryContext) -> Any:
        await asyncio.Event().wait()

    small.spawner.functions["hello"] = never
    async with small.open():
        outcome = await small.queue.call(sample_job(limits=FunctionLimits(timeout_s=0.01)))
        assert (outcome.kind, outcome.blame) == (OutcomeKind.TIMEOUT, Blame.FUNCTION)
        assert small.spawner.live == {}


async def test_sandboxes_that_do_not_start_are_our_blame() -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1

    async def refuse(_spec: SandboxSpec) -> None:
        raise SandboxError("no more processes")

    small.spawner.before_spawn = refuse
    async with small.open():
        outcome = await small.queue.call(sample_job())
        assert (outcome.kind, outcome.blame) == (OutcomeKind.SANDBOX_LOST, Blame.OURS)
        small.spawner.before_spawn = None
        assert (await small.queue.call(sample_job())).ok


async def test_code_that_cannot_be_had_is_our_blame_and_leaves_no_sandbox() -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    small.code.error = UnavailableError("the store is away")
    async with small.open():
        outcome = await small.queue.call(sample_job())
        assert outcome.blame is Blame.OURS
        assert small.spawner.live == {}


async def test_slots_bound_what_runs_at_once() -> None:
    small = SmallWorker(slots=2)
    running = peak = 0
    go = asyncio.Event()

    async def busy(_ctx: MemoryContext) -> Any:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await go.wait()
        running -= 1

    small.spawner.functions["hello"] = busy
    async with small.open():
        calls = [asyncio.create_task(small.queue.call(sample_job())) for _ in range(6)]
        while running < 2:
            await asyncio.sleep(0)
        go.set()
        assert all(outcome.ok for outcome in await asyncio.gather(*calls))
    assert peak == 2


async def test_a_full_pool_refuses_instead_of_waiting() -> None:
    small = SmallWorker(slots=3, max_sandboxes=2)
    go, started = asyncio.Event(), asyncio.Semaphore(0)

    async def busy(_ctx: MemoryContext) -> Any:
        started.release()
        await go.wait()

    small.spawner.functions["hello"] = busy
    async with small.open():
        calls = [asyncio.create_task(small.queue.call(sample_job())) for _ in range(2)]
        for _ in calls:
            await started.acquire()
        refused = await small.queue.call(sample_job())
        assert (refused.kind, refused.blame) == (OutcomeKind.REFUSED, Blame.OURS)
        go.set()
        await asyncio.gather(*calls)


async def test_a_sandbox_that_dies_idle_is_not_used_again() -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    async with small.open():
        await small.queue.call(sample_job())
        small.spawner.spawned[0].die(endings.lost("somebody killed it"))
        assert (await small.queue.call(sample_job())).ok
        assert len(small.spawner.spawned) == 2


async def test_prewarmed_sandboxes_serve_first_calls() -> None:
    small = SmallWorker(prewarm=1)
    small.spawner.functions["hello"] = lambda _ctx: 1
    async with small.open():
        while not small.spawner.spawned:
            await asyncio.sleep(0)
        first = small.spawner.spawned[0]
        await asyncio.sleep(0)
        await small.queue.call(sample_job())
        assert first.binding is not None


async def test_retired_deployments_lose_their_idle_sandboxes() -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    async with small.open():
        job = sample_job()
        await small.queue.call(job)
        small.pool.retire(job.space_id, frozenset({Content("dep-new")}))
        while small.spawner.live:
            await asyncio.sleep(0)


async def test_drain_lets_running_calls_end() -> None:
    small = SmallWorker()
    go, started = asyncio.Event(), asyncio.Event()

    async def slow(_ctx: MemoryContext) -> Any:
        started.set()
        await go.wait()
        return "done"

    small.spawner.functions["hello"] = slow
    async with small.open():
        call = asyncio.create_task(small.queue.call(sample_job()))
        await started.wait()
        drained = asyncio.create_task(small.worker.drain())
        await asyncio.sleep(0)
        go.set()
        await drained
        assert (await call).value == b'"done"'


async def test_stopping_without_grace_records_worker_lost() -> None:
    small = SmallWorker()
    started = asyncio.Event()

    async def slow(_ctx: MemoryContext) -> Any:
        started.set()
        await asyncio.Event().wait()

    small.spawner.functions["hello"] = slow
    await small.spawner.start()
    async with small.queue.open(), small.pool.open():
        running = asyncio.create_task(small.worker.run())
        call = asyncio.create_task(small.queue.call(sample_job()))
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [record.kind for record in small.records] == [OutcomeKind.WORKER_LOST]
    assert (await call).kind is OutcomeKind.WORKER_LOST


async def test_children_that_wait_end_with_their_parent() -> None:
    calls = ChildCalls()
    small = calls.small = SmallWorker(slots=1, max_sandboxes=16, calls=calls)
    go, started = asyncio.Event(), asyncio.Event()

    async def leaf(_ctx: MemoryContext) -> Any:
        started.set()
        await go.wait()

    async def parent(ctx: MemoryContext) -> Any:
        for _ in range(5):
            ctx.begin_call("leaf", {})
        await started.wait()
        return "parent is done"

    small.spawner.functions["parent"] = parent
    small.spawner.functions["leaf"] = leaf
    async with small.open():
        assert (await small.queue.call(sample_job(function="parent"))).ok
        go.set()
    kinds = sorted(record.kind for record in small.records if record.function == "leaf")
    assert kinds == [OutcomeKind.CANCELLED] * 4 + [OutcomeKind.OK]


class ChildCalls:
    """Service calls that run a child for every call."""

    def __init__(self) -> None:
        self.small: SmallWorker | None = None

    async def answer_function(
        self,
        job: Job,
        slot: Slot,
        method: str,
        params: bytes,
        *,
        user_id: str | None,
        note: object,
        traffic: object,
    ) -> bytes:
        assert self.small is not None
        child = sample_job(function=method, depth=job.depth + 1)
        outcome = await self.small.worker.run_child(child, slot)
        return outcome.value or b"null"


async def test_parents_in_every_slot_do_not_starve_their_children() -> None:
    calls = ChildCalls()
    small = calls.small = SmallWorker(slots=2, max_sandboxes=16, calls=calls)

    async def parent(ctx: MemoryContext) -> Any:
        return await ctx.call("leaf", {})

    small.spawner.functions["parent"] = parent
    small.spawner.functions["leaf"] = lambda _ctx: "leaf"
    async with small.open():
        jobs = [small.queue.call(sample_job(function="parent")) for _ in range(6)]
        outcomes = await asyncio.gather(*jobs)
    assert all(outcome.ok for outcome in outcomes), outcomes


async def test_a_child_goes_on_when_its_parent_ends_first() -> None:
    calls = ChildCalls()
    small = calls.small = SmallWorker(slots=1, max_sandboxes=16, calls=calls)
    go, started = asyncio.Event(), asyncio.Event()

    async def leaf(_ctx: MemoryContext) -> Any:
        started.set()
        await go.wait()

    async def parent(ctx: MemoryContext) -> Any:
        ctx.begin_call("leaf", {})
        await started.wait()
        return "parent is done"

    small.spawner.functions["parent"] = parent
    small.spawner.functions["leaf"] = leaf
    async with small.open():
        assert (await small.queue.call(sample_job(function="parent"))).ok
        assert small.slots.free == 0, "the child keeps the slot"
        go.set()
    kinds = {record.function: record.kind for record in small.records}
    assert kinds == {"parent": OutcomeKind.OK, "leaf": OutcomeKind.OK}


async def test_the_bill_has_the_calls_and_the_load() -> None:
    calls = ChildCalls()
    small = calls.small = SmallWorker(slots=1, max_sandboxes=4, calls=calls)

    async def parent(ctx: MemoryContext) -> Any:
        for method in ("serverless.function.x", "serverless.function.x", "other"):
            await ctx.call(method, {})

    small.spawner.functions["parent"] = parent
    for child in ("serverless.function.x", "other"):
        small.spawner.functions[child] = lambda _ctx: 1
    async with small.open():
        bill = (await small.queue.call(sample_job(function="parent"))).bill
    assert bill.calls == {CallKind.FUNCTION: 2, CallKind.OTHER: 1}
    assert bill.load_ms is not None
    assert bill.egress_bytes is None, "nothing counts it here"
    warm = next(record for record in small.records if not record.bill.cold)
    assert (warm.bill.load_ms, warm.bill.calls) == (None, {})


async def test_a_function_that_does_not_load_has_no_run_on_its_bill() -> None:
    small = SmallWorker()
    async with small.open():
        outcome = await small.queue.call(sample_job(function="missing"))
    assert outcome.kind is not OutcomeKind.OK
    assert (outcome.bill.cold, outcome.bill.run_ms, outcome.bill.calls) == (True, 0.0, {})
