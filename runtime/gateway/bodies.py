"""Reading request bodies under a bound of bytes and of time, whatever their headers claim."""

from __future__ import annotations

import asyncio

from aiohttp import web

from runtime.errors import CallerError


class BodyTooLargeError(Exception):
    """The body has more bytes than allowed."""


async def read_body(request: web.Request, *, max_bytes: int, timeout_s: float) -> bytes:
    """The whole (decompressed) body.

    Raises BodyTooLargeError as soon as the bound is passed, CallerError when it came too slowly or broke
    off. What was not read is never kept.
    """
    announced = request.content_length
    if announced is not None and announced > max_bytes:
        raise BodyTooLargeError(_too_large(max_bytes))
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > max_bytes:
                    raise BodyTooLargeError(_too_large(max_bytes))
                chunks.append(chunk)
    except TimeoutError:
        raise CallerError(
            "RequestTimeout", f"the body did not arrive within {timeout_s:g} s"
        ) from None
    except (web.RequestPayloadError, ConnectionError, OSError) as error:
        raise CallerError("InvalidBody.Format", f"the body could not be read: {error}") from None
    return b"".join(chunks)


def _too_large(max_bytes: int) -> str:
    return f"the body has more than {max_bytes} bytes"
