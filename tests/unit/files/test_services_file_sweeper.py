"""What crashes and forgetful clients leave, and when it goes."""

from __future__ import annotations

import asyncio

import pytest

from runtime.errors import UnavailableError
from runtime.messages import Upload
from runtime.services.file_sweeper import FilesSwept, FileSweeper
from runtime.services.file_uploads import upload_of
from tests.harness.file_stage import GRACE_S, SPACE_ID, TTL_S, FileStage


@pytest.fixture
def stage() -> FileStage:
    return FileStage()


async def test_nothing_to_do(stage: FileStage) -> None:
    assert await stage.sweeper.sweep() == FilesSwept()


async def test_an_upload_goes_a_grace_after_its_time_and_its_bytes_later(
    stage: FileStage,
) -> None:
    await stage.post(await stage.form(stage.user()), b"orphan")
    stage.clock.advance(2 * TTL_S + GRACE_S)
    assert not (await stage.sweeper.sweep()).done
    stage.clock.advance(1)
    assert (await stage.sweeper.sweep()).condemned == 1
    assert len(stage.bytes.blobs) == 1  # whoever still puts them is given time
    stage.clock.advance(GRACE_S + 1)
    assert (await stage.sweeper.sweep()).finished == 1
    assert not stage.bytes.blobs
    stage.clock.advance(GRACE_S + 1)
    assert (await stage.sweeper.sweep()).removed == 1
    stage.check_agreement()


async def test_a_used_upload_is_forgotten_and_the_file_stays(stage: FileStage) -> None:
    file_id = await stage.upload(stage.user(), "a.png", b"1")
    stage.clock.advance(2 * TTL_S + GRACE_S + 1)
    swept = await stage.sweeper.sweep()
    assert (swept.forgotten, swept.done) == (1, 1)
    assert await stage.content(file_id) == b"1"


async def test_what_fails_keeps_none_of_the_younger_ones_waiting() -> None:
    """Though it is more than a batch; and the next sweep tries it again."""
    stage = FileStage(batch_max=2)
    for _ in range(7):
        await stage.post(await stage.form(stage.user()), b"orphan")
        stage.clock.advance(1)
    stage.clock.advance(2 * TTL_S + GRACE_S + 1)
    condemn, delete = stage.remains.condemn, stage.bytes.delete
    bad = {each.upload_id for each in list(stage.records._uploads.values())[:4]}

    async def fails(upload: Upload) -> bool:
        if upload.upload_id in bad:
            raise UnavailableError("the records do not answer")
        return await condemn(upload)

    stage.remains.condemn = fails  # type: ignore[method-assign]
    swept = await stage.sweeper.sweep()
    assert (swept.failed, swept.condemned) == (4, 3)
    stage.remains.condemn = condemn  # type: ignore[method-assign]
    assert (await stage.sweeper.sweep()).condemned == 4

    async def breaks(key: str) -> None:
        if upload_of(key) in bad:
            raise UnavailableError("the store does not answer")
        await delete(key)

    stage.bytes.delete = breaks  # type: ignore[method-assign]
    stage.clock.advance(GRACE_S + 1)
    swept = await stage.sweeper.sweep()
    assert (swept.failed, swept.finished) == (4, 3)
    stage.bytes.delete = delete  # type: ignore[method-assign]
    await stage.sweep_all()
    stage.check_agreement()


async def test_a_sweep_without_time_for_all_is_gone_on_with_by_the_next() -> None:
    stage = FileStage(batch_max=2)
    for _ in range(5):
        await stage.post(await stage.form(stage.user()), b"orphan")
        stage.clock.advance(1)
    stage.clock.advance(2 * TTL_S + GRACE_S + 1)
    tried: list[str] = []

    async def slow(upload: Upload) -> bool:
        tried.append(upload.upload_id)
        stage.clock.advance(20)
        raise UnavailableError("the records do not answer")

    stage.remains.condemn = slow  # type: ignore[method-assign]
    ids = list(stage.records._uploads)
    for _ in range(4):  # half a minute is time for two
        await stage.sweeper.sweep()
    assert tried == [*ids, *ids[:2]]


