"""Signed `/client` requests as raw bytes, and a keep-alive HTTP connection that costs almost nothing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from runtime.signatures import sdk_client


def client_body(
    space_id: str, secret: str, method: str, params: object, token: str | None = None
) -> tuple[bytes, str]:
    """Body and signature of one call, as the official SDK makes them."""
    body: dict[str, object] = {
        "spaceId": space_id,
        "method": method,
        "params": json.dumps(params),
        "timestamp": int(time.time() * 1000),
    }
    if token is not None:
        body["token"] = token
    return json.dumps(body).encode(), sdk_client.sign(body, secret.encode())


def invoke_request(
    host: str, space_id: str, secret: str, token: str, function: str, args: object
) -> bytes:
    """A whole HTTP request that invokes a function; may be sent any number of times."""
    body, signature = client_body(
        space_id,
        secret,
        "serverless.function.runtime.invoke",
        {"functionTarget": function, "functionArgs": args},
        token,
    )
    return http_post(host, "/client", body, {"x-serverless-sign": signature})


def http_post(host: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection:
    """One keep-alive connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str) -> Connection:
        name, _, port = host.rpartition(":")
        return cls(*await asyncio.open_connection(name, int(port), limit=16 * 1024 * 1024))

    async def send(self, request: bytes, *, wanted: str = "200") -> bytes:
        """The answer's body. Raises AssertionError for another status."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, *headers = head.decode("latin-1").split("\r\n")
        assert status.split(" ")[1] == wanted, status
        fields = dict(line.lower().split(": ", 1) for line in headers if ": " in line)
        if fields.get("transfer-encoding") == "chunked":
            return await self._read_chunks()
        return await self._reader.readexactly(int(fields["content-length"]))

    async def _read_chunks(self) -> bytes:
        body = b""
        while True:
            size = int(await self._reader.readline(), 16)
            body += (await self._reader.readexactly(size + 2))[:size]
            if size == 0:
                return body

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def authorize(host: str, space_id: str, secret: str) -> str:
    """An anonymous token."""
    body, signature = client_body(
        space_id, secret, "serverless.auth.user.anonymousAuthorize", {"clientIdentifier": "app-1"}
    )
    connection = await Connection.open(host)
    try:
        answer: dict[str, Any] = json.loads(
            await connection.send(
                http_post(host, "/client", body, {"x-serverless-sign": signature})
            )
        )
    finally:
        await connection.close()
    assert answer["success"], answer
    return str(answer["data"]["accessToken"])
