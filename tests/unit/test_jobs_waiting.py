"""Jobs without an entry: those that wait are told from those that are lost."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.backends.ledger_memory import LedgerMemory
from runtime.job_ids import JobIds
from runtime.jobs.audit import check_ledger
from runtime.jobs.waiting import WaitingJobs, tell_waiting
from runtime.ports import LedgerQuery
from runtime.testing.ledger_samples import NOW, claimed, ledger_job

IDS = JobIds(b"k" * 32)
MADE = [IDS.new("mp-1") for _ in range(4)]
FOREIGN = JobIds(b"x" * 32).new("mp-1")


class Queue:
    """Tells these depths, one after the other, and the last one for ever."""

    def __init__(self, *depths: int) -> None:
        self.depths = list(depths)
        self.slept = 0

    async def backlog(self) -> int:
        return self.depths.pop(0) if len(self.depths) > 1 else self.depths[0]

    async def sleep(self, seconds: float) -> None:
        self.slept += 1

    def told(self) -> WaitingJobs:
        async def ours(job_ids: Iterable[str]) -> frozenset[str]:
            return frozenset(each for each in job_ids if IDS.valid(each, "mp-1"))

        return WaitingJobs(backlog=self.backlog, ours=ours, sleep=self.sleep)


async def test_as_many_as_the_queue_has_may_wait() -> None:
    queue = Queue(4)
    found = await tell_waiting(LedgerMemory(), frozenset(MADE), queue.told())
    assert (found.queued, found.queued_count, found.missing_count) == (frozenset(MADE), 4, 0)
    assert queue.slept == 0


async def test_with_an_empty_queue_all_are_lost() -> None:
    queue = Queue(0)
    found = await tell_waiting(LedgerMemory(), frozenset(MADE), queue.told())
    assert (found.missing, found.missing_count) == (frozenset(MADE), 4)
    assert (found.queued, found.queued_count) == (frozenset(), 0)
    assert queue.slept == 19


async def test_what_exceeds_the_queue_is_lost_although_it_is_not_known_which() -> None:
    found = await tell_waiting(LedgerMemory(), frozenset(MADE), Queue(3).told())
    assert (found.missing, found.missing_count) == (frozenset(MADE), 1)
    assert (found.queued, found.queued_count) == (frozenset(), 3)


async def test_a_job_on_its_way_is_not_lost() -> None:
    found = await tell_waiting(LedgerMemory(), frozenset(MADE), Queue(0, 3, 2, 4).told())
    assert (found.missing_count, found.queued_count) == (0, 4)


async def test_an_id_that_we_did_not_make_never_waits() -> None:
    found = await tell_waiting(LedgerMemory(), frozenset({FOREIGN, MADE[0]}), Queue(9).told())
    assert (found.missing, found.missing_count) == (frozenset({FOREIGN}), 1)
    assert found.queued == {MADE[0]}


async def test_a_job_that_got_its_entry_meanwhile_is_neither() -> None:
    ledger, queue = LedgerMemory(), Queue(0)
    job = ledger_job()

    async def claim_it(_: float) -> None:
        if await ledger.read(job.job_id) is None:
            await claimed(ledger, job)

    async def ours(job_ids: Iterable[str]) -> frozenset[str]:
        return frozenset(job_ids)

    waiting = WaitingJobs(backlog=queue.backlog, ours=ours, sleep=claim_it)
    report = await check_ledger(
        ledger,
        LedgerQuery(),
        accepted=[job.job_id],
        now_ms=NOW,
        tolerance_ms=0,
        waiting=waiting,
    )
    assert (report.missing_count, report.queued_count) == (0, 0)
    assert report.unended == (job.job_id,)
    assert not report.sound


async def test_the_report_is_not_sound_while_accepted_jobs_wait_or_are_lost() -> None:
    for depth, counts in ((1, (0, 1)), (0, (1, 0))):
        report = await check_ledger(
            LedgerMemory(),
            LedgerQuery(),
            accepted=[MADE[0]],
            now_ms=NOW,
            tolerance_ms=0,
            waiting=Queue(depth).told(),
        )
        assert (report.missing_count, report.queued_count) == counts
        assert not report.sound
