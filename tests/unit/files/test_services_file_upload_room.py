"""How many uploads of a space, and of a user, are open at once."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from runtime.files.refusals import TooManyUploadsError
from runtime.services.file_upload_room import RoomLimits
from tests.harness.file_stage import FileStage


async def upload(stage: FileStage, user_id: str | None = "ann", *, trusted: bool = False) -> str:
    """To a path of its own; the file's id."""
    caller = stage.backend(user_id) if trusted else stage.user(user_id or "")
    fields = await stage.form(caller)
    await stage.post(fields, b"1")
    return fields["id"]


async def test_a_space_has_room_for_so_many_open_uploads() -> None:
    stage = FileStage(open_max=2)
    first = await upload(stage)
    await upload(stage)
    third = await stage.form(stage.user())
    with pytest.raises(TooManyUploadsError, match=r"2 uploads of this space .* report them"):
        await stage.post(third, b"3")
    await stage.service.report(stage.user(), {"id": first})
    await stage.post(third, b"3")


async def test_a_user_who_reports_nothing_stops_nobody_else() -> None:
    stage = FileStage(open_max=100, open_max_per_user=3)
    for _ in range(3):
        await upload(stage, "ann")
    with pytest.raises(TooManyUploadsError, match="3 uploads of this user"):
        await upload(stage, "ann")
    await upload(stage, "bob")
    for _ in range(3):  # for her, but not by an app
        await upload(stage, "ann", trusted=True)


async def test_apps_leave_room_to_backends() -> None:
    stage = FileStage(open_max=10, reserved_percent=40)
    for number in range(6):
        await upload(stage, f"user-{number}")
    with pytest.raises(TooManyUploadsError, match="6 uploads of this space"):
        await upload(stage, "bob")
    for _ in range(4):
        await upload(stage, None, trusted=True)
    with pytest.raises(TooManyUploadsError, match="10 uploads of this space"):
        await upload(stage, None, trusted=True)


def test_apps_always_have_room_for_one() -> None:
    assert RoomLimits(per_space=1, per_user=1, reserved_percent=90).for_apps == 1


async def test_the_setting_is_told_to_the_log_once_a_minute_and_to_no_caller() -> None:
    stage = FileStage(open_max_per_user=1)
    await upload(stage)
    with capture_logs() as logs:
        for seconds in (0, 59, 1):
            stage.clock.advance(seconds)
            for _ in range(3):
                with pytest.raises(TooManyUploadsError) as caught:
                    await upload(stage)
                assert "YUNHAN" not in caught.value.message
    told = [each for each in logs if each["event"] == "too_many_uploads_open"]
    assert [each["setting"] for each in told] == ["YUNHAN_FILE_UPLOADS_OPEN_MAX_PER_USER"] * 2
