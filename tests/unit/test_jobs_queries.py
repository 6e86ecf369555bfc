from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runtime.errors import ConflictError, NotFoundError
from runtime.job_ids import JobIds
from runtime.jobs.queries import JobQueries
from runtime.jobs.submit import AsyncSubmitter, asynchronous
from runtime.messages import Code, Job, JobState
from runtime.ports import LedgerQuery
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import Stage, job_now, told

IDS = JobIds(b"k" * 32)
LIVE = Code(deployment_id="dep-live", digest="1" * 64)


@pytest.fixture
def stage() -> Stage:
    stage = Stage(told(OutcomeKind.FUNCTION_ERROR))
    stage.clock._now_ms = 2_000_000_000_000  # after any id made by the real clock
    return stage


@pytest.fixture
def queries(stage: Stage) -> JobQueries:
    async def refresh(job: Job) -> Job:
        return replace(job, code=LIVE)

    submitter = AsyncSubmitter(ledger=stage.ledger, queue=stage.queue, clock=stage.clock)
    return JobQueries(
        ledger=stage.ledger,
        submitter=submitter,
        ids=IDS,
        clock=stage.clock,
        refresh=refresh,
        keep_s=1e12,
        backlog=stage.queue.async_backlog,
        sleep=stage.sleep,
    )


def made(stage: Stage, **terms: Any) -> Job:
    job = job_now(stage.clock, **terms)
    assert job.terms is not None
    return asynchronous(job, IDS, job.terms)


async def test_job_without_an_entry_shows_as_queued(stage: Stage, queries: JobQueries) -> None:
    job = made(stage)
    view = await queries.show("mp-1", job.job_id)
    assert (view.state, view.entry) == (JobState.QUEUED, None)


async def test_job_with_an_entry_shows_it(stage: Stage, queries: JobQueries) -> None:
    await stage.deliver(job := made(stage))
    view = await queries.show("mp-1", job.job_id)
    assert (view.state, view.entry) == (JobState.FAILED, await stage.entry(job))


async def test_unknown_ids_and_other_spaces_jobs_are_not_found(
    stage: Stage, queries: JobQueries
) -> None:
    await stage.deliver(known := made(stage))
    waiting = made(stage)
    for space_id, job_id in (
        ("mp-2", known.job_id),
        ("mp-2", waiting.job_id),
        ("mp-1", waiting.job_id[:-1] + "x"),
        ("mp-1", "job-1"),
    ):
        for ask in (queries.show, queries.cancel, queries.replay, queries.drop):
            with pytest.raises(NotFoundError, match="no job"):
                await ask(space_id, job_id)


async def test_id_that_is_older_than_any_waiting_job_is_not_found(
    stage: Stage, queries: JobQueries
) -> None:
    queries._keep_ms = 1000
    with pytest.raises(NotFoundError):
        await queries.show("mp-1", made(stage).job_id)


async def test_cancel_is_told_by_the_state(stage: Stage, queries: JobQueries) -> None:
    await stage.deliver(over := made(stage))
    assert (await queries.cancel("mp-1", over.job_id)).state is JobState.FAILED
    waiting = made(stage)
    for _ in range(2):
        assert (await queries.cancel("mp-1", waiting.job_id)).state is JobState.CANCELLED
    assert (await stage.deliver(waiting)).told == ["acknowledged"]
    assert len(stage.executor.jobs) == 1


async def test_replay_is_a_new_job_with_live_code_that_names_the_old_one(
    stage: Stage, queries: JobQueries
) -> None:
    await stage.deliver(job := made(stage, idempotency_key="k", attempts_max=7))
    stage.clock.advance(100)
    answers = [await queries.replay("mp-1", job.job_id) for _ in range(2)]
    (again, _), (other, _) = stage.queue.jobs
    assert [answer.job_id for answer in answers] == [again.job_id, other.job_id]
    assert len({job.job_id, again.job_id, other.job_id}) == 3
    assert IDS.valid(again.job_id, "mp-1")
    assert again.terms is not None
    assert again.terms.replay_of == job.job_id
    assert again.terms.idempotency_key is None
    assert again.terms.attempts_max == 7
    assert again.terms.accepted_ms == stage.clock.now_ms()
    assert again.request_id != job.request_id
    assert (again.args, again.code) == (job.args, LIVE)
    assert await stage.state(job) is JobState.FAILED


async def test_what_is_not_over_is_neither_replayed_nor_dropped(
    stage: Stage, queries: JobQueries
) -> None:
    waiting, queued = made(stage), made(stage)
    await stage.ledger.accept(queued, now_ms=stage.clock.now_ms())
    for job in (waiting, queued):
        for ask in (queries.replay, queries.drop):
            with pytest.raises(ConflictError, match="cancel it first"):
                await ask("mp-1", job.job_id)


async def test_job_whose_arguments_nobody_saw_is_not_replayed(
    stage: Stage, queries: JobQueries
) -> None:
    job = made(stage)
    await queries.cancel("mp-1", job.job_id)
    with pytest.raises(ConflictError, match="not known"):
        await queries.replay("mp-1", job.job_id)


async def test_dropped_job_is_gone(stage: Stage, queries: JobQueries) -> None:
    await stage.deliver(job := made(stage))
    states = frozenset({JobState.FAILED})
    assert (await queries.find(LedgerQuery(states=states), offset=0, limit=9))[1] == 1
    await queries.drop("mp-1", job.job_id)
    for ask in (queries.show, queries.drop, queries.cancel):
        with pytest.raises(NotFoundError):
            await ask("mp-1", job.job_id)
    assert (await queries.find(LedgerQuery(states=states), offset=0, limit=9))[1] == 0
