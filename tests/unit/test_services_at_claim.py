"""What holds for an asynchronous job at its claim: rules, pauses, deletions, large arguments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.backends.files_object import LocalFileStore
from runtime.errors import (
    UnavailableError,
)
from runtime.jobs.attempt import RunStop
from runtime.jobs.files import JobFiles
from runtime.messages import (
    EgressConfig,
    EgressMode,
    Job,
    JobState,
    Outcome,
    SpaceStatus,
)
from runtime.services.at_claim import AtClaim
from runtime.slots import Slots
from sandbox.api import INHERITED, Blame, OutcomeKind
from tests.harness.async_jobs import Stage, job_now, told
from tests.unit.async_calls_support import SPACE_ID, Stand, new_stand


@pytest.fixture
async def stand() -> Stand:
    return await new_stand()


async def run(stand: Stand, job: Job, executor: AtClaim) -> Outcome:
    return await executor.run(job, await Slots(1).take(), queue_ms=0, stop=RunStop())


async def test_rules_of_now_hold_for_a_job_that_waited(stand: Stand) -> None:
    job = await stand.submit()
    assert job.egress == INHERITED
    at_claim = stand.at_claim()
    assert (await run(stand, job, at_claim)).ok
    assert stand.executor.jobs == [job]
    await stand.store(egress=EgressConfig(mode=EgressMode.NONE))
    await run(stand, job, at_claim)
    [_, ran] = stand.executor.jobs
    assert ran.egress.inherit is False
    assert replace(ran, egress=job.egress) == job


async def test_a_job_of_a_deleted_function_or_space_is_cancelled(stand: Stand) -> None:
    job = await stand.submit()
    at_claim = stand.at_claim()
    await stand.store(functions={})
    outcome = await run(stand, job, at_claim)
    assert outcome.kind is OutcomeKind.CANCELLED
    await stand.control.delete_space(SPACE_ID)
    assert (await run(stand, job, at_claim)).kind is OutcomeKind.CANCELLED
    assert stand.executor.jobs == []
    assert [record.kind for record in stand.records] == [OutcomeKind.CANCELLED] * 2


async def test_jobs_of_a_paused_space_wait(stand: Stand) -> None:
    job = await stand.submit()
    at_claim = stand.at_claim()
    assert await at_claim.may_start(job)
    await stand.store(status=SpaceStatus.PAUSED)
    assert not await at_claim.may_start(job)
    stage = Stage(told(OutcomeKind.OK))
    stage.runner._may_start = at_claim.may_start
    job = job_now(stage.clock, SPACE_ID)
    delivery = await stage.deliver(job)
    assert (delivery.told, delivery.delay_s) == (["postponed"], 30.0)
    assert await stage.ledger.read(job.job_id) is None  # no attempt was spent
    await stand.store(status=SpaceStatus.RUNNING)
    await stage.deliver(job)
    assert await stage.state(job) is JobState.SUCCEEDED
    await stand.control.delete_space(SPACE_ID)
    assert await at_claim.may_start(job)  # so that it ends


class Away(LocalFileStore):
    """Does not answer."""

    async def size(self, key: str) -> int | None:
        raise UnavailableError("the file store is away")


async def test_large_arguments_come_from_the_file_store(stand: Stand, tmp_path: Path) -> None:
    files = JobFiles(LocalFileStore(tmp_path / "files"), inline_max_bytes=3, spool=tmp_path)
    job = await stand.submit()
    small = await files.put_args(job)
    assert small.args == b""
    at_claim = stand.at_claim(files)
    assert await at_claim.may_start(small)
    assert (await run(stand, small, at_claim)).ok
    assert stand.executor.jobs == [job]


async def test_lost_arguments_are_our_fault_and_are_tried_again(
    stand: Stand, tmp_path: Path
) -> None:
    files = JobFiles(LocalFileStore(tmp_path / "files"), inline_max_bytes=3, spool=tmp_path)
    job = await files.put_args(await stand.submit())
    await files.remove_args(job)
    at_claim = stand.at_claim(files)
    assert await at_claim.may_start(job)
    outcome = await run(stand, job, at_claim)
    assert (outcome.kind, outcome.blame) == (OutcomeKind.SANDBOX_LOST, Blame.OURS)
    assert outcome.fault is not None
    assert outcome.fault.code == "JobBytesMissing"
    assert job.job_id in outcome.fault.message
    assert stand.executor.jobs == []
    [record] = stand.records
    assert (record.request_id, record.kind) == (job.request_id, OutcomeKind.SANDBOX_LOST)


async def test_a_file_store_that_is_away_costs_no_attempt(stand: Stand, tmp_path: Path) -> None:
    store = Away(tmp_path / "files")
    files = JobFiles(store, inline_max_bytes=3, spool=tmp_path)
    at_claim = stand.at_claim(files)
    stage = Stage(told(OutcomeKind.OK))
    stage.runner._may_start = at_claim.may_start
    job = await files.put_args(job_now(stage.clock, SPACE_ID))
    delivery = await stage.deliver(job)
    assert (delivery.told, delivery.delay_s) == (["postponed"], 5.0)
    assert await stage.ledger.read(job.job_id) is None
