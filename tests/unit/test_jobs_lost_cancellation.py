"""A renewal that loses its cancellation, as the database's driver may before Python 3.12, holds up no job."""

from __future__ import annotations

import asyncio

from runtime.jobs.attempt import RunStop
from runtime.messages import Job, JobState, Outcome
from runtime.ports import Claim
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import BrokenLedger, Stage, ends, job_now


class DeafLedger(BrokenLedger):
    """The first renewal that is cancelled goes on as if it had not been."""

    def __init__(self) -> None:
        super().__init__()
        self.renewing = asyncio.Event()
        self.lost = 0

    async def renew(self, claim: Claim, *, lease_ms: int, now_ms: int) -> bool:
        self.renewing.set()
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            if self.lost:
                raise
            self.lost += 1
        return await super().renew(claim, lease_ms=lease_ms, now_ms=now_ms)


async def test_a_job_ends_although_its_renewal_lost_the_cancellation() -> None:
    ledger = DeafLedger()

    async def run(job: Job, stop: RunStop) -> Outcome:
        ledger.renewing.clear()
        await ledger.renewing.wait()
        return ends(job, OutcomeKind.OK)

    stage = Stage(run, ledger)
    job = job_now(stage.clock)
    async with asyncio.timeout(10):
        await stage.deliver(job)
    assert ledger.lost == 1
    assert await stage.state(job) is JobState.SUCCEEDED
