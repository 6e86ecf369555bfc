"""Which part of a file a `Range` field asks for (RFC 9110, 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


class UnsatisfiableRangeError(Exception):
    """The file has none of the bytes that were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """`length` bytes from `start`; never empty, never beyond the end of the file."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of `Content-Range`; `size` is the whole file's."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse_range(field: str | None, size: int) -> ByteRange | None:
    """None: the whole file is the answer.

    So it is without the field, when it cannot be read, for an empty file, and when several ranges are asked
    for: a server may ignore the field, and many small ranges of one file cost more than the file.
    Raises UnsatisfiableRangeError.
    """
    found = None if field is None or size == 0 else _ONE_RANGE.fullmatch(field.strip(" \t"))
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        if length == 0:
            raise UnsatisfiableRangeError
        return ByteRange(start=size - length, length=length)
    first = int(found[1])
    last = int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None
    if first >= size:
        raise UnsatisfiableRangeError
    return ByteRange(start=first, length=min(last, size - 1) - first + 1)
