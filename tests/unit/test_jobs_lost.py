"""Attempts whose worker was lost are told of, each exactly once."""

from __future__ import annotations

from runtime.jobs.dead import DeadTaker
from runtime.jobs.runner import AsyncRunner, RunnerLimits
from runtime.jobs.sweeper import Sweeper, SweeperLimits
from runtime.messages import Attempt, Job, JobState
from runtime.services.unstarted import record_lost
from runtime.testing.ledger_samples import WIDE, ask, claimed
from sandbox.api import Blame, OutcomeKind
from tests.harness.async_jobs import Records, Stage, ToldDelivery, job_now, told

LEASE_S = 30


class Told:
    def __init__(self) -> None:
        self.attempts: list[tuple[str, int, str]] = []

    def __call__(self, job: Job, attempt: Attempt) -> None:
        self.attempts.append((job.job_id, attempt.number, attempt.request_id))


def parts(stage: Stage) -> tuple[AsyncRunner, Sweeper, DeadTaker, Told]:
    lost = Told()
    runner = AsyncRunner(
        ledger=stage.ledger,
        queue=stage.queue,
        executor=stage.executor,
        clock=stage.clock,
        worker_id="w2",
        limits=RunnerLimits(quota=WIDE),
        random=lambda: 0.5,
        unstarted=lambda job, outcome: None,
        lost=lost,
        sleep=stage.sleep,
    )
    sweeper = Sweeper(
        ledger=stage.ledger,
        queue=stage.queue,
        clock=stage.clock,
        limits=SweeperLimits(),
        random=lambda: 0.5,
        unstarted=lambda job, outcome: None,
        lost=lost,
    )
    taker = DeadTaker(
        queue=stage.queue, ledger=stage.ledger, clock=stage.clock, worker_id="w2", lost=lost
    )
    return runner, sweeper, taker, lost


async def lose(stage: Stage, job: Job) -> str:
    """A worker claims it and is lost. Returns the attempt's request id."""
    claim = await claimed(stage.ledger, job, at_ms=stage.clock.now_ms())
    stage.clock.advance(LEASE_S)
    return claim.attempt.request_id


async def test_the_next_attempt_tells_of_the_lost_one() -> None:
    stage = Stage(told(OutcomeKind.OK))
    runner, sweeper, _, lost = parts(stage)
    request_id = await lose(stage, job := job_now(stage.clock))
    for _ in range(3):
        await sweeper.sweep()
    assert lost.attempts == []  # its worker might still renew
    await stage.deliver(job, runner)
    await stage.deliver(job, runner)
    assert lost.attempts == [(job.job_id, 1, request_id)]
    assert await stage.state(job) is JobState.SUCCEEDED


async def test_an_attempt_that_told_its_end_is_not_lost() -> None:
    stage = Stage(told(OutcomeKind.SANDBOX_LOST))
    runner, _, _, lost = parts(stage)
    job = job_now(stage.clock)
    for _ in range(3):
        await stage.deliver(job, runner)
        stage.clock.advance(300)
    assert await stage.state(job) is JobState.DEAD
    assert lost.attempts == []


async def test_the_burial_tells_of_the_last_one_whoever_buries() -> None:
    for bury in ("runner", "sweeper", "dead"):
        stage = Stage(told(OutcomeKind.OK))
        runner, sweeper, taker, lost = parts(stage)
        request_id = await lose(stage, job := job_now(stage.clock, attempts_max=1))
        for _ in range(2):
            if bury == "runner":
                await stage.deliver(job, runner)
            elif bury == "sweeper":
                await sweeper.sweep()
            else:
                await taker.settle(ToldDelivery(job))
        assert lost.attempts == [(job.job_id, 1, request_id)], bury
        assert await stage.state(job) is JobState.DEAD


async def test_a_job_that_the_queue_gave_up_tells_of_its_lost_attempt() -> None:
    stage = Stage()
    _, _, taker, lost = parts(stage)
    request_id = await lose(stage, job := job_now(stage.clock))
    await taker.settle(ToldDelivery(job, restarts=3))
    assert lost.attempts == [(job.job_id, 1, request_id)]


async def test_each_of_several_lost_attempts_is_told_once() -> None:
    stage = Stage(told(OutcomeKind.OK))
    _, sweeper, _, lost = parts(stage)
    job = job_now(stage.clock, attempts_max=3)
    await lose(stage, job)
    for number in (1, 2):  # the runner's own claims are lost as well
        answer = await ask(stage.ledger, job, at_ms=stage.clock.now_ms())
        assert not isinstance(answer, str)
        assert answer.lost is not None
        assert answer.lost.number == number
        stage.clock.advance(LEASE_S)
    await sweeper.sweep()
    assert [number for _, number, _ in lost.attempts] == [3]


def test_the_record_of_a_lost_attempt() -> None:
    stage = Stage()
    job = job_now(stage.clock)
    records = Records()
    attempt = Attempt(number=2, worker_id="w9", request_id="r-2", started_ms=77)
    record_lost(records, job, attempt, stage.clock)
    [record] = records
    assert (record.request_id, record.job_id, record.started_ms) == ("r-2", job.job_id, 77)
    assert (record.kind, record.kind.blame) == (OutcomeKind.WORKER_LOST, Blame.OURS)
    assert "attempt 2" in record.lines[0].text
    assert "w9" in record.lines[0].text
