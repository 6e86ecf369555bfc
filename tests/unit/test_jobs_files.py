"""Large arguments and results: where their bytes are at every moment, and when they go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.files_object import LocalFileStore
from runtime.errors import OursError, OverloadedError, UnavailableError
from runtime.job_ids import JobIds
from runtime.jobs.attempt import RunStop
from runtime.jobs.files import EVERYTHING_INLINE, JobBytesError, JobFiles
from runtime.jobs.queries import JobQueries
from runtime.jobs.runner import AsyncRunner, RunnerLimits
from runtime.jobs.submit import AsyncSubmitter, asynchronous
from runtime.jobs.sweeper import Sweeper, SweeperLimits
from runtime.messages import Job, JobState, Outcome
from runtime.testing.ledger_samples import WIDE
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import Run, Stage, job_now, told

BOUND = 16
LARGE = b"[" + b"1," * 500 + b"1]"
IDS = JobIds(b"k" * 32)
DAY_MS = 86_400_000


class Store(LocalFileStore):
    """Raises `failure` instead of storing, when there is one."""

    failure: OursError | None = None

    async def put_file(self, key: str, source: Path) -> None:
        if self.failure is not None:
            raise self.failure
        await super().put_file(key, source)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "files")


@pytest.fixture
def files(store: Store, tmp_path: Path) -> JobFiles:
    spool = tmp_path / "spool"
    spool.mkdir()
    return JobFiles(store, inline_max_bytes=BOUND, spool=spool)


def returns(value: bytes) -> Run:
    async def run(job: Job, stop: RunStop) -> Outcome:
        return Outcome(request_id=job.request_id, kind=OutcomeKind.OK, value=value)

    return run


def large_job(stage: Stage, **terms: Any) -> Job:
    job = replace(job_now(stage.clock, **terms), args=LARGE)
    assert job.terms is not None
    return asynchronous(job, JobIds(b"k" * 32, stage.clock.now_ms), job.terms)


def submitter_of(stage: Stage, files: JobFiles) -> AsyncSubmitter:
    return AsyncSubmitter(ledger=stage.ledger, queue=stage.queue, clock=stage.clock, files=files)


def runner_of(stage: Stage, files: JobFiles) -> AsyncRunner:
    return AsyncRunner(
        ledger=stage.ledger,
        queue=stage.queue,
        executor=stage.executor,
        clock=stage.clock,
        worker_id="w1",
        limits=RunnerLimits(quota=WIDE),
        random=lambda: 0.5,
        unstarted=lambda job, outcome: stage.unstarted.append((job, outcome)),
        files=files,
        sleep=stage.sleep,
    )


def sweeper_of(stage: Stage, files: JobFiles) -> Sweeper:
    return Sweeper(
        ledger=stage.ledger,
        queue=stage.queue,
        clock=stage.clock,
        limits=SweeperLimits(waits_s=1000),
        random=lambda: 0.5,
        unstarted=lambda job, outcome: None,
        files=files,
    )


# --- bytes ----------------------------------------------------------------------------------------


@given(size=st.integers(0, 2) | st.integers(BOUND - 2, BOUND + 2) | st.integers(0, 3 * 1024 * 1024))
async def test_what_is_put_comes_back_whatever_its_size(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    folder = tmp_path_factory.mktemp("jobs")
    store = LocalFileStore(folder / "files")
    files = JobFiles(store, inline_max_bytes=BOUND, spool=folder)
    stage = Stage()
    data = bytes(i % 251 for i in range(size % 1000)) + b"x" * (size - size % 1000)
    job = replace(job_now(stage.clock), args=data)
    kept = await files.put_args(job)
    assert (kept == job) == (size <= BOUND)
    assert (kept.args_stored is not None) == (size > BOUND)
    assert await files.with_args(kept) == job
    outcome = Outcome(request_id="r", kind=OutcomeKind.OK, value=data or b"1")
    stored = await files.put_result(job, outcome)
    assert (stored.value is None) == (size > BOUND)
    assert await files.with_result(stored) == outcome
    assert len(await store.list_keys("jobs")) == (2 if size > BOUND else 0)
    assert not list(folder.glob("job-*"))


async def test_putting_again_leaves_one_copy(files: JobFiles, store: Store) -> None:
    job = large_job(Stage())
    assert await files.put_args(job) == await files.put_args(job)
    assert await store.list_keys("jobs") == [f"jobs/mp-1/{job.job_id}/args"]


@pytest.mark.parametrize("damage", [b"", LARGE[:-1], LARGE + b" ", b"[" + LARGE[1:-1] + b"}"])
async def test_damaged_bytes_are_no_arguments(
    files: JobFiles, store: Store, tmp_path: Path, damage: bytes
) -> None:
    job = await files.put_args(large_job(Stage()))
    assert job.args_stored is not None
    (tmp_path / "other").write_bytes(damage)
    await store.put_file(job.args_stored.key, tmp_path / "other")
    with pytest.raises(JobBytesError, match="not what was put there") as raised:
        await files.with_args(job)
    assert "1,1" not in str(raised.value)


async def test_a_full_disk_is_an_error_of_ours(store: Store, tmp_path: Path) -> None:
    files = JobFiles(store, inline_max_bytes=0, spool=tmp_path / "nowhere")
    with pytest.raises(UnavailableError, match="cannot be written"):
        await files.put_args(large_job(Stage()))


async def test_without_a_store_everything_stays_inline() -> None:
    job = large_job(Stage())
    assert await EVERYTHING_INLINE.put_args(job) is job
    assert await EVERYTHING_INLINE.sweep(Stage().ledger, made_before_ms=2**62) == 0


# --- acceptance -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "k"])
async def test_accepted_jobs_have_their_bytes(files: JobFiles, key: str | None) -> None:
    stage = Stage()
    job = large_job(stage, idempotency_key=key)
    await submitter_of(stage, files).submit(job)
    [(queued, _)] = stage.queue.jobs
    assert queued.args == b""
    assert await files.with_args(queued) == job


@pytest.mark.parametrize("key", [None, "k"])
async def test_what_cannot_be_stored_is_not_accepted(
    files: JobFiles, store: Store, key: str | None
) -> None:
    stage = Stage()
    store.failure = UnavailableError("the file store is away")
    job = large_job(stage, idempotency_key=key)
    with pytest.raises(UnavailableError):
        await submitter_of(stage, files).submit(job)
    assert stage.queue.jobs == []
    assert await stage.ledger.read(job.job_id) is None


@pytest.mark.parametrize(
    ("refusal", "left"), [(OverloadedError("full"), 0), (UnavailableError("away"), 1)]
)
async def test_refused_jobs_leave_nothing_unless_they_may_be_queued(
    files: JobFiles, store: Store, refusal: OursError, left: int
) -> None:
    stage = Stage()
    stage.queue.refusal = refusal
    with pytest.raises(type(refusal)):
        await submitter_of(stage, files).submit(large_job(stage))
    assert len(await store.list_keys("jobs")) == left


async def test_a_repeated_key_leaves_no_second_copy(files: JobFiles, store: Store) -> None:
    stage = Stage()
    submitter = submitter_of(stage, files)
    first, again = (large_job(stage, idempotency_key="k") for _ in range(2))
    await submitter.submit(first)
    accepted = await submitter.submit(again)
    assert (accepted.job_id, accepted.first) == (first.job_id, False)
    assert await store.list_keys("jobs") == [f"jobs/mp-1/{first.job_id}/args"]


async def test_a_key_that_another_took_meanwhile_leaves_no_second_copy(
    files: JobFiles, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    first, again = (large_job(stage, idempotency_key="k") for _ in range(2))
    await stage.ledger.accept(first, now_ms=stage.clock.now_ms())

    async def nothing_yet(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(stage.ledger, "accepted", nothing_yet)
    accept = type(stage.ledger).accept

    async def accept_as_it_is(job: Job, *, now_ms: int) -> object:
        monkeypatch.undo()
        return await accept(stage.ledger, job, now_ms=now_ms)

    monkeypatch.setattr(stage.ledger, "accept", accept_as_it_is)
    accepted = await submitter_of(stage, files).submit(again)
    assert not accepted.first
    assert await store.list_keys("jobs") == []


# --- results --------------------------------------------------------------------------------------


async def test_a_large_result_is_stored_and_shown(files: JobFiles) -> None:
    stage = Stage(returns(LARGE))
    job = large_job(stage)
    await stage.deliver(job, runner_of(stage, files))
    entry = await stage.entry(job)
    assert entry.state is JobState.SUCCEEDED
    assert entry.outcome is not None
    assert (entry.outcome.ok, entry.outcome.value) == (True, None)
    view = await queries_of(stage, files).show("mp-1", job.job_id)
    assert view.entry is not None
    assert view.entry.outcome is not None
    assert view.entry.outcome.value == LARGE
    await files.remove_result(entry.outcome)
    view = await queries_of(stage, files).show("mp-1", job.job_id)
    assert view.state is JobState.SUCCEEDED
    assert view.result_problem is not None


async def test_the_end_waits_for_a_file_store_that_is_away(files: JobFiles, store: Store) -> None:
    stage = Stage(returns(LARGE))
    store.failure = UnavailableError("the file store is away")
    sleep = stage.sleep

    async def back_then(seconds: float) -> None:
        if len(stage.slept) > 3:
            store.failure = None
        await sleep(seconds)

    stage.sleep = back_then  # type: ignore[method-assign]
    job = large_job(stage)
    await stage.deliver(job, runner_of(stage, files))
    assert await stage.state(job) is JobState.SUCCEEDED
    assert len(stage.executor.jobs) == 1


async def test_a_result_that_came_too_late_is_removed(files: JobFiles, store: Store) -> None:
    stage = Stage()

    async def cancelled_meanwhile(job: Job, stop: RunStop) -> Outcome:
        await stage.ledger.cancel(job.job_id, "mp-1", now_ms=stage.clock.now_ms())
        return Outcome(request_id=job.request_id, kind=OutcomeKind.OK, value=LARGE)

    stage.executor._run = cancelled_meanwhile
    job = large_job(stage)
    await stage.deliver(job, runner_of(stage, files))
    assert await stage.state(job) is JobState.CANCELLED
    assert await store.list_keys("jobs") == []


def queries_of(stage: Stage, files: JobFiles) -> JobQueries:
    async def refresh(job: Job) -> Job:
        return job

    return JobQueries(
        ledger=stage.ledger,
        submitter=submitter_of(stage, files),
        ids=IDS,
        clock=stage.clock,
        refresh=refresh,
        keep_s=1e12,
        files=files,
        backlog=stage.queue.async_backlog,
    )


async def test_a_replay_has_a_copy_of_its_own(files: JobFiles) -> None:
    stage = Stage(told(OutcomeKind.FUNCTION_ERROR))
    job = large_job(stage)
    submitter = submitter_of(stage, files)
    await submitter.submit(job)
    await stage.deliver(stage.queue.jobs[-1][0], runner_of(stage, files))
    queries = queries_of(stage, files)
    again = await queries.replay("mp-1", job.job_id)
    await queries.drop("mp-1", job.job_id)
    queued = stage.queue.jobs[-1][0]
    assert queued.job_id == again.job_id
    assert (await files.with_args(queued)).args == LARGE


# --- removal --------------------------------------------------------------------------------------


async def test_bytes_go_with_the_entry(files: JobFiles, store: Store) -> None:
    stage = Stage(returns(LARGE))
    job = large_job(stage)
    await submitter_of(stage, files).submit(job)
    await stage.deliver(stage.queue.jobs[-1][0], runner_of(stage, files))
    sweeper = sweeper_of(stage, files)
    stage.clock.advance(1_000_000)
    assert await sweeper.sweep_files() == 0
    assert len(await store.list_keys("jobs")) == 2
    await stage.ledger.prune(before_ms=stage.clock.now_ms())
    assert await sweeper.sweep_files() == 2
    assert await store.list_keys("jobs") == []


async def test_bytes_of_a_job_that_the_ledger_does_not_know_yet_are_kept_as_long_as_it_may_wait(
    files: JobFiles, store: Store
) -> None:
    stage = Stage()
    await submitter_of(stage, files).submit(large_job(stage))
    sweeper = sweeper_of(stage, files)
    stage.clock.advance(1000 + 3600)
    assert await sweeper.sweep_files() == 0
    stage.clock.advance(0.001)
    assert await sweeper.sweep_files() == 1
    assert await sweeper.sweep_files() == 0


async def test_other_blobs_and_strange_names_are_not_swept(
    files: JobFiles, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"x")
    for key in ("code/a.zip", "jobs/mp-1/readme", "jobs/mp-1/job-xyz/args"):
        await store.put_file(key, tmp_path / "x")
    assert await files.sweep(Stage().ledger, made_before_ms=2**62) == 0


@pytest.mark.parametrize(
    "remove",
    [
        lambda files, job: files.remove_space("mp-1"),
        lambda files, job: files.remove_job("mp-1", job),
    ],
)
async def test_a_space_and_a_dropped_job_take_their_bytes_along(
    files: JobFiles, store: Store, remove: Callable[..., object]
) -> None:
    stage = Stage()
    one = await files.put_args(large_job(stage))
    other = replace(large_job(stage), space_id="mp-12")
    await files.put_args(other)
    await remove(files, one.job_id)  # type: ignore[misc]
    await remove(files, one.job_id)  # type: ignore[misc]
    assert await store.list_keys("jobs") == [f"jobs/mp-12/{other.job_id}/args"]
