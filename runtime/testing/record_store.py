"""What every `RecordStore` adapter must keep. Subclass it and give `store`: an empty one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from runtime.ids import new_job_id, new_request_id
from runtime.messages import Bill, CallKind, InvocationRecord, Source
from runtime.ports import RecordQuery, RecordStore
from sandbox.api import Fault, LogLevel, LogLine, OutcomeKind

_NOW_MS = 1_700_000_000_000
_MINUTE_MS = 60_000


def sample_record(space_id: str = "mp-1", *, at_ms: int = 0, **changes: object) -> InvocationRecord:
    """A valid record, `at_ms` after a fixed time."""
    record = InvocationRecord(
        request_id=new_request_id(),
        job_id=new_job_id(),
        space_id=space_id,
        function="hello",
        deployment_id="dep-000000000000000000000001",
        source=Source.CLIENT,
        started_ms=_NOW_MS + at_ms,
        kind=OutcomeKind.OK,
        fault=None,
        bill=Bill(run_ms=1.5),
        lines=(LogLine(level=LogLevel.INFO, time_ms=_NOW_MS + at_ms, text="你好"),),
        lines_cut=False,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


async def _all(store: RecordStore, query: RecordQuery) -> Sequence[InvocationRecord]:
    found, total = await store.find(query, offset=0, limit=10_000)
    assert total == len(found)
    return found


class RecordStoreContract:
    """The rules of the port, as tests."""

    @pytest.fixture
    def store(self) -> RecordStore:
        raise NotImplementedError

    async def test_record_comes_back_equal(self, store: RecordStore) -> None:
        plain = sample_record()
        full = sample_record(
            at_ms=1,
            source=Source.HTTP,
            kind=OutcomeKind.FUNCTION_ERROR,
            fault=Fault(name="TypeError", message="坏", code="E_BAD", stack="at index.js:1"),
            bill=Bill(
                queue_ms=0.25,
                cold=True,
                start_ms=30,
                load_ms=12.5,
                run_ms=5,
                cpu_ms=4.5,
                peak_memory_mb=31.0,
                egress_connections=2,
                egress_refused=0,
                egress_bytes=5_000_000_000,
                calls={CallKind.FUNCTION: 3, CallKind.DB: 1},
            ),
            lines=tuple(
                LogLine(level=level, time_ms=_NOW_MS, text=f"{level.value}\x00\n")
                for level in LogLevel
            ),
            lines_cut=True,
            parent_request_id=plain.request_id,
        )
        await store.insert([plain, full])
        assert await _all(store, RecordQuery(space_id="mp-1")) == [full, plain]

    async def test_nothing_to_insert(self, store: RecordStore) -> None:
        await store.insert([])
        assert await _all(store, RecordQuery(space_id="mp-1")) == []

    async def test_inserting_again_changes_nothing(self, store: RecordStore) -> None:
        records = [sample_record(at_ms=i) for i in range(3)]
        await store.insert(records[:2])
        again = [replace(records[0], function="other"), *records]
        await store.insert(again)
        await store.insert(again)
        assert await _all(store, RecordQuery(space_id="mp-1")) == records[::-1]

    async def test_concurrent_batches_with_the_same_record(self, store: RecordStore) -> None:
        records = [sample_record(at_ms=i) for i in range(20)]
        await asyncio.gather(store.insert(records[:15]), store.insert(records[5:]))
        assert await _all(store, RecordQuery(space_id="mp-1")) == records[::-1]

    async def test_text_that_is_no_unicode_is_repaired(self, store: RecordStore) -> None:
        fault = Fault(name="E\ud800", message="\udfff", code="\ud83d", stack="x\udc00y")
        line = LogLine(level=LogLevel.ERROR, time_ms=_NOW_MS, text="a\ud83d \ud83d\ude00 \udc00z")
        bad = sample_record(at_ms=1, kind=OutcomeKind.FUNCTION_ERROR, fault=fault, lines=(line,))
        good = sample_record()
        await store.insert([bad, good])
        found = await _all(store, RecordQuery(space_id="mp-1"))
        assert [record.request_id for record in found] == [bad.request_id, good.request_id]
        assert found[0].kind is OutcomeKind.FUNCTION_ERROR

    # queries

    async def test_spaces_do_not_see_each_other(self, store: RecordStore) -> None:
        mine, theirs = sample_record("mp-1"), sample_record("mp-10")
        await store.insert([mine, theirs])
        assert await _all(store, RecordQuery(space_id="mp-1")) == [mine]
        query = RecordQuery(space_id="mp-1", request_id=theirs.request_id)
        assert await store.find(query, offset=0, limit=9) == ([], 0)

    async def test_pages_in_both_directions(self, store: RecordStore) -> None:
        # far apart and close together, stored in another order than they happened
        times = [0, 1, 2, 59, 3 * _MINUTE_MS, 400 * _MINUTE_MS, 9000 * _MINUTE_MS]
        records = [sample_record(at_ms=at_ms) for at_ms in times]
        await store.insert(records[::2] + records[1::2])
        query = RecordQuery(space_id="mp-1")
        for newest_first in (True, False):
            expected = records[::-1] if newest_first else records
            for offset in range(9):
                for limit in (0, 1, 3, 100):
                    page = await store.find(
                        query, offset=offset, limit=limit, newest_first=newest_first
                    )
                    assert page == (expected[offset : offset + limit], len(records))

    async def test_equal_times_still_have_one_order(self, store: RecordStore) -> None:
        await store.insert([sample_record() for _ in range(6)])
        query = RecordQuery(space_id="mp-1")
        whole = await _all(store, query)
        pages = [(await store.find(query, offset=i, limit=1))[0][0] for i in range(6)]
        assert pages == list(whole)

    async def test_by_request_id(self, store: RecordStore) -> None:
        records = [sample_record(at_ms=i) for i in range(3)]
        await store.insert(records)
        query = RecordQuery(space_id="mp-1", request_id=records[1].request_id)
        assert await store.find(query, offset=0, limit=5) == ([records[1]], 1)
        assert await store.find(query, offset=1, limit=5) == ([], 1)
        assert await store.find(query, offset=0, limit=0) == ([], 1)
        for other in (
            replace(query, request_id=new_request_id()),
            replace(query, function="other"),
            replace(query, succeeded=False),
            replace(query, level=LogLevel.ERROR),
            replace(query, from_ms=records[1].started_ms + 1),
            replace(query, to_ms=records[1].started_ms),
        ):
            assert await store.find(other, offset=0, limit=5) == ([], 0)

    async def test_each_condition_and_all_together(self, store: RecordStore) -> None:
        failed: dict[str, Any] = {
            "kind": OutcomeKind.TIMEOUT,
            "fault": Fault(name="Timeout", message="too long"),
        }
        error_line = (LogLine(level=LogLevel.ERROR, time_ms=_NOW_MS, text="bad"),)
        records = [
            sample_record(at_ms=0),
            sample_record(at_ms=10, function="other"),
            sample_record(at_ms=20, **failed),
            sample_record(at_ms=30, lines=error_line),
            sample_record(at_ms=40, function="other", lines=error_line, **failed),
            sample_record(at_ms=50, lines=()),
        ]
        await store.insert(records)

        async def found(**conditions: Any) -> list[int]:
            query = RecordQuery(space_id="mp-1", **conditions)
            return [records.index(record) for record in (await _all(store, query))[::-1]]

        assert await found(function="other") == [1, 4]
        assert await found(function="none") == []
        assert await found(succeeded=True) == [0, 1, 3, 5]
        assert await found(succeeded=False) == [2, 4]
        assert await found(level=LogLevel.ERROR) == [3, 4]
        assert await found(level=LogLevel.DEBUG) == []
        assert await found(from_ms=_NOW_MS + 20) == [2, 3, 4, 5]
        assert await found(to_ms=_NOW_MS + 20) == [0, 1]
        assert await found(from_ms=_NOW_MS + 10, to_ms=_NOW_MS + 30) == [1, 2]
        assert await found(from_ms=_NOW_MS + 30, to_ms=_NOW_MS + 10) == []
        everything: dict[str, Any] = {
            "function": "other",
            "succeeded": False,
            "level": LogLevel.ERROR,
            "from_ms": _NOW_MS,
            "to_ms": _NOW_MS + 41,
        }
        assert await found(**everything) == [4]

    # deletion

    async def test_prune_by_age(self, store: RecordStore) -> None:
        times = [0, 1, 999, 1000, 1001, 90 * _MINUTE_MS, 3000 * _MINUTE_MS]
        records = {
            space: [sample_record(space, at_ms=at_ms) for at_ms in times]
            for space in ("mp-1", "mp-2")
        }
        for each in records.values():
            await store.insert(each)
        assert await store.prune(before_ms=_NOW_MS + 1000, keep_per_space=100) == 6
        assert await store.prune(before_ms=_NOW_MS + 1000, keep_per_space=100) == 0
        for space, each in records.items():
            assert await _all(store, RecordQuery(space_id=space)) == each[:2:-1]

    async def test_prune_by_number_keeps_the_newest(self, store: RecordStore) -> None:
        times = [0, 5, 10, 11 * _MINUTE_MS, 12 * _MINUTE_MS, 3000 * _MINUTE_MS, 3001 * _MINUTE_MS]
        many = [sample_record("mp-many", at_ms=at_ms) for at_ms in times]
        few = [sample_record("mp-few", at_ms=at_ms) for at_ms in times[:3]]
        await store.insert(many + few)
        left = len(many)
        for keep in (6, 4, 3):  # inside a slot of time, at its edge, across a gap
            assert await store.prune(before_ms=0, keep_per_space=keep) == left - keep
            left = keep
            assert await _all(store, RecordQuery(space_id="mp-many")) == many[: -keep - 1 : -1]
        assert await _all(store, RecordQuery(space_id="mp-few")) == few[::-1]

    async def test_prune_by_age_and_number(self, store: RecordStore) -> None:
        records = [sample_record(at_ms=i * 20 * _MINUTE_MS) for i in range(10)]
        await store.insert(records)
        before_ms = records[4].started_ms
        assert await store.prune(before_ms=before_ms, keep_per_space=5) == 5
        assert await _all(store, RecordQuery(space_id="mp-1")) == records[:4:-1]

    async def test_inserting_goes_on_after_prune(self, store: RecordStore) -> None:
        records = [sample_record(at_ms=i) for i in range(10)]
        await store.insert(records[:6])
        assert await store.prune(before_ms=0, keep_per_space=2) == 4
        await store.insert(records[6:])
        assert await store.prune(before_ms=0, keep_per_space=3) == 3
        assert await _all(store, RecordQuery(space_id="mp-1")) == records[:6:-1]

    async def test_records_of_a_space_are_deleted(self, store: RecordStore) -> None:
        kept = sample_record("mp-2")
        times = [0, 10, 900 * _MINUTE_MS, 9000 * _MINUTE_MS]
        await store.insert([sample_record("mp-1", at_ms=at_ms) for at_ms in times] + [kept])
        await store.delete_space("mp-1")
        await store.delete_space("mp-1")
        assert await _all(store, RecordQuery(space_id="mp-1")) == []
        assert await _all(store, RecordQuery(space_id="mp-2")) == [kept]
        again = sample_record("mp-1")
        await store.insert([again])
        assert await _all(store, RecordQuery(space_id="mp-1")) == [again]
