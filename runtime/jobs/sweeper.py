"""Finds asynchronous jobs that nobody sees to any more, and puts them back into the queue.

Any number of programs may sweep: the ledger gives each overdue entry to one of them, and a delivery too
many does no harm, because only a claim runs a job.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from runtime.errors import LineFullError, OursError, YunhanError
from runtime.jobs.confirmed import note_confirmed
from runtime.jobs.endings import Random, expired_outcome, too_old, used_up
from runtime.jobs.files import EVERYTHING_INLINE, JobFiles
from runtime.jobs.lost import TellLost, bury_lost, tell_nobody
from runtime.jobs.runner import Unstarted
from runtime.messages import JobState, LedgerEntry
from runtime.ports import Clock, Ledger, Queue, Sleep

_log = structlog.get_logger(__name__)

_JITTER = 0.25
_FILES_MARGIN_MS = 3600 * 1000
"""For clocks that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweeperLimits:
    """How often and how much. Seconds."""

    every_s: float = 5.0
    grace_s: float = 30.0
    """What should have been taken from the queue so long ago is enqueued again."""
    confirmed_s: float = 1800.0
    """What the queue confirmed only after so long: it waits there."""
    batch_max: int = 200
    keep_s: float = 7 * 86_400.0
    """Entries that ended longer ago are deleted."""
    prune_every_s: float = 600.0
    files_every_s: float = 3600.0
    """How often bytes without a job are deleted."""
    waits_s: float = 86_400.0
    """The longest time that a job may wait without an entry, `AsyncTerms.keep_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did."""

    enqueued: int = 0
    buried: int = 0
    expired: int = 0
    left: int = 0
    """Refused by the queue; a later sweep tries again."""


class Sweeper:
    """`run` it as a task that somebody watches."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        queue: Queue,
        clock: Clock,
        limits: SweeperLimits,
        random: Random,
        unstarted: Unstarted,
        lost: TellLost = tell_nobody,
        files: JobFiles = EVERYTHING_INLINE,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._queue = queue
        self._clock = clock
        self._limits = limits
        self._random = random
        self._unstarted = unstarted
        self._lost = lost
        self._files = files
        self._sleep = sleep

    async def run(self) -> None:
        """Sweep until cancelled. What cannot be reached now is tried again with the next sweep."""
        pruned: float | None = None
        files_swept: float | None = None
        while True:
            await self._sleep(self._limits.every_s * (1 + _JITTER * (2 * self._random() - 1)))
            try:
                await self.sweep()
                now = self._clock.monotonic()
                if pruned is None or now - pruned >= self._limits.prune_every_s:
                    pruned = now
                    await self.prune()
                if files_swept is None or now - files_swept >= self._limits.files_every_s:
                    files_swept = now
                    await self.sweep_files()
            except OursError as error:
                _log.warning("sweep_failed", error=str(error))

    async def sweep(self) -> Swept:
        """One batch. Raises UnavailableError when the ledger does not answer."""
        now_ms = self._clock.now_ms()
        entries = await self._ledger.overdue(
            now_ms=now_ms,
            grace_ms=round(self._limits.grace_s * 1000),
            limit=self._limits.batch_max,
        )
        enqueued = buried = expired = left = 0
        full: set[str] = set()
        """Spaces whose line takes no more."""
        closed = False
        """The queue takes nothing at all."""
        for entry in entries:
            if used_up(entry):
                buried += await self._bury(entry, now_ms)
            elif entry.state is JobState.QUEUED and too_old(entry.job, now_ms):
                expired += await self._expire(entry, now_ms)
            elif closed or entry.job.space_id in full:  # so it would be for this one
                left += 1
            else:
                try:
                    await self._enqueue(entry)
                    enqueued += 1
                except LineFullError:
                    full.add(entry.job.space_id)
                    left += 1
                except YunhanError:
                    closed = True
                    left += 1
        swept = Swept(enqueued=enqueued, buried=buried, expired=expired, left=left)
        if entries:
            _log.info("swept", enqueued=enqueued, buried=buried, expired=expired, left=left)
        return swept

    async def prune(self) -> int:
        """Delete what ended long ago. Returns how many went. Raises UnavailableError."""
        before_ms = self._clock.now_ms() - round(self._limits.keep_s * 1000)
        return await self._ledger.prune(before_ms=before_ms)

    async def sweep_files(self) -> int:
        """Delete bytes of jobs that are no more. Returns how many blobs went. Raises UnavailableError."""
        waits_ms = round(self._limits.waits_s * 1000) + _FILES_MARGIN_MS
        swept = await self._files.sweep(
            self._ledger, made_before_ms=self._clock.now_ms() - waits_ms
        )
        if swept:
            _log.info("job_files_swept", blobs=swept)
        return swept

    async def _bury(self, entry: LedgerEntry, now_ms: int) -> bool:
        return await bury_lost(self._ledger, entry, self._lost, now_ms=now_ms)

    async def _expire(self, entry: LedgerEntry, now_ms: int) -> bool:
        if not await self._ledger.expire(entry.job, now_ms=now_ms):
            return False
        self._unstarted(entry.job, expired_outcome(entry.job, now_ms))
        return True

    async def _enqueue(self, entry: LedgerEntry) -> None:
        try:
            await self._queue.enqueue(entry.job)
        except YunhanError as error:
            _log.warning("sweeper_not_enqueued", job_id=entry.job.job_id, error=str(error))
            raise
        await note_confirmed(
            self._ledger,
            self._queue,
            entry.job.job_id,
            attempts=len(entry.attempts),
            due_ms=self._clock.now_ms(),
            confirmed_s=self._limits.confirmed_s,
        )
