"""Reading request bodies under a bound of bytes and of time, whatever their headers claim."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import StreamReader, web

from runtime.errors import CallerError, OverloadedError

_GZIP_OR_ZLIB = 47  # zlib finds out which


class BodyTooLargeError(Exception):
    """The body has more bytes than allowed."""


class BodyBudget:
    """Bounds what all bodies that are being read have together, in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of bodies under way."""
        return self._held

    def take(self, size: int) -> None:
        """Raises OverloadedError; `give_back` has to follow."""
        self._held += size
        if self._held > self._max_bytes:
            raise OverloadedError(
                f"more than {self._max_bytes} bytes of request bodies are being read"
                " (YUNHAN_BODIES_MAX_BYTES); try again"
            )

    def give_back(self, size: int) -> None:
        """What `take` was told, in all."""
        self._held -= size


async def read_body(
    request: web.Request, *, max_bytes: int, timeout_s: float, budget: BodyBudget
) -> bytes:
    """The whole body, decompressed; the bound holds before and after.

    Raises BodyTooLargeError as soon as the bound is passed, CallerError when it came too slowly or broke
    off, OverloadedError when the bodies of all requests are too much. What was not read is never kept.
    """
    announced = request.content_length
    if announced is not None and announced > max_bytes:
        raise BodyTooLargeError(_too_large(max_bytes))
    encoding = request.headers.get("content-encoding", "")
    if (whole := _arrived(request.content)) is not None:
        if len(whole) > max_bytes:
            raise BodyTooLargeError(_too_large(max_bytes))
        return _decoded(whole, encoding, max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                budget.take(len(chunk))
                if size > max_bytes:
                    raise BodyTooLargeError(_too_large(max_bytes))
                chunks.append(chunk)
    except TimeoutError:
        raise CallerError(
            "RequestTimeout", f"the body did not arrive within {timeout_s:g} s"
        ) from None
    except (web.RequestPayloadError, ConnectionError, OSError) as error:
        raise CallerError("InvalidBody.Format", f"the body could not be read: {error}") from None
    finally:
        budget.give_back(size)
    return _decoded(b"".join(chunks), encoding, max_bytes)


def _arrived(content: StreamReader) -> bytes | None:
    """The body that came together with its head, as most do: nothing to wait for. None for all others."""
    if content.is_eof() and content.exception() is None:
        return content.read_nowait()
    return None


def _decoded(raw: bytes, encoding: str, max_bytes: int) -> bytes:
    """The server itself decompresses nothing: what it would do with a bomb is bounded by nobody."""
    if encoding.lower() in {"", "identity"}:
        return raw
    if encoding.lower() not in {"gzip", "deflate"}:
        raise CallerError("InvalidBody.Format", f"the encoding {encoding[:32]!r} is not known")
    if not raw:
        return raw
    decompressor = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
    try:
        body = decompressor.decompress(raw, max_bytes + 1)
    except zlib.error as error:
        raise CallerError("InvalidBody.Format", f"the body is not {encoding}: {error}") from None
    if len(body) > max_bytes:
        raise BodyTooLargeError(_too_large(max_bytes))
    if not decompressor.eof or decompressor.unused_data:
        raise CallerError(
            "InvalidBody.Format",
            f"the body is not one whole {encoding} stream: it ends too early or late",
        )
    return body


def _too_large(max_bytes: int) -> str:
    return f"the body has more than {max_bytes} bytes"
