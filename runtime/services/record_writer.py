"""Writes invocation records off the call path: buffered, in batches, bounded, with counted loss.

`append` only puts the record into a buffer. One background task takes batches from it, ships the
functions' log lines to the program log and writes the records; another one prunes. While the store is
away the writer tries again, the buffer fills, and then the newest records are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn, Self

import structlog

from runtime.errors import UnavailableError, YunhanError
from runtime.messages import InvocationRecord
from runtime.ports import Clock, RecordStore
from runtime.services.function_log import ship
from runtime.tasks import end_tasks

_log = structlog.get_logger(__name__)

_DAY_MS = 86_400_000
_BATCH_MAX_BYTES = 4 * 1024 * 1024
"""Log text in one batch: encoding it must not hold up the event loop."""
_RECORD_OVERHEAD_BYTES = 1024
_LINE_OVERHEAD_BYTES = 128


class RecordWriter:
    """A `RecordSink` with a store behind it. An async context manager: records are written inside.

    On leaving it writes what is buffered for at most `shutdown_flush_s`; the rest is dropped and counted.
    The background tasks must not end by themselves: the owner awaits `wait_failed`.

    Parameters are the settings `record_*`, `log_function_lines` (`ship_lines`) and `shutdown_flush_s`.
    A store that is away is tried again after `retry_first_s`, doubling up to `retry_longest_s`.
    """

    def __init__(
        self,
        store: RecordStore,
        *,
        clock: Clock,
        buffer_max: int,
        buffer_max_bytes: int,
        batch_max: int,
        flush_s: float,
        keep_days: float,
        keep_per_space: int,
        prune_s: float,
        shutdown_flush_s: float,
        ship_lines: bool,
        retry_first_s: float = 0.1,
        retry_longest_s: float = 5.0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._buffer_max = buffer_max
        self._buffer_max_bytes = buffer_max_bytes
        self._batch_max = batch_max
        self._flush_s = flush_s
        self._keep_days = keep_days
        self._keep_per_space = keep_per_space
        self._prune_s = prune_s
        self._shutdown_flush_s = shutdown_flush_s
        self._ship_lines = ship_lines
        self._retry_first_s = retry_first_s
        self._retry_longest_s = retry_longest_s

        self._buffer: deque[tuple[InvocationRecord, int]] = deque()
        self._taken = 0
        """Records of the batch that is being written; they count as buffered."""
        self._bytes = 0
        self._accepted = 0
        self._settled = 0
        """Accepted records that were written or given up."""
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []
        self._some = asyncio.Event()
        """There is something to write."""
        self._hurry = asyncio.Event()
        """A batch is full or somebody waits: do not wait for more."""
        self._task: asyncio.Task[None] | None = None

        self.written = 0
        """Records that the store has confirmed."""
        self.dropped = 0
        """Records lost: the buffer was full, the store refused them, or the program ended."""
        self.failed_batches = 0
        """Attempts to write a batch that failed."""
        self._dropped_reported = 0

    @property
    def buffered(self) -> int:
        """Records that wait to be written."""
        return len(self._buffer) + self._taken

    def append(self, record: InvocationRecord) -> None:
        """Buffer one record; when the buffer is full it is dropped and counted.

        Never blocks, never raises. Call it in the event loop's thread. A character of a line counts as
        one byte: to look closer would cost more than the rest."""
        text = sum(
            [len(line.text) for line in record.lines]
        )  # a list: half the time of a generator
        size = _RECORD_OVERHEAD_BYTES + _LINE_OVERHEAD_BYTES * len(record.lines) + text
        buffered = len(self._buffer)
        if (
            buffered + self._taken >= self._buffer_max
            or self._bytes + size > self._buffer_max_bytes
        ):
            self.dropped += 1
            return
        self._buffer.append((record, size))
        self._bytes += size
        self._accepted += 1
        if not buffered:
            self._some.set()
        if buffered + 1 >= self._batch_max:
            self._hurry.set()

    async def flush(self, timeout_s: float) -> bool:
        """Write what was appended so far, now. False when that took longer than `timeout_s`, or when
        the writer is not running. Safe to cancel."""
        if self._settled >= self._accepted:
            return True
        if self._task is None or self._task.done():
            return False
        written = asyncio.get_running_loop().create_future()
        waiter = (self._accepted, written)
        self._flushes.append(waiter)
        self._hurry.set()
        try:
            await asyncio.wait(
                {written, self._task}, timeout=timeout_s, return_when="FIRST_COMPLETED"
            )
            return written.done()
        finally:
            if waiter in self._flushes:
                self._flushes.remove(waiter)

    async def wait_failed(self) -> NoReturn:
        """Wait for the writer's death and raise its reason. Waits forever when all goes well."""
        if self._task is None:
            raise RuntimeError("the record writer was not started: use `async with`")
        await asyncio.wait({self._task})
        if self._task.cancelled():  # closed in good order
            await asyncio.get_running_loop().create_future()
        self._task.result()
        raise RuntimeError("the record writer ended by itself")

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="write invocation records")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is None:
            return
        try:
            await self.flush(self._shutdown_flush_s)
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled() and self._task.exception() is not None:
                _log.error("record_writer_failed", error=repr(self._task.exception()))
            self.dropped += self._accepted - self._settled
            self._settled = self._accepted
            self._report_drops()

    async def _run(self) -> None:
        parts = [
            asyncio.create_task(self._write_forever(), name="write batches of invocation records"),
            asyncio.create_task(self._prune_forever(), name="prune invocation records"),
        ]
        try:
            ended, _ = await asyncio.wait(parts, return_when="FIRST_COMPLETED")
            for part in ended:
                part.result()
        finally:
            await end_tasks(parts)

    async def _write_forever(self) -> None:
        while True:
            await self._some.wait()
            if not self._hurry.is_set():
                await self._wait_for_more()
            batch, size = self._take_batch()
            if self._ship_lines:
                await ship(batch)
            await self._write(batch)
            self._settle(len(batch), size)

    async def _wait_for_more(self) -> None:
        try:
            async with asyncio.timeout(self._flush_s):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _take_batch(self) -> tuple[Sequence[InvocationRecord], int]:
        batch: list[InvocationRecord] = []
        size = 0
        while self._buffer and len(batch) < self._batch_max:
            record, record_size = self._buffer[0]
            if batch and size + record_size > _BATCH_MAX_BYTES:
                break
            self._buffer.popleft()
            batch.append(record)
            size += record_size
        self._taken = len(batch)
        return batch, size

    async def _write(self, batch: Sequence[InvocationRecord]) -> None:
        """Store a batch; wait for a store that is away; give up a batch that it refuses."""
        pause_s = self._retry_first_s
        away = False
        while True:
            try:
                await self._store.insert(batch)
            except UnavailableError as error:
                self.failed_batches += 1
                if not away:
                    _log.warning("record_store_away", records=len(batch), error=str(error))
                away = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._retry_longest_s)
            except YunhanError as error:
                self.failed_batches += 1
                self.dropped += len(batch)
                _log.error("records_refused", records=len(batch), error=str(error))
                break
            else:
                self.written += len(batch)
                if away:
                    _log.info("record_store_back", buffered=self.buffered)
                break
        self._report_drops()

    def _settle(self, count: int, size: int) -> None:
        self._taken = 0
        self._bytes -= size
        self._settled += count
        for target, written in self._flushes:
            if self._settled >= target and not written.done():
                written.set_result(None)
        self._flushes = [each for each in self._flushes if not each[1].done()]
        if not self._buffer:
            self._some.clear()
        if len(self._buffer) < self._batch_max and not self._flushes:
            self._hurry.clear()

    def _report_drops(self) -> None:
        if self.dropped > self._dropped_reported:
            _log.warning(
                "records_dropped",
                records=self.dropped - self._dropped_reported,
                total=self.dropped,
                what_next="raise YUNHAN_RECORD_BUFFER_MAX or look after the document database",
            )
            self._dropped_reported = self.dropped

    async def _prune_forever(self) -> None:
        while True:
            before_ms = self._clock.now_ms() - round(self._keep_days * _DAY_MS)
            try:
                gone = await self._store.prune(
                    before_ms=before_ms, keep_per_space=self._keep_per_space
                )
                if gone:
                    _log.info("records_pruned", records=gone)
            except YunhanError as error:
                _log.warning("records_not_pruned", error=str(error))
            await asyncio.sleep(self._prune_s)
