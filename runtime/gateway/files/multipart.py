"""A reader of `multipart/form-data` (RFC 7578) for bodies of strangers: one pass, one part at a time.

aiohttp's reader is not used. It follows nested multiparts and a `_charset_` field, skips a preamble and what
stands behind the end without bound, and tells malformed bodies by whatever exception comes up. Here every
stretch is bounded, and everything that is wrong is a `FormError`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from runtime.errors import CallerError
from runtime.gateway.files.parameters import parameter_of, value_of

BOUNDARY_MAX = 256
"""Characters; RFC 2046 allows 70, some mini program hosts take a little more."""
PREAMBLE_MAX = 1024
PART_HEAD_MAX = 4096
"""Bytes of one part's header fields."""

_NO_ENCODING = frozenset({"", "7bit", "8bit", "binary"})


class FormError(CallerError):
    """The body is no form that can be read."""

    def __init__(self, message: str, *, code: str = "MalformedPOSTRequest") -> None:
        super().__init__(code, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHead:
    """What a part says of itself. `content_type` is empty when it does not say."""

    name: str
    content_type: str


def boundary_of(content_type: str) -> bytes:
    """The boundary that a request's `Content-Type` names. Raises FormError when it is no form of ours."""
    if value_of(content_type) != "multipart/form-data":
        raise FormError("the body of an upload by POST is multipart/form-data")
    boundary = parameter_of(content_type, "boundary")
    if not boundary or len(boundary) > BOUNDARY_MAX or not boundary.isprintable():
        raise FormError("the Content-Type names no boundary, or one that is too long")
    return boundary.encode()


class MultipartReader:
    """The parts of one body, in their order. Each part's data is read to its end before the next head."""

    def __init__(self, chunks: AsyncIterator[bytes], boundary: bytes) -> None:
        self._chunks = chunks
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # the first delimiter need not follow a line
        self._begun = False

    async def next_part(self) -> PartHead | None:
        """None when the form has ended. Raises FormError."""
        if not self._begun:
            await self._up_to(self._delimiter, PREAMBLE_MAX, "before the first boundary")
            self._begun = True
        while len(self._buffer) < 2:
            await self._more()
        if self._buffer.startswith(b"--"):
            return None
        head = await self._up_to(b"\r\n\r\n", PART_HEAD_MAX, "in the head of a part")
        return _part_head(head)

    async def value(self, max_bytes: int) -> bytes:
        """The data of a part, all of it. Raises FormError when there is more than `max_bytes`."""
        return await self._up_to(self._delimiter, max_bytes, "in a field")

    async def data(self) -> AsyncGenerator[bytes, None]:
        """The data of a part in pieces. It has ended only when the iterator has."""
        keep = len(self._delimiter) - 1
        buffer = self._buffer
        while (end := buffer.find(self._delimiter)) < 0:
            ready = len(buffer) - keep
            if ready > 0:
                piece = bytes(memoryview(buffer)[:ready])
                del buffer[:ready]
                yield piece
            await self._more()
        if end:
            yield bytes(memoryview(buffer)[:end])
        del buffer[: end + len(self._delimiter)]

    async def skip_rest(self, max_bytes: int) -> None:
        """Take what follows, whatever it is. Raises FormError when there is more than `max_bytes`."""
        skipped = len(self._buffer)
        self._buffer.clear()
        while skipped <= max_bytes and (chunk := await anext(self._chunks, b"")):
            skipped += len(chunk)
        if skipped > max_bytes:
            raise FormError(f"more than {max_bytes} bytes follow the file, which is the last field")

    async def _up_to(self, marker: bytes, max_bytes: int, where: str) -> bytes:
        """What stands before the marker; both are taken."""
        searched = 0
        while (end := self._buffer.find(marker, searched)) < 0:
            searched = max(0, len(self._buffer) - len(marker) + 1)
            if searched > max_bytes:
                break
            await self._more()
        if end < 0 or end > max_bytes:
            raise FormError(f"more than {max_bytes} bytes {where}", code="FieldItemTooLong")
        found = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + len(marker)]
        return found

    async def _more(self) -> None:
        try:
            self._buffer += await anext(self._chunks)
        except StopAsyncIteration:
            raise FormError("the form breaks off: its last boundary did not come") from None


def _part_head(head: bytes) -> PartHead:
    """`head` begins behind the boundary, on its line."""
    try:
        first, *lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        raise FormError("the head of a part is not UTF-8") from None
    if first.strip(" \t"):
        raise FormError("something else stands on the line of a boundary")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or not name or name.lower() in fields:
            raise FormError("the head of a part has a line that is no header field, or one twice")
        fields[name.lower()] = value.strip(" \t")
    if fields.get("content-transfer-encoding", "").lower() not in _NO_ENCODING:
        raise FormError("a part is encoded; forms carry bytes as they are (RFC 7578, 4.7)")
    disposition = fields.get("content-disposition", "")
    part_name = parameter_of(disposition, "name")
    if value_of(disposition) != "form-data" or not part_name:
        raise FormError("a part has no name")
    return PartHead(name=part_name, content_type=fields.get("content-type", ""))
