"""Reports: which upload becomes the file, whose, and which never does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from runtime.errors import CallerError, InvalidParameterError
from runtime.files.paths import file_id_of
from runtime.files.refusals import SignatureRefusedError
from runtime.files.rules import FileRules
from tests.harness.file_stage import SPACE_ID, TTL_S, FileStage


@pytest.fixture
def stage() -> FileStage:
    return FileStage()


async def refused(awaitable: Any, code: str = "ParamInvalid") -> str:
    """The message."""
    with pytest.raises(CallerError) as caught:
        await awaitable
    assert caught.value.code == code, caught.value
    return caught.value.message


async def test_a_file_is_there_from_its_report_on(stage: FileStage) -> None:
    fields = await stage.form(stage.user(), "a.png")
    await stage.post(fields, b"bytes")
    assert await stage.content(fields["id"]) is None
    answer = await stage.service.report(stage.user(), {"id": fields["id"]})
    assert answer == {"id": fields["id"]}
    assert await stage.content(fields["id"]) == b"bytes"
    assert await stage.service.report(stage.user(), {"id": fields["id"]}) == answer


@pytest.mark.parametrize("params", [{}, {"id": 1}, {"id": "x"}, {"id": file_id_of("x", "y")}])
async def test_what_was_not_uploaded_is_not_reported(
    stage: FileStage, params: dict[str, Any]
) -> None:
    await refused(stage.service.report(stage.user(), params))


async def test_an_upload_is_not_reported_by_another_user(stage: FileStage) -> None:
    fields = await stage.form(stage.user("ann"), "a.png")
    await stage.post(fields, b"bytes")
    await refused(stage.service.report(stage.user("bob"), {"id": fields["id"]}))
    await refused(stage.service.report(stage.backend(), {"id": fields["id"]}))
    await refused(stage.service.report(stage.backend("ann"), {"id": fields["id"]}))
    with pytest.raises(InvalidParameterError):
        await stage.service.register(SPACE_ID, fields["id"])
    await stage.service.report(stage.user("ann"), {"id": fields["id"]})
    (record,) = stage.file_records
    assert record.owner_id == "ann"


async def test_a_trusted_report_never_makes_what_an_app_uploaded_the_file(
    stage: FileStage,
) -> None:
    """Between an upload of the management side and its report, or its repetition."""
    signed = await stage.service.sign_put(
        SPACE_ID, content_type="text/plain", filename="a.png", size=1, file_id="/a.png"
    )
    theirs = await stage.form(stage.user("bob"), "a.png")  # nobody has the path yet
    assert signed.url is not None
    parts = urlsplit(signed.url)
    grant = stage.uploads.open_put(
        SPACE_ID, "a.png", dict(parse_qsl(parts.query)), content_type="text/plain"
    )
    async with stage.uploads.receiving(grant) as under_way:
        file = stage.bytes.receive(b"ours")
        await under_way.store(file, content_type="text/plain", headers={}, meta={})
    stage.clock.advance(1)
    await stage.post(theirs, b"theirs")
    for _ in range(2):
        assert (await stage.service.register(SPACE_ID, signed.file_id)).owner_id is None
        assert await stage.content(signed.file_id) == b"ours"
    for caller in (stage.backend(), stage.backend("bob")):
        await stage.service.report(caller, {"id": signed.file_id})
    assert await stage.content(signed.file_id) == b"ours"


async def test_what_was_signed_for_a_backend_is_reported_by_any_backend_or_its_user(
    stage: FileStage,
) -> None:
    """`getUploadFileOptions` gives a form away; who calls for the report may have another user behind it."""
    for number, (signer, reporter) in enumerate(
        [
            (stage.backend(), stage.backend("ann")),
            (stage.backend("ann"), stage.backend()),
            (stage.backend("ann"), stage.backend("bob")),
            (stage.backend("ann"), stage.user("ann")),
        ]
    ):
        fields = await stage.form(signer, f"{number}.png")
        await stage.post(fields, b"bytes")
        await stage.service.report(reporter, {"id": fields["id"]})
        assert await stage.content(fields["id"]) == b"bytes"


async def test_what_the_rules_refuse_at_its_report_is_gone_for_good(stage: FileStage) -> None:
    """Whoever reports the file later, and though the rules change."""
    theirs = await stage.form(stage.user("bob"), "a.png")
    file_id = await stage.upload(stage.user("ann"), "a.png", b"ann")
    await stage.post(theirs, b"bob")
    for _ in range(2):
        await refused(stage.service.report(stage.user("bob"), {"id": file_id}), "PermissionDenied")
        assert list(stage.bytes.blobs.values()) == [b"ann"]
    await stage.service.register(SPACE_ID, file_id)
    assert await stage.content(file_id) == b"ann"
    with pytest.raises(SignatureRefusedError):  # its grant stays used
        await stage.post(theirs, b"bob")
    await stage.service.delete(stage.user("ann"), {"id": file_id})
    await refused(stage.service.report(stage.user("bob"), {"id": file_id}))
    await stage.sweep_all()
    stage.check_agreement()


async def test_what_the_rules_refuse_by_now_is_not_made(stage: FileStage) -> None:
    fields = await stage.form(stage.user(), "a.png")
    await stage.post(fields, b"1")
    nobody = FileRules.of('{"file": {"*": {".write": false}}}')
    caller = replace(stage.user(), space=replace(stage.space, file_rules=nobody))
    await refused(stage.service.report(caller, {"id": fields["id"]}), "PermissionDenied")
    assert not stage.bytes.blobs
    await refused(stage.service.report(stage.user(), {"id": fields["id"]}))


async def test_an_upload_is_reported_within_its_time(stage: FileStage) -> None:
    fields = await stage.form(stage.user(), "a.png")
    await stage.post(fields, b"bytes")
    stage.clock.advance(2 * TTL_S)
    assert "too long ago" in await refused(stage.service.report(stage.user(), {"id": fields["id"]}))


async def test_the_write_rule_is_asked_again(stage: FileStage) -> None:
    """Two users sign for a file that is not there; who reports first owns it."""
    forms = {name: await stage.form(stage.user(name), "a.png") for name in ("ann", "bob")}
    for name, fields in forms.items():
        await stage.post(fields, name.encode())
    file_id = forms["ann"]["id"]
    await stage.service.report(stage.user("bob"), {"id": file_id})
    await refused(stage.service.report(stage.user("ann"), {"id": file_id}), "PermissionDenied")
    assert await stage.content(file_id) == b"bob"


async def test_an_overwrite_keeps_id_owner_and_time_of_making(stage: FileStage) -> None:
    file_id = await stage.upload(stage.user("ann"), "a.png", b"1")
    made_ms = stage.clock.now_ms()
    stage.clock.advance(10)
    assert await stage.upload(stage.backend("bob"), "a.png", b"22") == file_id
    (record,) = stage.file_records
    assert (record.owner_id, record.created_ms) == ("ann", made_ms)
    assert record.modified_ms == made_ms + 10_000
    assert list(stage.bytes.blobs.values()) == [b"22"]


async def test_of_several_uploads_the_newest_is_the_file(stage: FileStage) -> None:
    for data in (b"1", b"2", b"3"):
        fields = await stage.form(stage.user(), "a.png")
        stage.clock.advance(1)
        await stage.post(fields, data)
    for _ in range(2):  # a repetition finds none of the older ones
        await stage.service.report(stage.user(), {"id": fields["id"]})
        assert await stage.content(fields["id"]) == b"3"
    assert list(stage.bytes.blobs.values()) == [b"3"]


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_repeated_report_brings_nothing_old_back(stage: FileStage, trusted: bool) -> None:
    """However many uploads there were, and though the file is gone meanwhile."""
    caller = stage.backend() if trusted else stage.user()
    for number in range(203):
        fields = await stage.form(caller, "a.png")
        stage.clock.advance(0.001)
        await stage.post(fields, b"%d" % number)
    for _ in range(2):
        await stage.service.report(caller, {"id": fields["id"]})
        assert await stage.content(fields["id"]) == b"202"
        assert list(stage.bytes.blobs.values()) == [b"202"]
    await stage.service.delete(caller, {"id": fields["id"]})
    await refused(stage.service.report(caller, {"id": fields["id"]}))


async def test_an_older_upload_of_another_does_not_come_back(stage: FileStage) -> None:
    """The rules let everybody write; the last one to have stored counts."""
    anybody = '{"file": {"*": {".write": true}}}'
    stage = FileStage(rules=anybody)
    forms = {name: await stage.form(stage.user(name), "a.png") for name in ("ann", "bob")}
    for name, fields in forms.items():
        stage.clock.advance(1)
        await stage.post(fields, name.encode())
    await stage.service.report(stage.user("bob"), {"id": fields["id"]})
    await stage.service.report(stage.user("ann"), {"id": fields["id"]})
    assert await stage.content(fields["id"]) == b"bob"
    assert list(stage.bytes.blobs.values()) == [b"bob"]
    await stage.service.delete(stage.user("bob"), {"id": fields["id"]})
    await refused(stage.service.report(stage.user("ann"), {"id": fields["id"]}))


async def test_a_clock_that_is_late_does_not_make_a_later_upload_an_old_one(
    stage: FileStage,
) -> None:
    await stage.upload(stage.user(), "a.png", b"1")
    for data in (b"2", b"3"):
        stage.clock.advance(-30)
        file_id = await stage.upload(stage.user(), "a.png", data)
        assert await stage.content(file_id) == data


@pytest.mark.parametrize(("uploaded", "kept"), [(None, "image/webp"), ("image/gif", "image/gif")])
async def test_the_type_of_the_report_counts_when_the_upload_had_none(
    stage: FileStage, uploaded: str | None, kept: str
) -> None:
    fields = await stage.form(stage.user(), "noextension")
    async with stage.uploads.receiving(stage.uploads.open_form(fields)) as under_way:
        file = stage.bytes.receive(b"x")
        await under_way.store(file, content_type=uploaded, headers={}, meta={})
    await stage.service.report(stage.user(), {"id": fields["id"], "contentType": "image/webp"})
    (record,) = stage.file_records
    assert record.blob is not None
    assert record.blob.content_type == kept
