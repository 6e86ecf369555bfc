"""A crash, a refusal or a cancellation at every step of every flow: records and bytes agree in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from runtime.errors import YunhanError
from runtime.files.paths import file_id_of
from tests.harness.file_faults import Fault, KilledError, Steps
from tests.harness.file_stage import GRACE_S, SPACE_ID, TTL_S, FileStage

PATH = "dir/a.png"
FILE_ID = file_id_of(SPACE_ID, PATH)
OLD = b"old bytes"
NEW = b"the new bytes"

Flow = Callable[[FileStage], Awaitable[object]]


async def nothing(stage: FileStage) -> None:
    """A space without files."""


async def one_file(stage: FileStage) -> None:
    await stage.upload(stage.user(), PATH, OLD)


async def waiting_uploads(stage: FileStage) -> None:
    """A file, and two uploads of it that wait for their report."""
    await one_file(stage)
    for data in (b"first", NEW):
        stage.clock.advance(1)
        await stage.post(await stage.form(stage.user(), PATH), data)


async def late_uploads(stage: FileStage) -> None:
    """The same, too old, beside an upload of a file that never was, and a deleted file."""
    await waiting_uploads(stage)
    await stage.post(await stage.form(stage.user()), b"orphan")
    await stage.service.delete(
        stage.user(), {"id": await stage.upload(stage.user(), "gone.png", b"gone")}
    )
    stage.clock.advance(2 * TTL_S + GRACE_S + 1)


async def upload(stage: FileStage) -> None:
    await stage.upload(stage.user(), PATH, NEW)


async def report(stage: FileStage) -> None:
    await stage.service.report(stage.user(), {"id": FILE_ID})


async def delete(stage: FileStage) -> None:
    await stage.service.delete(stage.user(), {"id": FILE_ID})


async def break_off(stage: FileStage) -> None:
    """The body does not come to its end."""
    grant = stage.uploads.open_form(await stage.form(stage.user(), PATH))
    with suppress(ConnectionError):
        async with stage.uploads.receiving(grant):
            raise ConnectionError


async def sweep(stage: FileStage) -> None:
    await stage.sweep_all()


async def remove_space(stage: FileStage) -> None:
    await stage.remains.remove_space(SPACE_ID)


FLOWS: dict[str, tuple[Flow, Flow, set[bytes | None]]] = {
    "first upload": (nothing, upload, {None, NEW}),
    "overwrite": (one_file, upload, {OLD, NEW}),
    "report of two": (waiting_uploads, report, {OLD, NEW}),
    "deletion": (one_file, delete, {OLD, None}),
    "broken off": (one_file, break_off, {OLD}),
    "sweep": (late_uploads, sweep, {OLD}),
    "space": (waiting_uploads, remove_space, {OLD, None}),
}


async def run(name: str, fault: Fault | None, at: int) -> tuple[int, bool]:
    """The steps taken, and whether the flow told its caller of success."""
    before, flow, _ = FLOWS[name]
    steps = Steps(fault, at)
    stage = FileStage(records=steps.wrap, files=steps.wrap)
    await before(stage)
    steps.active = True
    task = asyncio.ensure_future(_ended(flow, stage))
    succeeded = await task
    steps.revive()
    stage.check_no_file_lacks_bytes()
    seen = await stage.content(FILE_ID)
    allowed = FLOWS[name][2]
    assert seen in allowed, seen
    if succeeded and name != "sweep":
        wanted = {"first upload": NEW, "overwrite": NEW, "report of two": NEW, "broken off": OLD}
        assert seen == wanted.get(name)
    if name == "space":
        await stage.remains.remove_space(SPACE_ID)  # its owner deletes it again
    await stage.sweep_all()
    stage.check_agreement()
    assert await stage.content(FILE_ID) == (None if name == "space" else seen)
    return steps.taken, succeeded


async def _ended(flow: Flow, stage: FileStage) -> bool:
    try:
        await flow(stage)
    except (YunhanError, KilledError, asyncio.CancelledError):
        return False
    return True


@pytest.mark.parametrize("name", FLOWS)
async def test_a_flow_that_nothing_disturbs_succeeds(name: str) -> None:
    taken, succeeded = await run(name, None, 0)
    assert succeeded
    assert taken >= 3


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("name", FLOWS)
async def test_a_fault_at_any_step_loses_no_file_and_leaves_no_bytes(
    name: str, fault: Fault
) -> None:
    taken, _ = await run(name, None, 0)
    for at in range(1, taken + 1):
        await run(name, fault, at)


@pytest.mark.parametrize("fault", Fault)
async def test_a_report_is_repeated_after_a_fault_at_any_step(fault: Fault) -> None:
    for at in range(1, 30):
        steps = Steps(fault, at)
        stage = FileStage(records=steps.wrap, files=steps.wrap)
        await waiting_uploads(stage)
        steps.active = True
        await asyncio.ensure_future(_ended(report, stage))
        steps.revive()
        await report(stage)
        assert await stage.content(FILE_ID) == NEW
        await stage.sweep_all()
        stage.check_agreement()
        assert await stage.content(FILE_ID) == NEW
        if steps.taken < at:
            return
    pytest.fail("a report has fewer steps")


async def test_two_crashes_in_a_row_at_any_two_steps() -> None:
    """Of an overwrite, and of the sweep behind it."""
    for first in range(1, 20):
        for second in range(1, 12):
            steps = Steps(Fault.KILLED_AFTER, first)
            stage = FileStage(records=steps.wrap, files=steps.wrap)
            await one_file(stage)
            steps.active = True
            await asyncio.ensure_future(_ended(upload, stage))
            if steps.taken < first:
                return
            steps.revive()
            again = Steps(Fault.KILLED_AFTER, second)
            steps.__dict__.update(again.__dict__)
            steps.active = True
            await asyncio.ensure_future(_ended(sweep, stage))
            steps.revive()
            stage.check_no_file_lacks_bytes()
            seen = await stage.content(FILE_ID)
            await stage.sweep_all()
            stage.check_agreement()
            assert await stage.content(FILE_ID) == seen
            assert seen in {OLD, NEW}
