"""The part of the contract of `FileRecords` that is about uploads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from runtime.errors import ConflictError, NotFoundError
from runtime.messages import Upload, UploadState
from runtime.ports import FileRecords
from runtime.testing.file_record_samples import HOUR, NOW, OTHER, SPACE, blob_of, upload_of


async def _stored(records: FileRecords, upload: Upload, *, at_ms: int = NOW) -> Upload:
    await records.begin_upload(upload)
    blob = replace(blob_of(upload.upload_id), key=upload.blob_key)
    return await records.finish_upload(upload.upload_id, blob, stored_ms=at_ms)


class FileUploadsContract:
    """Give `records`, which are empty, and `rivals`, several over the same data."""

    @pytest.fixture
    def records(self) -> FileRecords:
        raise NotImplementedError

    @pytest.mark.parametrize("owner_id", ["user-1", None])
    async def test_upload_goes_from_receiving_over_stored_to_spent(
        self, records: FileRecords, owner_id: str | None
    ) -> None:
        upload = upload_of("u", owner_id=owner_id)
        assert await records.read_upload("u") is None
        await records.begin_upload(upload)
        assert await records.read_upload("u") == upload
        blob = replace(blob_of("u"), headers={"expires": "0"}, meta={"a.b": "c"})
        stored = await records.finish_upload("u", blob, stored_ms=NOW + 5)
        assert stored == replace(upload, state=UploadState.STORED, blob=blob, stored_ms=NOW + 5)
        assert await records.read_upload("u") == stored
        await records.spend_upload("u")
        assert await records.read_upload("u") == replace(stored, state=UploadState.SPENT)

    async def test_an_id_is_begun_once_whatever_became_of_it(self, records: FileRecords) -> None:
        async def refused() -> None:
            before = await records.read_upload("u")
            with pytest.raises(ConflictError):
                await records.begin_upload(upload_of("u", space_id=OTHER))
            assert await records.read_upload("u") == before

        await records.begin_upload(upload_of("u"))
        await refused()
        await records.finish_upload("u", blob_of("u"), stored_ms=NOW)
        await refused()
        await records.spend_upload("u")
        await refused()

    async def test_one_of_several_rivals_begins(self, rivals: Sequence[FileRecords]) -> None:
        for number in range(5):
            results = await asyncio.gather(
                *(each.begin_upload(upload_of(f"u{number}")) for each in rivals),
                return_exceptions=True,
            )
            assert sorted(map(type, results), key=str) == sorted(
                [type(None), *[ConflictError] * (len(rivals) - 1)], key=str
            )

    async def test_a_forgotten_id_may_be_begun_again(self, records: FileRecords) -> None:
        await records.begin_upload(upload_of("u"))
        for _ in range(2):
            await records.forget_upload("u")
            assert await records.read_upload("u") is None
        stored = await _stored(records, upload_of("u", owner_id="user-2"))
        assert await records.read_upload("u") == stored

    async def test_finishing_again_is_the_same(self, records: FileRecords) -> None:
        stored = await _stored(records, upload_of("u"))
        assert stored.blob is not None
        assert await records.finish_upload("u", stored.blob, stored_ms=NOW + 9) == stored

    async def test_finishing_otherwise_changes_nothing(self, records: FileRecords) -> None:
        stored = await _stored(records, upload_of("u"))
        with pytest.raises(ConflictError):
            await records.finish_upload("u", blob_of("other"), stored_ms=NOW)
        assert await records.read_upload("u") == stored
        assert stored.blob is not None
        await records.spend_upload("u")
        with pytest.raises(ConflictError):
            await records.finish_upload("u", stored.blob, stored_ms=NOW)

    async def test_what_was_swept_cannot_be_finished(self, records: FileRecords) -> None:
        await records.begin_upload(upload_of("u"))
        await records.forget_upload("u")
        with pytest.raises(NotFoundError):
            await records.finish_upload("u", blob_of("u"), stored_ms=NOW)
        assert await records.read_upload("u") is None

    async def test_only_what_is_stored_is_spent(self, records: FileRecords) -> None:
        await records.spend_upload("nothing")
        assert await records.read_upload("nothing") is None
        await records.begin_upload(upload_of("u"))
        await records.spend_upload("u")
        assert await records.read_upload("u") == upload_of("u")
        spent = await _stored(records, upload_of("v"))
        for _ in range(2):
            await records.spend_upload("v")
            assert await records.read_upload("v") == replace(spent, state=UploadState.SPENT)

    async def test_stored_ones_of_a_file_newest_first(self, records: FileRecords) -> None:
        old = await _stored(records, upload_of("z"), at_ms=NOW)
        new = await _stored(records, upload_of("a"), at_ms=NOW + 2)
        backend = await _stored(records, upload_of("b", owner_id=None), at_ms=NOW + 2)
        await _stored(records, upload_of("c", file_id="file-2"))
        await _stored(records, upload_of("d", space_id=OTHER))
        await records.begin_upload(upload_of("e"))
        await _stored(records, upload_of("f"))
        await records.spend_upload("f")
        find = records.stored_uploads
        assert await find(SPACE, "file-1", now_ms=NOW, limit=9) == [backend, new, old]
        assert await find(SPACE, "file-1", now_ms=NOW, limit=2) == [backend, new]
        assert await find(SPACE, "file-1", now_ms=NOW, limit=0) == []
        mine = await find(SPACE, "file-1", now_ms=NOW, owner_id="user-1", limit=9)
        assert mine == [new, old]
        assert await find(SPACE, "file-1", now_ms=NOW, owner_id="user-2", limit=9) == []
        assert await find(SPACE, "file-1", now_ms=NOW, trusted=True, limit=9) == [backend]
        both = await find(SPACE, "file-1", now_ms=NOW, owner_id="user-1", trusted=True, limit=9)
        assert both == []
        assert await find(SPACE, "file-3", now_ms=NOW, limit=9) == []

    async def test_what_is_over_cannot_be_reported(self, records: FileRecords) -> None:
        late = await _stored(records, upload_of("a", expires_ms=NOW + 2))
        await _stored(records, upload_of("b", expires_ms=NOW + 1), at_ms=NOW + 1)
        assert await records.stored_uploads(SPACE, "file-1", now_ms=NOW + 1, limit=1) == [late]

    async def test_counts_open_ones_up_to_a_limit(self, records: FileRecords) -> None:
        assert await records.open_uploads(SPACE, limit=9) == 0
        for number in range(3):
            await records.begin_upload(upload_of(f"r{number}", owner_id=f"user-{number}"))
            await _stored(records, upload_of(f"s{number}", file_id=f"file-{number}"))
        await _stored(records, upload_of("spent"))
        await records.spend_upload("spent")
        await records.begin_upload(upload_of("other", space_id=OTHER))
        await records.begin_upload(upload_of("backend", owner_id=None))
        assert await records.open_uploads(SPACE, limit=9) == 7
        for limit in (0, 1, 5, 7):
            assert await records.open_uploads(SPACE, limit=limit) == limit
        assert await records.open_uploads(SPACE, owner_id="user-1", limit=9) == 4
        assert await records.open_uploads(SPACE, owner_id="user-9", limit=9) == 0
        assert await records.open_uploads(OTHER, limit=9) == 1

    async def test_expired_ones_of_all_spaces_and_states_oldest_first(
        self, records: FileRecords
    ) -> None:
        second = upload_of("a", expires_ms=NOW - 2)
        await records.begin_upload(second)
        first = await _stored(records, upload_of("b", space_id=OTHER, expires_ms=NOW - 3))
        third = await _stored(records, upload_of("c", expires_ms=NOW - 1))
        await records.spend_upload("c")
        await records.begin_upload(upload_of("d", expires_ms=NOW))
        expected = [first, second, replace(third, state=UploadState.SPENT)]
        assert await records.expired_uploads(before_ms=NOW, limit=9) == expected
        assert await records.expired_uploads(before_ms=NOW, limit=2) == expected[:2]
        assert await records.expired_uploads(before_ms=NOW, limit=0) == []
        assert await records.expired_uploads(before_ms=NOW - HOUR, limit=9) == []

    async def test_expired_ones_are_gone_through_in_parts(self, records: FileRecords) -> None:
        """Though several expire at once, and though some go meanwhile."""
        uploads = [upload_of(f"u{number}", expires_ms=NOW + number // 3) for number in range(7)]
        for each in reversed(uploads):
            await records.begin_upload(each)
        seen: list[Upload] = []
        while part := await records.expired_uploads(
            before_ms=NOW + 9, limit=2, after=seen[-1] if seen else None
        ):
            seen += part
            await records.forget_upload(part[-1].upload_id)
        assert seen == uploads

    async def test_deleting_a_space_takes_its_uploads(self, records: FileRecords) -> None:
        await records.begin_upload(upload_of("a"))
        await _stored(records, upload_of("b"))
        other = await _stored(records, upload_of("c", space_id=OTHER))
        for _ in range(2):
            await records.delete_space(SPACE)
            assert await records.read_upload("a") is None
            assert await records.read_upload("b") is None
            assert await records.read_upload("c") == other
