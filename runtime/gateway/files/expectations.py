"""`Expect: 100-continue`: a client that asks is told to send its body when the head was accepted."""

from __future__ import annotations

from aiohttp import HttpVersion11, web


async def wait_for_handler(_request: web.Request) -> None:
    """The route's answer to the expectation: none yet. aiohttp's own would have the client send its body
    before the handler has looked at anything."""


async def let_body_come(request: web.Request) -> None:
    """To be called once, before the body is read. Other expectations are ignored (RFC 9110, 10.1.1)."""
    if (
        request.version == HttpVersion11
        and request.headers.get("expect", "").lower() == "100-continue"
    ):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # nothing of the answer itself was sent
