"""Reports and deletions that meet each other between two steps, made certain."""

from __future__ import annotations

import pytest

from runtime.errors import CallerError, ConflictError, UnavailableError
from runtime.files.paths import file_id_of
from runtime.services.file_remains import STALE_MAX
from tests.harness.file_stage import SPACE_ID, FileStage
from tests.unit.interruptions import once_before

FILE_ID = file_id_of(SPACE_ID, "a.png")


@pytest.fixture
def stage() -> FileStage:
    return FileStage()


async def uploaded(stage: FileStage, data: bytes = b"new") -> None:
    stage.clock.advance(1)
    await stage.post(await stage.form(stage.user(), "a.png"), data)


async def report(stage: FileStage) -> None:
    await stage.service.report(stage.user(), {"id": FILE_ID})


async def delete(stage: FileStage) -> None:
    await stage.service.delete(stage.user(), {"id": FILE_ID})


async def test_two_reports_at_once_make_one_file(stage: FileStage) -> None:
    await uploaded(stage)
    once_before(stage.records, "put", lambda: report(stage))
    await report(stage)
    assert await stage.content(FILE_ID) == b"new"
    await stage.sweep_all()
    stage.check_agreement()


async def test_a_report_that_another_report_and_a_deletion_overtook_finds_nothing(
    stage: FileStage,
) -> None:
    """It has seen no record and an upload whose bytes are gone meanwhile."""
    await uploaded(stage)

    async def overtake() -> None:
        await report(stage)
        await delete(stage)

    once_before(stage.records, "put", overtake)
    with pytest.raises(CallerError, match="nothing was uploaded"):
        await report(stage)
    stage.check_no_file_lacks_bytes()
    assert await stage.content(FILE_ID) is None
    await stage.sweep_all()
    stage.check_agreement()


async def test_a_report_that_the_sweeper_overtook_finds_nothing(stage: FileStage) -> None:
    await uploaded(stage)
    (upload,) = stage.records._uploads.values()
    once_before(stage.records, "put", lambda: stage.remains.condemn(upload))
    with pytest.raises(CallerError, match="nothing was uploaded"):
        await report(stage)
    await stage.sweep_all()
    stage.check_agreement()


async def test_an_upload_that_is_reported_while_it_is_condemned_stays_a_file(
    stage: FileStage,
) -> None:
    await uploaded(stage)
    (upload,) = stage.records._uploads.values()
    once_before(stage.records, "put", lambda: report(stage))
    assert not await stage.remains.condemn(upload)
    assert await stage.content(FILE_ID) == b"new"
    await stage.sweep_all()
    stage.check_agreement()
    assert await stage.content(FILE_ID) == b"new"


async def test_an_overwrite_during_a_deletion_is_deleted_with_it(stage: FileStage) -> None:
    await stage.upload(stage.user(), "a.png", b"old")
    await uploaded(stage)
    once_before(stage.records, "put", lambda: report(stage))
    await delete(stage)
    assert await stage.content(FILE_ID) is None
    await stage.sweep_all()
    stage.check_agreement()


async def test_a_deletion_during_an_overwrite_comes_before_it(stage: FileStage) -> None:
    await stage.upload(stage.user(), "a.png", b"old")
    await uploaded(stage)
    once_before(stage.records, "put", lambda: delete(stage))
    await report(stage)
    assert await stage.content(FILE_ID) == b"new"
    await stage.sweep_all()
    stage.check_agreement()


async def test_old_bytes_that_cannot_be_removed_do_not_stop_a_report(stage: FileStage) -> None:
    await stage.upload(stage.user(), "a.png", b"old")
    await uploaded(stage)
    delete_bytes = stage.bytes.delete

    async def fails(_key: str) -> None:
        raise UnavailableError("the store does not answer")

    stage.bytes.delete = fails  # type: ignore[method-assign, assignment]
    await report(stage)
    assert await stage.content(FILE_ID) == b"new"
    assert len(stage.bytes.blobs) == 2
    assert (await stage.sweeper.sweep()).failed == 0  # within the grace it is nobody's business
    stage.clock.advance(10_000)
    assert (await stage.sweeper.sweep()).failed == 1
    (reported,) = stage.file_records
    stage.bytes.delete = delete_bytes  # type: ignore[method-assign]
    await stage.sweep_all()
    stage.check_agreement()
    (swept,) = stage.file_records
    assert swept.modified_ms == reported.modified_ms  # the file did not change


async def test_a_file_made_again_remembers_the_bytes_of_the_deleted_one(stage: FileStage) -> None:
    await stage.upload(stage.user(), "a.png", b"old")
    delete_bytes = stage.bytes.delete

    async def fails(_key: str) -> None:
        raise UnavailableError("the store does not answer")

    stage.bytes.delete = fails  # type: ignore[method-assign, assignment]
    await delete(stage)
    await uploaded(stage)
    await report(stage)
    stage.bytes.delete = delete_bytes  # type: ignore[method-assign]
    await stage.sweep_all()
    stage.check_agreement()
    assert await stage.content(FILE_ID) == b"new"


async def test_a_record_has_a_bounded_number_of_stale_keys(stage: FileStage) -> None:
    async def fails(_key: str) -> None:
        raise UnavailableError("the store does not answer")

    await stage.upload(stage.user(), "a.png", b"old")
    stage.bytes.delete = fails  # type: ignore[method-assign, assignment]
    for _ in range(STALE_MAX):
        await stage.upload(stage.user(), "a.png", b"new")
    with pytest.raises(UnavailableError, match="old bytes"):
        await stage.upload(stage.user(), "a.png", b"new")
    (record,) = stage.file_records
    assert len(record.stale) == STALE_MAX
    del stage.bytes.delete
    await report(stage)
    assert len(stage.bytes.blobs) == 1


async def test_a_record_that_always_changes_is_given_up(stage: FileStage) -> None:
    await uploaded(stage)

    async def conflict(*_args: object, **_options: object) -> None:
        raise ConflictError("Conflict", "changed")

    stage.records.put = conflict  # type: ignore[method-assign, assignment]
    with pytest.raises(UnavailableError, match="too often"):
        await report(stage)
