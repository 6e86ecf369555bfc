"""A strict reader of HTTP/1.1 answers, independent of every HTTP library."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The server repeats the version of the request, however odd.
_STATUS_LINE = re.compile(rb"HTTP/[0-2]\.[019] ([1-5][0-9][0-9]) ([\x20-\x7e]*)")
_FIELD = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[ \t\x21-\x7e\x80-\xff]*"
    rb"[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
_SINGLE = frozenset(
    {
        "connection",
        "content-disposition",
        "content-length",
        "content-type",
        "date",
        "request-id",
        "retry-after",
        "server",
        "x-content-type-options",
    }
)
_HEAD_MAX = 64 * 1024


class NotHttpError(AssertionError):
    """What the server sent is no well-formed answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAnswer:
    """One answer as it came over the wire. Field names are lower case, in order, repeated ones too."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str) -> str | None:
        """The value of a field that is there once or not at all."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    @property
    def closes(self) -> bool:
        """The server ends the connection after this one."""
        return (self.get("connection") or "").lower() == "close"


def parse_answer(data: bytes, *, method: str = "GET") -> tuple[WireAnswer, int] | None:
    """The first answer in `data` and its length; None when more bytes are needed.

    Raises NotHttpError for everything that two readers could understand differently.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        if len(data) > _HEAD_MAX:
            raise NotHttpError(f"a head without end: {data[:200]!r}")
        return None
    status, fields = _head(head)
    names = [name for name, _ in fields]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise NotHttpError(f"{name} more than once: {head!r}")
    if "transfer-encoding" in names:
        raise NotHttpError(f"the gateway knows the length of every answer: {head!r}")
    length = _body_length(status, dict(fields).get("content-length"), method, head)
    if len(rest) < length:
        return None
    answer = WireAnswer(status=status, fields=fields, body=rest[:length])
    return answer, len(head) + 4 + length


def _head(head: bytes) -> tuple[int, tuple[tuple[str, str], ...]]:
    first, *lines = head.split(b"\r\n")
    found = _STATUS_LINE.fullmatch(first)
    if found is None:
        raise NotHttpError(f"no status line: {first!r}")
    fields = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise NotHttpError(f"no field line: {line!r}")
        fields.append((field[1].decode().lower(), field[2].decode()))
    return int(found[1]), tuple(fields)


def _body_length(status: int, given: str | None, method: str, head: bytes) -> int:
    if given is not None and not re.fullmatch(r"0|[1-9][0-9]*", given):
        raise NotHttpError(f"content-length is no number: {head!r}")
    if status < 200 or status == 204:
        if given is not None:
            raise NotHttpError(f"{status} must not have a content-length: {head!r}")
        return 0
    if status == 304 or method == "HEAD":
        return 0
    if given is None:
        raise NotHttpError(f"neither length nor chunks: {head!r}")
    return int(given)
