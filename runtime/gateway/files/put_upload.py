"""`PUT /oss/{space}/{path}`: a file by signed address (spec: management API, Files)."""

from __future__ import annotations

from aiohttp import web

from runtime.gateway.files.addresses import file_address
from runtime.gateway.files.expectations import let_body_come
from runtime.gateway.files.receive import ReceiveDeps, check_announced, etag_of, receive


async def upload_by_put(deps: ReceiveDeps, request: web.Request) -> web.Response:
    """Empty 200 with the ETag. The head is checked before a byte is taken; errors are raised.

    `x-oss-callback` is ignored: who has no callback calls `RegisterFile`.
    """
    space_id, path = file_address(request.rel_url.raw_path)
    content_type = request.headers.get("content-type", "")
    grant = deps.uploads.open_put(space_id, path, dict(request.query), content_type)
    await deps.check_origin(request, space_id)
    check_announced(request, grant.max_bytes)
    with deps.room(request, grant):
        async with deps.uploads.receiving(grant) as under_way:
            await let_body_come(request)
            blob = await receive(
                deps,
                under_way,
                grant,
                deps.body_of(request),
                content_type=content_type or None,
                fields={name.lower(): value for name, value in request.headers.items()},
            )
    return web.Response(headers={"ETag": etag_of(blob)})