async def test_a_store_that_does_not_answer_stops_no_other_file(stage: FileStage) -> None:
    for name in ("a", "b"):
        await stage.post(await stage.form(stage.user(), f"{name}.png"), b"orphan")
    bad = next(iter(stage.bytes.blobs))
    delete = stage.bytes.delete

    async def fails(key: str) -> None:
        if key == bad:
            raise UnavailableError("the store does not answer")
        await delete(key)

    stage.bytes.delete = fails  # type: ignore[method-assign]
    await stage.sweep_all()
    assert list(stage.bytes.blobs) == [bad]
    stage.bytes.delete = delete  # type: ignore[method-assign]
    await stage.sweep_all()
    stage.check_agreement()


async def test_a_bug_with_one_upload_leaves_the_others_their_end(stage: FileStage) -> None:
    for name in ("a", "b"):
        await stage.post(await stage.form(stage.user(), f"{name}.png"), b"orphan")
    stage.clock.advance(2 * TTL_S + GRACE_S + 1)
    condemn = stage.remains.condemn
    seen: list[object] = []

    async def wrong(upload: object) -> bool:
        seen.append(upload)
        if len(seen) == 1:
            raise ValueError("a bug")
        return await condemn(upload)  # type: ignore[arg-type]

    stage.remains.condemn = wrong  # type: ignore[method-assign]
    swept = await stage.sweeper.sweep()
    assert (swept.failed, swept.condemned) == (1, 1)


async def test_a_slow_store_takes_no_longer_than_the_time_between_two_sweeps(
    stage: FileStage,
) -> None:
    for name in ("a", "b", "c"):
        await stage.post(await stage.form(stage.user(), f"{name}.png"), b"orphan")
    stage.clock.advance(2 * TTL_S + GRACE_S + 1)
    condemn = stage.remains.condemn

    async def slow(upload: object) -> bool:
        stage.clock.advance(61)
        return await condemn(upload)  # type: ignore[arg-type]

    stage.remains.condemn = slow  # type: ignore[method-assign]
    assert (await stage.sweeper.sweep()).condemned == 1


async def test_it_goes_on_after_records_that_do_not_answer_and_ends_when_cancelled(
    stage: FileStage,
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            raise asyncio.CancelledError

    async def fails(**_options: object) -> None:
        raise UnavailableError("no answer")

    stage.records.unfinished = fails  # type: ignore[method-assign, assignment]
    sweeper = FileSweeper(
        records=stage.records,
        remains=stage.remains,
        clock=stage.clock,
        limits=stage.sweeper._limits,
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await sweeper.run()
    assert waits == [60.0] * 4


async def test_a_running_sweeper_takes_all_batches() -> None:
    stage = FileStage(batch_max=2)
    for _ in range(7):
        await stage.post(await stage.form(stage.user()), b"orphan")
    stage.clock.advance(2 * TTL_S + GRACE_S + 1)
    turns = 0

    async def sleep(_seconds: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            raise asyncio.CancelledError

    stage.sweeper._sleep = sleep
    with pytest.raises(asyncio.CancelledError):
        await stage.sweeper.run()
    assert not stage.records._uploads


async def test_old_bytes_take_no_later_upload_of_the_same_grant_along() -> None:
    """When clocks jumped, a forgotten grant may be good again while bytes of its first use are stale."""
    stage = FileStage()
    fields = await stage.form(stage.user(), "a.png")
    first = await stage.post(fields, b"first")
    [upload] = stage.records._uploads.values()
    assert await stage.remains.condemn(upload)
    second = await stage.post(fields, b"second")
    assert upload_of(first.key) == upload_of(second.key)
    record = await stage.records.read(SPACE_ID, fields["id"])
    assert record is not None
    assert await stage.remains.finish(record)
    assert set(stage.bytes.blobs) == {second.key}
    await stage.service.report(stage.user(), {"id": fields["id"]})
    assert await stage.content(fields["id"]) == b"second"
