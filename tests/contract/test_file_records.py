"""The contract of file records over every adapter, and what is special about the document database."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from structlog.testing import capture_logs

from runtime.backends.documents_mongodb import Document
from runtime.backends.file_records.codec import file_to_document
from runtime.backends.file_records.path_windows import PathSpan, windows
from runtime.backends.file_records_memory import FileRecordsMemory
from runtime.backends.file_records_mongodb import FileRecordsMongodb
from runtime.errors import OursError, UnavailableError
from runtime.ports import FileRecords
from runtime.testing.file_record_samples import HOUR, NOW, SPACE, file_of, upload_of
from runtime.testing.file_records import FileRecordsContract

Database = AsyncDatabase[Document]


class TestFileRecordsMemory(FileRecordsContract):
    @pytest.fixture
    def records(self) -> FileRecords:
        return FileRecordsMemory()


@pytest.mark.integration
class TestFileRecordsMongodb(FileRecordsContract):
    @pytest.fixture
    async def records(self, database: Database) -> FileRecords:
        records = FileRecordsMongodb(database)
        await records.ensure_indexes()
        return records

    @pytest.fixture
    def rivals(
        self, records: FileRecords, rival_databases: Sequence[Database]
    ) -> Sequence[FileRecords]:
        return [FileRecordsMongodb(each) for each in rival_databases]

    async def test_making_indexes_again_changes_nothing(self, records: FileRecords) -> None:
        assert isinstance(records, FileRecordsMongodb)
        await records.ensure_indexes()

    async def test_pages_of_many_files_come_in_short_ranges(
        self, records: FileRecords, database: Database
    ) -> None:
        paths = sorted(f"{number % 7}/{number * 7919 % 30_011}.png" for number in range(3000))
        await _insert(database, paths)
        spans = [span async for span in windows(database["files"], SPACE, PathSpan())]
        held = [await database["files"].count_documents(span.condition(SPACE)) for span in spans]
        assert sum(held) == len(paths)
        assert max(held) < 1500
        assert held[0] < 200
        for former, latter in pairwise(spans):
            assert former.upper["$lte"] == latter.lower["$gt"]
        whole = await records.page(SPACE, limit=5000)
        assert [each.path for each in whole] == paths
        behind = await records.page(SPACE, prefix="3/", after="3/2", keyword="9", limit=40)
        expected = [each for each in paths if each[:2] == "3/" and each > "3/2" and "9" in each]
        assert [each.path for each in behind] == expected[:40]
        await records.delete_space(SPACE)
        assert await database["files"].count_documents({}) == 0

    async def test_random_pages_are_the_model_s(
        self, records: FileRecords, database: Database
    ) -> None:
        chance = random.Random(20_261_121)

        def text(length_max: int) -> str:
            letters = "ab/.$\ud7ff\ue000\uffff\U00010000\U0010ffff"
            return "".join(chance.choices(letters, k=chance.randint(0, length_max)))

        model = FileRecordsMemory()
        paths = sorted({text(6) or "a" for _ in range(600)})
        await _insert(database, paths)
        for path in paths:
            await model.put(file_of(path), expected_version=None)
        for _ in range(150):
            after = text(4) if chance.random() < 0.7 else None
            prefix, keyword, limit = text(2), text(1), chance.choice((1, 10, 1000))
            question = (prefix, keyword, after, limit)
            answers = [
                [
                    each.path
                    for each in await store.page(
                        SPACE, prefix=prefix, keyword=keyword, after=after, limit=limit
                    )
                ]
                for store in (model, records)
            ]
            assert answers[0] == answers[1], question

    async def test_a_page_that_takes_too_long_is_refused(self, database: Database) -> None:
        records = FileRecordsMongodb(database, page_s=-1)
        await _insert(database, [f"{number:04}" for number in range(200)])
        assert len(await records.page(SPACE, limit=3)) == 3
        with pytest.raises(UnavailableError, match="longer prefix"):
            await records.page(SPACE, keyword="nowhere", limit=3)

    async def test_a_record_that_cannot_be_read_does_not_stop_the_others(
        self, records: FileRecords, database: Database
    ) -> None:
        for path in ("a", "b", "c", "d"):
            marked = replace(file_of(path), stale=("files/x/1",))
            await records.put(marked, expected_version=None)
            await records.begin_upload(upload_of(path, expires_ms=NOW))
        newer = {"$set": {"c": "of a newer version", "t": "likewise"}}
        await database["files"].update_one({"p": "b"}, newer)
        await database["uploads"].update_one({"_id": "b"}, newer)
        with capture_logs() as logs:
            assert [each.path for each in await records.page(SPACE, limit=3)] == ["a", "c", "d"]
            old = await records.unfinished(before_ms=NOW + HOUR, limit=9)
            assert sorted(each.path for each in old) == ["a", "c", "d"]
            expired = await records.expired_uploads(before_ms=NOW + HOUR, limit=9)
            assert sorted(each.upload_id for each in expired) == ["a", "c", "d"]
            assert len(logs) == 3
            await database["files"].update_one({"p": "b"}, {"$set": {"u": 1}})  # the oldest
            assert len(await records.unfinished(before_ms=NOW + HOUR, limit=2)) == 2
            expired = await records.expired_uploads(before_ms=NOW + HOUR, limit=2)
            assert [each.upload_id for each in expired] == ["a", "c"]
        assert [each["event"] for each in logs] == ["file_record_unreadable"] * 5
        with pytest.raises(OursError, match="cannot be read") as caught:
            await records.read_upload("b")
        assert "likewise" not in str(caught.value)

    async def test_asks_only_what_an_index_answers(
        self, records: FileRecords, database: Database
    ) -> None:
        """Among many documents of others, the plan of every question names an index."""
        await _insert(database, [f"{number:04}" for number in range(2000)])
        questions: list[tuple[str, Document]] = [
            ("files", PathSpan.of("01", None).condition(SPACE)),
            ("files", PathSpan.of("01", None).condition(SPACE, k=1)),
            ("files", {"u": {"$gt": 0, "$lt": NOW}}),
            ("uploads", {"s": SPACE, "st": "stored"}),
            ("uploads", {"s": SPACE, "st": "stored", "o": "user-1"}),
            ("uploads", {"s": SPACE, "f": "file-1", "st": "stored"}),
            ("uploads", {"e": {"$lt": NOW}}),
        ]
        for name, question in questions:
            plan = await database[name].find(question).explain()
            assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"]), question


async def _insert(database: Database, paths: Sequence[str]) -> None:
    """Files whose versions, and with them the posts, are the same in every run."""
    documents = [
        file_to_document(replace(file_of(path), version=number * 37))
        for number, path in enumerate(paths, start=1)
    ]
    await database["files"].insert_many(documents)
