"""The contract of invocation records over every adapter."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from structlog.testing import capture_logs

from runtime.backends.documents_mongodb import Document
from runtime.backends.record_counts import RecordCounts
from runtime.backends.record_windows import Window, slot_of
from runtime.backends.records_memory import RecordsMemory
from runtime.backends.records_mongodb import RecordsMongodb
from runtime.errors import UnavailableError
from runtime.ports import RecordQuery, RecordStore
from runtime.testing.record_store import RecordStoreContract, sample_record
from sandbox.api import LogLevel, LogLine

QUERY = RecordQuery(space_id="mp-1")


class TestRecordsMemory(RecordStoreContract):
    @pytest.fixture
    def store(self) -> RecordStore:
        return RecordsMemory()


@pytest.mark.integration
class TestRecordsMongodb(RecordStoreContract):
    @pytest.fixture
    async def store(self, database: AsyncDatabase[Document]) -> RecordStore:
        store = RecordsMongodb(database)
        await store.ensure_indexes()
        return store

    async def test_making_indexes_again_changes_nothing(self, store: RecordStore) -> None:
        assert isinstance(store, RecordsMongodb)
        await store.ensure_indexes()

    async def test_record_that_cannot_be_stored_does_not_take_its_batch_along(
        self, store: RecordStore
    ) -> None:
        good = [sample_record(at_ms=i) for i in range(4)]
        poison = sample_record(function=object())
        with capture_logs() as logs:
            await store.insert([*good[:2], poison, *good[2:]])
        assert (await store.find(QUERY, offset=0, limit=9)) == (good[::-1], 4)
        (entry,) = [log for log in logs if log["event"] == "record_not_storable"]
        assert entry["request_id"] == poison.request_id

    async def test_record_beyond_the_document_limit_keeps_all_but_its_lines(
        self, store: RecordStore
    ) -> None:
        line = LogLine(level=LogLevel.WARN, time_ms=1, text="字" * 1_000_000)
        huge = sample_record(lines=(line,) * 6)
        await store.insert([huge])
        query = replace(QUERY, level=LogLevel.WARN)
        found, _ = await store.find(query, offset=0, limit=1)
        assert found == [replace(huge, lines=(), lines_cut=True)]

    async def test_numbers_beyond_64_bits_are_clamped(self, store: RecordStore) -> None:
        line = LogLine(level=LogLevel.INFO, time_ms=2**80, text="")
        await store.insert([sample_record(lines=(line,))])
        found, _ = await store.find(QUERY, offset=0, limit=1)
        assert found[0].lines[0].time_ms == 2**63 - 1

    async def test_records_without_counts_are_found_and_pruned(
        self, store: RecordStore, database: AsyncDatabase[Document]
    ) -> None:
        records = [sample_record(at_ms=i) for i in range(5)]
        await store.insert(records)
        # as after a crash between the two writes
        await database["record_days"].update_many({}, {"$set": {"n": {}}})
        assert await store.find(QUERY, offset=1, limit=2) == (records[3:1:-1], 5)
        assert await store.prune(before_ms=records[2].started_ms, keep_per_space=100) == 2
        assert await store.find(QUERY, offset=0, limit=9) == (records[:1:-1], 3)

    async def test_a_space_whose_records_were_never_counted_is_pruned(
        self,
        store: RecordStore,
        database: AsyncDatabase[Document],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        async def fail(*_: object) -> None:
            raise PyMongoError

        record = sample_record()
        with monkeypatch.context() as patch:
            patch.setattr(RecordCounts, "add", fail)
            await store.insert([record])
        assert await store.prune(before_ms=record.started_ms, keep_per_space=1) == 0
        assert await store.find(QUERY, offset=0, limit=1) == ([record], 1)
        next_day_ms = record.started_ms + 86_400_000
        assert await store.prune(before_ms=next_day_ms, keep_per_space=1) == 1
        assert await database["record_days"].count_documents({}) == 0

    async def test_counts_that_are_too_high_delete_nothing_that_is_kept(
        self, store: RecordStore, database: AsyncDatabase[Document]
    ) -> None:
        records = [sample_record(at_ms=i) for i in range(5)]
        await store.insert(records)
        (day,) = await database["record_days"].find().to_list()
        (slot,) = day["n"]
        await database["record_days"].update_one({}, {"$inc": {f"n.{slot}": 100}})
        assert await store.prune(before_ms=0, keep_per_space=10) == 0
        assert await store.find(QUERY, offset=0, limit=9) == (records[::-1], 5)

    async def test_counts_follow_the_records(
        self, store: RecordStore, database: AsyncDatabase[Document]
    ) -> None:
        counts = RecordCounts(database)

        async def check() -> None:
            stored = database["records"].find({"s": "mp-1"})
            expected = Counter([slot_of(each["t"]) async for each in stored])
            found = await counts.of_space("mp-1")
            assert {slot: count for slot, count in found.items() if count} == expected

        records = [sample_record(at_ms=i * 100_000) for i in range(40)]
        await store.insert(records[:30])
        await store.insert(records[10:])
        await check()
        await store.prune(before_ms=records[8].started_ms, keep_per_space=100)
        await check()
        await store.prune(before_ms=0, keep_per_space=13)
        await check()
        await store.delete_space("mp-1")
        await check()

    async def test_counts_of_the_days_that_a_span_touches(
        self, store: RecordStore, database: AsyncDatabase[Document]
    ) -> None:
        day_ms = 86_400_000
        records = [sample_record(at_ms=i * day_ms) for i in range(5)]
        await store.insert(records)
        times = [record.started_ms for record in records]
        found = await RecordCounts(database).of_space("mp-1", Window(times[1], times[3]))
        assert found == {slot_of(time_ms): 1 for time_ms in times[1:4]}

    async def test_nothing_is_left_of_a_pruned_space(
        self, store: RecordStore, database: AsyncDatabase[Document]
    ) -> None:
        records = [sample_record(at_ms=i * 3_600_000) for i in range(60)]
        await store.insert(records)
        assert await store.prune(before_ms=records[-1].started_ms + 1, keep_per_space=9) == 60
        await store.prune(before_ms=records[-1].started_ms + 86_400_000, keep_per_space=9)
        assert await database["records"].count_documents({}) == 0
        assert await database["record_days"].count_documents({}) == 0

    async def test_total_is_a_lower_bound_beyond_its_cap(
        self, database: AsyncDatabase[Document], store: RecordStore
    ) -> None:
        spread = [sample_record(at_ms=i * 600_000) for i in range(1500)]
        await store.insert(spread)
        capped = RecordsMongodb(database, count_max=5)
        found, total = await capped.find(QUERY, offset=0, limit=3)
        assert found == spread[:-4:-1]
        assert 5 <= total < 1500
        assert (await capped.find(QUERY, offset=1400, limit=3))[0] == spread[99:96:-1]
        assert (await store.find(QUERY, offset=0, limit=3))[1] == 1500

    async def test_endless_search_ends_with_an_error_that_says_what_to_do(
        self, database: AsyncDatabase[Document], store: RecordStore
    ) -> None:
        await store.insert([sample_record(at_ms=i * 600_000) for i in range(1100)])
        impatient = RecordsMongodb(database, find_s=0)
        with pytest.raises(UnavailableError, match="shorter time"):
            await impatient.find(replace(QUERY, function="rare"), offset=0, limit=3)
        assert len((await impatient.find(QUERY, offset=0, limit=3))[0]) == 3

    async def test_unreadable_document_does_not_hide_the_others(
        self, store: RecordStore, database: AsyncDatabase[Document]
    ) -> None:
        record = sample_record()
        await store.insert([record])
        await database["records"].insert_one(
            {"_id": "x", "s": "mp-1", "f": "hello", "t": 1, "k": "from the future", "c": "client"}
        )
        with capture_logs() as logs:
            found, _ = await store.find(QUERY, offset=0, limit=9)
        assert found == [record]
        assert [log["request_id"] for log in logs] == ["x"]
