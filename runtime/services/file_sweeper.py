"""Ends what crashes, refusals and forgetful clients left half done with files.

    uploads past their time and a grace   one whose bytes became a file is forgotten, the bytes of others are
                                          condemned (`file_remains`); later sweeps remove them
    records with stale bytes              the bytes away
    records of files that are gone        removed

Every gateway does it; several at once only waste work. The grace covers clocks that differ and whatever may
still be under way: an upload into the store, a report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from runtime.errors import ConflictError, OursError, YunhanError
from runtime.messages import FileRecord, Upload, UploadState
from runtime.ports import Clock, FileRecords, Sleep
from runtime.services.file_remains import FileRemains

_log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSweepLimits:
    """Seconds. `batch_max`: uploads, and records, of one batch."""

    every_s: float
    grace_s: float
    batch_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSwept:
    """What one batch did."""

    forgotten: int = 0
    """Uploads that had become files."""
    condemned: int = 0
    """Uploads that nobody reported."""
    finished: int = 0
    """Records whose stale bytes were removed."""
    removed: int = 0
    """Records of files that were gone."""
    failed: int = 0
    """Left to the next sweep."""
    full: bool = False
    """There may be more."""

    @property
    def done(self) -> int:
        """How many things it ended."""
        return self.forgotten + self.condemned + self.finished + self.removed


class FileSweeper:
    """`run` it as a task that somebody watches."""

    def __init__(
        self,
        *,
        records: FileRecords,
        remains: FileRemains,
        clock: Clock,
        limits: FileSweepLimits,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._records = records
        self._remains = remains
        self._clock = clock
        self._limits = limits
        self._sleep = sleep

    async def run(self) -> None:
        """Sweep until cancelled. What fails is tried again with the next sweep."""
        while True:
            await self._sleep(self._limits.every_s)
            try:
                while (swept := await self.sweep()).full and swept.done:
                    pass
            except OursError as error:
                _log.warning("file_sweep_failed", error=error.message)

    async def sweep(self) -> FilesSwept:
        """One batch. Raises UnavailableError when the records cannot be read."""
        before_ms = self._clock.now_ms() - round(self._limits.grace_s * 1000)
        limit = self._limits.batch_max
        began = self._clock.monotonic()
        counts = dict.fromkeys(("forgotten", "condemned", "finished", "removed", "failed"), 0)
        # Records first: what is condemned now keeps its bytes until the next sweep at least.
        records = await self._records.unfinished(before_ms=before_ms, limit=limit)
        await self._each(records, self._end_record, counts, began)
        uploads = await self._records.expired_uploads(before_ms=before_ms, limit=limit)
        await self._each(uploads, self._end_upload, counts, began)
        swept = FilesSwept(**counts, full=limit in {len(records), len(uploads)})
        if swept.done or swept.failed:
            _log.info("files_swept", **counts)
        return swept

    async def _each(
        self,
        items: Sequence[T],
        end: Callable[[T], Awaitable[str]],
        counts: dict[str, int],
        began: float,
    ) -> None:
        """Until all are done, or the time of a sweep is over: a store that does not answer takes its time."""
        for item in items:
            if self._clock.monotonic() - began > self._limits.every_s:
                return
            try:
                counts[await end(item)] += 1
            except YunhanError as error:
                counts["failed"] += 1
                _log.warning("file_not_swept", error=error.message)
            except Exception:  # noqa: BLE001 - a bug with one of them leaves the others their end
                counts["failed"] += 1
                _log.exception("file_sweep_bug")

    async def _end_upload(self, upload: Upload) -> str:
        if upload.state is UploadState.SPENT:
            await self._records.forget_upload(upload.upload_id)
            return "forgotten"
        return "condemned" if await self._remains.condemn(upload) else "forgotten"

    async def _end_record(self, record: FileRecord) -> str:
        if record.stale:
            return "finished" if await self._remains.finish(record) else "failed"
        try:
            await self._records.remove(record)
        except ConflictError:  # it became a file again
            return "finished"
        return "removed"
