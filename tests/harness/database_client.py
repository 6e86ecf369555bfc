"""An app on the database of a space: signed `/client` requests over one connection, without an SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.harness.sdk_http import Connection, authorize, client_body, http_post

_METHOD = "serverless.db.default.execute"


class DatabaseClient:
    """One anonymous user. One command at a time."""

    def __init__(
        self, host: str, space: tuple[str, str], token: str, connection: Connection
    ) -> None:
        self._host = host
        self._space = space
        self._token = token
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str, space: tuple[str, str]) -> AsyncIterator[DatabaseClient]:
        """`space`: id and client secret. Raises OSError when nobody is there."""
        token = await authorize(host, *space)
        connection = await Connection.open(host)
        try:
            yield cls(host, space, token, connection)
        finally:
            await connection.close()

    def request(self, command: str, collection: str | None = None, **arguments: Any) -> bytes:
        """A whole HTTP request, which may be sent any number of times."""
        params = {**arguments, "command": command}
        if collection is not None:
            params["collection"] = collection
        body, signature = client_body(*self._space, _METHOD, params, self._token)
        return http_post(self._host, "/client", body, {"x-serverless-sign": signature})

    async def ask(
        self, command: str, collection: str | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """The envelope. Raises AssertionError for another status than 200; OSError or IncompleteReadError
        when the connection is lost, and then nobody knows what was done."""
        answer = await self._connection.send(self.request(command, collection, **arguments))
        return dict(json.loads(answer))

    async def get(self, command: str, collection: str | None = None, **arguments: Any) -> Any:
        """`data` of an answer that went well."""
        answer = await self.ask(command, collection, **arguments)
        assert answer["success"], answer
        return answer["data"]
