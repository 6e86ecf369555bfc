"""A space's data out and in, page by page: lines of canonical extended JSON.

A page is bounded, and whoever has one knows where the next begins: an export or import that was cut goes on
where it was. Owners (`documents.hidden`) go along: this is for the management side only.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from runtime.documents.names import check_collection
from runtime.errors import InvalidParameterError, OursError
from runtime.ports import SpaceDocuments
from runtime.services.space_editor import SpaceEditor
from sandbox.json_text import JsonError, parse_json, write_json

AFTER_MAX_CHARACTERS = 16 * 1024
"""Of an `_id` as text; the database takes none in an index that is nearly as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
    """Of one page, both ways. A page may have one document that is larger, up to `line_max_bytes`."""

    documents: int
    max_bytes: int
    line_max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPage:
    """Some documents in the order of their ids."""

    lines: bytes
    """Each with its line end."""
    count: int
    after: str | None
    """The `_id` of the last one as canonical extended JSON: where the next page begins. None = the end."""

    @property
    def sha256(self) -> str:
        """Of `lines`, in hex."""
        return hashlib.sha256(self.lines).hexdigest()


class DatabaseTransfer:
    """Use cases. Unknown spaces raise NotFoundError, bad names DatabaseError."""

    def __init__(
        self, *, documents: SpaceDocuments, editor: SpaceEditor, limits: TransferLimits
    ) -> None:
        self._documents = documents
        self._editor = editor
        self.limits = limits

    async def export(self, space_id: str, collection: str, *, after: str | None) -> ExportPage:
        """The documents after the one with this `_id`; None = from the first. A collection that is not there
        is empty. Not a snapshot: what changes meanwhile may be in its old state or the new one.

        Raises InvalidParameterError for an `after` that is no JSON text, OursError."""
        await self._editor.read(space_id)
        check_collection(collection)
        if after is not None:
            _check_after(after)
        found: list[bytes] = []
        size = 0
        async with AsyncExitStack() as stack:
            lines = self._documents.export(space_id, collection, after=after)
            _close_with(stack, lines)
            async for line in lines:
                if found and (
                    size + len(line) > self.limits.max_bytes or len(found) >= self.limits.documents
                ):
                    break
                found.append(line)
                size += len(line)
            else:
                return ExportPage(lines=b"".join(found), count=len(found), after=None)
        return ExportPage(lines=b"".join(found), count=len(found), after=_id_of(found[-1]))

    async def load(self, space_id: str, collection: str, text: bytes) -> int:
        """Write documents, one a line; one whose id is there is replaced. How many. Idempotent when every
        line has an `_id`.

        Raises InvalidParameterError for too many lines or bytes, DatabaseError for a line that is no document
        or breaks an index, OursError. After an error some may have been written."""
        await self._editor.read(space_id)
        check_collection(collection)
        lines = [line for each in text.split(b"\n") if (line := each.strip())]
        bytes_max = self.limits.max_bytes if len(lines) > 1 else self.limits.line_max_bytes
        if len(text) > bytes_max:
            raise InvalidParameterError(
                "Lines",
                f"several lines have at most {self.limits.max_bytes} bytes together, one line at most"
                f" {self.limits.line_max_bytes}",
            )
        if len(lines) > self.limits.documents:
            raise InvalidParameterError(
                "Lines", f"there are at most {self.limits.documents} lines, not {len(lines)}"
            )
        return await self._load(space_id, collection, lines)

    async def _load(self, space_id: str, collection: str, lines: Sequence[bytes]) -> int:
        if not lines:
            return 0
        written = await self._documents.load(space_id, collection, lines)
        if written != len(lines):
            raise OursError(
                "DatabaseImportIncomplete",
                f"of {len(lines)} documents for {collection} {written} were written; send them again",
            )
        return written


def _close_with(stack: AsyncExitStack, lines: AsyncIterator[bytes]) -> None:
    """A generator that is left in the middle holds a cursor."""
    close = getattr(lines, "aclose", None)
    if close is not None:
        stack.push_async_callback(close)


def _check_after(after: str) -> None:
    if len(after) > AFTER_MAX_CHARACTERS:
        raise InvalidParameterError(
            "After", f"After has at most {AFTER_MAX_CHARACTERS} characters, not {len(after)}"
        )
    try:
        parse_json(after)
    except JsonError:
        raise InvalidParameterError(
            "After", "After is the After of an earlier answer: an id as JSON text"
        ) from None


def _id_of(line: bytes) -> str:
    """Canonical extended JSON has numbers as texts: nothing is lost on the way."""
    return write_json(parse_json(line)["_id"]).decode()
