"""A record writer over a store that does as it is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from runtime.backends.records_memory import RecordsMemory
from runtime.messages import InvocationRecord
from runtime.ports import RecordQuery
from runtime.services.record_writer import RecordWriter
from runtime.testing.record_store import sample_record
from tests.harness.clock import FakeClock

DAY_MS = 86_400_000
LONG_S = 1000.0
EVERYTHING = RecordQuery(space_id="mp-1")


class ScriptedStore(RecordsMemory):
    """Answers inserts and prunes with the next scripted error, if any; inserts pass a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: deque[Exception] = deque()
        self.prune_errors: deque[Exception] = deque()
        self.batches: list[list[str]] = []
        self.prunes: list[tuple[int, int]] = []
        self._changed = asyncio.Condition()

    async def insert(self, records: Sequence[InvocationRecord]) -> None:
        self.batches.append([record.request_id for record in records])
        await self._notify()
        await self.gate.wait()
        if self.errors:
            raise self.errors.popleft()
        await super().insert(records)

    async def prune(self, *, before_ms: int, keep_per_space: int) -> int:
        self.prunes.append((before_ms, keep_per_space))
        await self._notify()
        if self.prune_errors:
            raise self.prune_errors.popleft()
        return 0

    async def seen(self, *, batches: int = 0, prunes: int = 0) -> None:
        async with self._changed:
            await self._changed.wait_for(
                lambda: len(self.batches) >= batches and len(self.prunes) >= prunes
            )

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def writer(store: ScriptedStore, clock: FakeClock | None = None, **changes: Any) -> RecordWriter:
    options: dict[str, Any] = {
        "buffer_max": 100,
        "buffer_max_bytes": 10**9,
        "batch_max": 10,
        "flush_s": LONG_S,
        "keep_days": 7,
        "keep_per_space": 1000,
        "prune_s": LONG_S,
        "shutdown_flush_s": LONG_S,
        "ship_lines": False,
        "retry_first_s": 0.0,
    }
    return RecordWriter(store, clock=clock or FakeClock(), **(options | changes))


def some(count: int) -> list[InvocationRecord]:
    return [sample_record(at_ms=i) for i in range(count)]


def ids(records: Sequence[InvocationRecord]) -> list[str]:
    return [record.request_id for record in records]
