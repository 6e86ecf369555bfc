"""`POST /oss`: a file by signed form, in the shape of OSS's PostObject (spec: client protocol §7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from aiohttp import web

from runtime.gateway.bodies import BodyBudget
from runtime.gateway.files.expectations import let_body_come
from runtime.gateway.files.form_fields import FIELDS_MAX, FIELDS_MAX_BYTES, UploadForm, read_fields
from runtime.gateway.files.multipart import PART_HEAD_MAX, MultipartReader, boundary_of
from runtime.gateway.files.receive import ReceiveDeps, check_announced, etag_of, receive
from runtime.services.file_headers import UNKNOWN_TYPE

REST_MAX_BYTES = 64 * 1024
"""Of what follows the file: it is ignored."""
_FORM_MAX_BYTES = FIELDS_MAX_BYTES + FIELDS_MAX * PART_HEAD_MAX + REST_MAX_BYTES
"""What a form may hold beside its file."""

_STATUSES = {"201": 201, "204": 204}


async def upload_by_form(deps: ReceiveDeps, request: web.Request) -> web.Response:
    """Empty answer with the ETag: 200, or 201 or 204 where `success_action_status` asks for it.

    The fields are checked before a byte of the file is taken. Errors are raised.
    """
    boundary = boundary_of(request.headers.get("content-type", ""))
    await let_body_come(request)
    parts = MultipartReader(deps.body_of(request), boundary)
    with _room(deps.budget):
        form = await read_fields(parts, timeout_s=deps.fields_timeout_s)
    grant = deps.uploads.open_form(form.fields)
    await deps.check_origin(request, grant.space_id)
    check_announced(request, grant.max_bytes + _FORM_MAX_BYTES)
    with deps.room(request, grant):
        async with deps.uploads.receiving(grant) as under_way, aclosing(parts.data()) as data:
            blob = await receive(
                deps,
                under_way,
                grant,
                data,
                content_type=_content_type(form),
                fields=form.fields,
                at_end=lambda: parts.skip_rest(REST_MAX_BYTES),
            )
    status = _STATUSES.get(_field(form, "success_action_status"), 200)
    return web.Response(status=status, headers={"ETag": etag_of(blob)})


@contextmanager
def _room(budget: BodyBudget) -> Iterator[None]:
    """For the fields of one form while they are read; whoever sends them is not known yet."""
    try:
        budget.take(FIELDS_MAX_BYTES)
        yield
    finally:
        budget.give_back(FIELDS_MAX_BYTES)


def _content_type(form: UploadForm) -> str | None:
    """The form's own field says it. What the file's part says counts where the sender knew: hosts that did
    not look write octet-stream, and the name's extension is a better witness than that."""
    told = _field(form, "content-type")
    if told or form.file_type.lower() == UNKNOWN_TYPE:
        return told or None
    return form.file_type or None


def _field(form: UploadForm, name: str) -> str:
    """Empty when there is no such field, in whatever case."""
    return next((value for key, value in form.fields.items() if key.lower() == name), "")
