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
    """Seconds. `batch_max`: uploads, and records, that are read at once."""

    every_s: float
    grace_s: float
    batch_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSwept:
    """What one sweep did."""

    forgotten: int = 0
    """Uploads that had become files."""
    condemned: int = 0
    """Uploads that nobody reported."""
    finished: int = 0
    """Records whose stale bytes were removed."""
    removed: int = 0
    """Records of files that were gone."""
    failed: int = 0
    """Left to another sweep."""

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
        self._last_record: FileRecord | None = None
        """Up to which a sweep got that had no time for more: the next one goes on behind it, so that what
        fails slowly does not keep the others waiting for ever. None: from the oldest on."""
        self._last_upload: Upload | None = None

    async def run(self) -> None:
        """Sweep until cancelled. What fails is tried again with the next sweep."""
        while True:
            await self._sleep(self._limits.every_s)
            try:
                await self.sweep()
            except OursError as error:
                _log.warning("file_sweep_failed", error=error.message)

    async def sweep(self) -> FilesSwept:
        """All that is over, as far as the time of a sweep goes: half of it for records, half for uploads.
        Raises UnavailableError when the records cannot be read."""
        before_ms = self._clock.now_ms() - round(self._limits.grace_s * 1000)
        limit = self._limits.batch_max
        counts = dict.fromkeys(("forgotten", "condemned", "finished", "removed", "failed"), 0)
        # Records first: what is condemned now keeps its bytes until the next sweep at least.
        self._last_record = await self._each(
            lambda after: self._records.unfinished(before_ms=before_ms, limit=limit, after=after),
            self._end_record,
            counts,
            after=self._last_record,
        )
        self._last_upload = await self._each(
            lambda after: self._records.expired_uploads(
                before_ms=before_ms, limit=limit, after=after
            ),
            self._end_upload,
            counts,
            after=self._last_upload,
        )
        swept = FilesSwept(**counts)
        if swept.done or swept.failed:
            _log.info("files_swept", **counts)
        return swept

    async def _each(
        self,
        read: Callable[[T | None], Awaitable[Sequence[T]]],
        end: Callable[[T], Awaitable[str]],
        counts: dict[str, int],
        *,
        after: T | None,
    ) -> T | None:
        """Batch by batch, behind what failed, until all are done: None. Or until half the time of a sweep is
        over, for a store that does not answer takes its time: the last one that was looked at."""
        until = self._clock.monotonic() + self._limits.every_s / 2
        while True:
            batch = await read(after)
            for item in batch:
                counts[await self._ended(item, end)] += 1
                after = item
                if self._clock.monotonic() > until:
                    return after
            if len(batch) < self._limits.batch_max:
                return None

    async def _ended(self, item: T, end: Callable[[T], Awaitable[str]]) -> str:
        """What is to be counted."""
        try:
            return await end(item)
        except YunhanError as error:
            _log.warning("file_not_swept", error=error.message)
        except Exception:  # noqa: BLE001 - a bug with one of them leaves the others their end
            _log.exception("file_sweep_bug")
        return "failed"

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
