"""What every `FileRecords` adapter must keep. Subclass it, give `records`. Time is only what is passed in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from runtime.errors import ConflictError, NotFoundError
from runtime.messages import FileRecord
from runtime.ports import FileRecords
from runtime.testing.file_record_samples import NOW, OTHER, SPACE, blob_of, file_of
from runtime.testing.file_uploads import FileUploadsContract

_AWKWARD_PATHS = [
    *("a.png", "a/b.png", "a b", "a$x", "$a", "a.b.*", "ä/ö.png", "e\u0301", "中文/文件.txt"),
    *(
        "😀",
        "\uffff",
        "\U0010ffff",
        "a\u202eb",
        "x" * 1023,
        "A",
        "Z",
        "%2e",
        "a\\b",
        "[a]",
        "(?i)a",
    ),
]
"""Text that a query could take for something else, in many scripts, before and behind each other."""


class FileRecordsContract(FileUploadsContract):
    """Give `records`, which are empty, and `rivals`, several over the same data."""

    @pytest.fixture
    def rivals(self, records: FileRecords) -> Sequence[FileRecords]:
        return [records] * 4

    # --- one record -----------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "record",
        [
            file_of("a.png"),
            file_of("a.png", owner_id=None),
            replace(file_of("a.png"), stale=("files/x/1", "files/x/2")),
            replace(file_of("a.png"), blob=None, stale=("files/x/1",)),
            replace(file_of("a.png"), blob=None, stored_ms=NOW),
            replace(
                file_of("a.png"),
                blob=replace(
                    blob_of("1", size=5 * 2**30),
                    headers={"cache-control": "max-age=60", "expires": "中 '\"$"},
                    meta={"user-id": "u 1", "a.b": "", "$c": "d", "": "no name"},
                ),
            ),
        ],
    )
    async def test_record_comes_back_equal(self, records: FileRecords, record: FileRecord) -> None:
        assert await records.read(SPACE, record.file_id) is None
        stored = await records.put(record, expected_version=None)
        assert replace(stored, version=record.version) == record
        assert await records.read(SPACE, record.file_id) == stored
        assert await records.read(OTHER, record.file_id) is None
        assert await records.read(SPACE, "another") is None

    async def test_an_id_is_of_one_space(self, records: FileRecords) -> None:
        mine = await records.put(file_of("a"), expected_version=None)
        other = await records.put(file_of("a", space_id=OTHER), expected_version=None)
        assert mine.file_id == other.file_id
        await records.remove(mine)
        assert await records.read(SPACE, mine.file_id) is None
        assert await records.read(OTHER, mine.file_id) == other

    async def test_insert_where_one_is_already_changes_nothing(self, records: FileRecords) -> None:
        stored = await records.put(file_of("a"), expected_version=None)
        with pytest.raises(ConflictError):
            await records.put(file_of("a", blob="2"), expected_version=None)
        assert await records.read(SPACE, stored.file_id) == stored

    async def test_replaces_only_the_version_that_was_read(self, records: FileRecords) -> None:
        first = await records.put(file_of("a"), expected_version=None)
        second = await records.put(
            replace(first, blob=blob_of("2"), stale=("files/x/1",), modified_ms=NOW + 1),
            expected_version=first.version,
        )
        assert second.version != first.version
        for version in (first.version, second.version + 1):
            with pytest.raises(ConflictError):
                await records.put(replace(first, blob=None), expected_version=version)
        assert await records.read(SPACE, first.file_id) == second
        third = await records.put(replace(second, stale=()), expected_version=second.version)
        assert await records.read(SPACE, first.file_id) == third
        assert third.stale == ()

    async def test_same_content_is_a_new_version(self, records: FileRecords) -> None:
        first = await records.put(file_of("a"), expected_version=None)
        second = await records.put(first, expected_version=first.version)
        assert second.version != first.version
        with pytest.raises(ConflictError):
            await records.put(first, expected_version=first.version)

    async def test_replacing_what_is_gone_makes_nothing(self, records: FileRecords) -> None:
        stored = await records.put(file_of("a"), expected_version=None)
        await records.remove(stored)
        with pytest.raises(ConflictError):
            await records.put(stored, expected_version=stored.version)
        assert await records.read(SPACE, stored.file_id) is None

    async def test_version_of_a_removed_record_is_not_that_of_its_successor(
        self, records: FileRecords
    ) -> None:
        before = await records.put(file_of("a"), expected_version=None)
        await records.remove(before)
        after = await records.put(file_of("a", blob="2"), expected_version=None)
        with pytest.raises(ConflictError):
            await records.put(replace(before, blob=None), expected_version=before.version)
        with pytest.raises(ConflictError):
            await records.remove(before)
        assert await records.read(SPACE, before.file_id) == after

    async def test_remove_is_idempotent_and_takes_only_its_version(
        self, records: FileRecords
    ) -> None:
        first = await records.put(file_of("a"), expected_version=None)
        second = await records.put(replace(first, blob=None), expected_version=first.version)
        with pytest.raises(ConflictError):
            await records.remove(first)
        assert await records.read(SPACE, first.file_id) == second
        await records.remove(second)
        await records.remove(second)
        assert await records.read(SPACE, first.file_id) is None

    async def test_one_of_several_rivals_wins(self, rivals: Sequence[FileRecords]) -> None:
        async def attempt(each: FileRecords, number: int, version: int | None) -> FileRecord | None:
            try:
                return await each.put(file_of("a", blob=str(number)), expected_version=version)
            except ConflictError:
                return None

        version: int | None = None
        for _ in range(5):
            won = [
                record
                for record in await asyncio.gather(
                    *(attempt(each, number, version) for number, each in enumerate(rivals))
                )
                if record is not None
            ]
            assert len(won) == 1
            assert await rivals[0].read(SPACE, won[0].file_id) == won[0]
            version = won[0].version

    async def test_reads_many(self, records: FileRecords) -> None:
        stored = [
            await records.put(file_of(f"{number}"), expected_version=None) for number in range(120)
        ]
        await records.put(file_of("0", space_id=OTHER), expected_version=None)
        ids = [each.file_id for each in stored]
        found = await records.read_many(SPACE, [*ids, ids[0], "nothing"])
        assert found == {each.file_id: each for each in stored}
        assert await records.read_many(SPACE, []) == {}

    # --- pages ----------------------------------------------------------------------------------

    async def test_pages_follow_the_paths_and_miss_nothing(self, records: FileRecords) -> None:
        for path in _AWKWARD_PATHS:
            await records.put(file_of(path), expected_version=None)
            await records.put(file_of(f"{path}!", space_id=OTHER), expected_version=None)
        for limit in (1, 3, 100):
            seen: list[str] = []
            while page := await records.page(SPACE, after=seen[-1] if seen else None, limit=limit):
                seen += [each.path for each in page]
                if len(page) < limit:
                    break
            assert seen == sorted(_AWKWARD_PATHS)

    @pytest.mark.parametrize("path", _AWKWARD_PATHS)
    async def test_prefix_and_keyword_are_exact_text(self, records: FileRecords, path: str) -> None:
        paths = [path, f"{path}/x", f"{path[:-1]}~x", f"x{path}", "other", path.swapcase()]
        for each in dict.fromkeys(paths):
            await records.put(file_of(each), expected_version=None)
        begin = await records.page(SPACE, prefix=path, limit=9)
        assert [each.path for each in begin] == sorted(
            {each for each in paths if each.startswith(path)}
        )
        contain = await records.page(SPACE, keyword=path, limit=9)
        assert [each.path for each in contain] == sorted({each for each in paths if path in each})

    async def test_conditions_of_a_page_hold_together(self, records: FileRecords) -> None:
        for path in ("a/1.png", "a/2.txt", "a/3.png", "a/4.png", "b/5.png"):
            await records.put(file_of(path), expected_version=None)
        page = await records.page(SPACE, prefix="a/", keyword=".png", after="a/1.png", limit=1)
        assert [each.path for each in page] == ["a/3.png"]
        page = await records.page(SPACE, prefix="b", after="a/2", limit=9)
        assert [each.path for each in page] == ["b/5.png"]
        assert await records.page(SPACE, prefix="a", after="a0", limit=9) == []
        assert await records.page(SPACE, keyword="gif", limit=9) == []
        assert await records.page(SPACE, limit=0) == []
        assert await records.page("mp-none", limit=9) == []

    async def test_a_page_shows_visible_files_only(self, records: FileRecords) -> None:
        await records.put(replace(file_of("gone"), blob=None), expected_version=None)
        stale = replace(file_of("there"), stale=("files/x/9",))
        there = await records.put(stale, expected_version=None)
        assert await records.page(SPACE, limit=9) == [there]

    # --- upkeep ---------------------------------------------------------------------------------

    async def test_unfinished_ones_of_all_spaces_oldest_first(self, records: FileRecords) -> None:
        marked = replace(file_of("marked"), blob=None, stale=("k",), modified_ms=NOW - 2)
        stale = replace(file_of("stale", space_id=OTHER), stale=("k",), modified_ms=NOW - 3)
        empty = replace(file_of("empty"), blob=None, modified_ms=NOW - 1)
        young = replace(file_of("young"), blob=None, modified_ms=NOW)
        fine = replace(file_of("fine"), modified_ms=NOW - 9)
        stored = {
            each.path: await records.put(each, expected_version=None)
            for each in (marked, stale, empty, young, fine)
        }
        expected = [stored["stale"], stored["marked"], stored["empty"]]
        assert await records.unfinished(before_ms=NOW, limit=9) == expected
        assert await records.unfinished(before_ms=NOW, limit=2) == expected[:2]
        assert await records.unfinished(before_ms=NOW, limit=0) == []
        done = await records.put(
            replace(stored["stale"], stale=()), expected_version=stored["stale"].version
        )
        await records.remove(stored["marked"])
        assert await records.unfinished(before_ms=NOW, limit=9) == [stored["empty"]]
        assert await records.read(OTHER, done.file_id) == done

    async def test_unfinished_ones_are_gone_through_in_parts(self, records: FileRecords) -> None:
        """Though several changed at once, and though some change meanwhile."""
        stored = [
            await records.put(
                replace(
                    file_of(f"{number}", space_id=SPACE if number % 2 else OTHER),
                    blob=None,
                    modified_ms=NOW + number // 3,
                ),
                expected_version=None,
            )
            for number in range(7)
        ]
        seen: list[FileRecord] = []
        while part := await records.unfinished(
            before_ms=NOW + 9, limit=2, after=seen[-1] if seen else None
        ):
            seen += part
            later = replace(part[-1], modified_ms=NOW + 9)
            await records.put(later, expected_version=part[-1].version)
        assert len(seen) == len(stored)
        assert {each.path for each in seen} == {each.path for each in stored}
        assert [each.modified_ms for each in seen] == [each.modified_ms for each in stored]

    async def test_deletes_a_space_and_no_other(self, records: FileRecords) -> None:
        for number in range(200):
            await records.put(file_of(f"{number}"), expected_version=None)
        await records.put(replace(file_of("x"), blob=None), expected_version=None)
        other = await records.put(file_of("1", space_id=OTHER), expected_version=None)
        for _ in range(2):
            await records.delete_space(SPACE)
            assert await records.page(SPACE, limit=9) == []
            assert await records.unfinished(before_ms=NOW * 2, limit=9) == []
            assert await records.page(OTHER, limit=9) == [other]

    async def test_nothing_is_there_at_first(self, records: FileRecords) -> None:
        assert await records.page(SPACE, limit=9) == []
        assert await records.unfinished(before_ms=NOW * 2, limit=9) == []
        assert await records.expired_uploads(before_ms=NOW * 2, limit=9) == []
        await records.delete_space(SPACE)
        with pytest.raises(NotFoundError):
            await records.finish_upload("u", blob_of("1"), stored_ms=NOW)
