"""Requests to HTTP triggers, one connection each, at both addresses that every space has."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field

FORMS = ("host", "path")
"""The space is named by the `Host` field, or by the first part of the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Header names are lower case; of repeated fields the last one counts."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerClient:
    """The triggers of one space. `form` is one of FORMS."""

    port: int
    space_id: str
    form: str = "path"

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def post(
        self, path: str, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self.send("POST", path, body, {"content-type": content_type, **(headers or {})})

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """`path` is below the space's address, with its query if any."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        target = path if self.form == "host" else f"/trigger/{self.space_id}{path}"
        host = f"{self.space_id}.fn.localhost" if self.form == "host" else "127.0.0.1"
        try:
            connection.request(
                method, target, body, {"host": f"{host}:{self.port}", **(headers or {})}
            )
            answer = connection.getresponse()
            return Answer(
                status=answer.status,
                headers={name.lower(): value for name, value in answer.getheaders()},
                body=answer.read(),
            )
        finally:
            connection.close()
