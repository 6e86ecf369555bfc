"""Invocation records in memory: for tests, and as the model of what the port means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from runtime.messages import InvocationRecord
from runtime.ports import RecordQuery, RecordStore
from sandbox.api import OutcomeKind


class RecordsMemory(RecordStore):
    """See `RecordStore`. Unbounded but for `prune`."""

    def __init__(self) -> None:
        self._records: dict[str, InvocationRecord] = {}

    async def insert(self, records: Sequence[InvocationRecord]) -> None:
        for record in records:
            self._records.setdefault(record.request_id, record)

    async def find(
        self, query: RecordQuery, *, offset: int, limit: int, newest_first: bool = True
    ) -> tuple[Sequence[InvocationRecord], int]:
        found = [record for record in self._records.values() if _matches(record, query)]
        found.sort(key=_by_time, reverse=newest_first)
        return found[offset : offset + limit], len(found)

    async def prune(self, *, before_ms: int, keep_per_space: int) -> int:
        count = len(self._records)
        spaces: defaultdict[str, list[InvocationRecord]] = defaultdict(list)
        for record in self._records.values():
            if record.started_ms >= before_ms:
                spaces[record.space_id].append(record)
        self._records = {
            record.request_id: record
            for records in spaces.values()
            for record in sorted(records, key=_by_time, reverse=True)[:keep_per_space]
        }
        return count - len(self._records)

    async def delete_space(self, space_id: str) -> None:
        self._records = {k: r for k, r in self._records.items() if r.space_id != space_id}


def _by_time(record: InvocationRecord) -> tuple[int, str]:
    return record.started_ms, record.request_id


def _matches(record: InvocationRecord, query: RecordQuery) -> bool:
    return (
        record.space_id == query.space_id
        and query.function in {None, record.function}
        and query.request_id in {None, record.request_id}
        and query.succeeded in {None, record.kind is OutcomeKind.OK}
        and (query.level is None or any(line.level is query.level for line in record.lines))
        and (query.from_ms is None or record.started_ms >= query.from_ms)
        and (query.to_ms is None or record.started_ms < query.to_ms)
    )
