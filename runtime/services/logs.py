"""Function logs: one record per invocation, queried by the owner of a space."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from runtime.messages import InvocationRecord
from runtime.ports import RecordQuery, RecordStore
from runtime.services.space_editor import SpaceEditor

FLUSH_MAX_S = 1.0
"""A reader waits no longer for records that are being written; the store may be away."""


class LogService:
    """Reads invocation records.

    `flush` gets a time in seconds and writes what is buffered in this process, so that the call that has
    just ended is found; None = others write."""

    def __init__(
        self,
        *,
        records: RecordStore,
        editor: SpaceEditor,
        flush: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        self._records = records
        self._editor = editor
        self._flush = flush

    async def page(
        self, query: RecordQuery, *, offset: int, limit: int, newest_first: bool = True
    ) -> tuple[Sequence[InvocationRecord], int]:
        """One page by start time, and the total. Records of deleted functions are found too.

        What a store that is slow does not take within `FLUSH_MAX_S` is not waited for.
        Raises NotFoundError when the space does not exist."""
        await self._editor.read(query.space_id)
        if self._flush is not None:
            await self._flush(FLUSH_MAX_S)
        return await self._records.find(
            query, offset=offset, limit=limit, newest_first=newest_first
        )
